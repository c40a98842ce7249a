"""An app of sagas with unusual steps; all clusters under test have it installed."""
