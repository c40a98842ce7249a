"""The demo project's two sagas, step by step; the engine runs them elsewhere."""
