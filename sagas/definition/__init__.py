"""The definition of sagas: steps, context, states, exceptions. It imports no Django."""
