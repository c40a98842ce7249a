"""An app with fast sagas that can end in every state."""
