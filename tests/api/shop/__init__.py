"""An app with sagas that take next to nothing and end in every state."""
