"""The scenes and the workers of saga_demo."""
