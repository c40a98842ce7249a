"""An app whose sagas do what workers must bear; clusters under test have it installed."""
