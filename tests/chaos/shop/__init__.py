"""An app whose sagas call the provider; clusters under test have it installed."""
