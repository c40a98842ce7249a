"""What a saga is: steps, context, states, exceptions. Imports no Django."""
