"""An app whose sagas call the provider."""
