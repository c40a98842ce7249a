"""An app of sagas that break the rules, each in one way."""
