"""The command saga_demo."""
