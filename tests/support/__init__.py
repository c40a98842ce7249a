"""Helpers that more than one test suite uses."""

from .executions import finish, let_pass, let_wait_pass, new_id, run, run_saga, story
from .scripted_steps import Called, Registered, Stage, lost

__all__ = [
    "Called",
    "Registered",
    "Stage",
    "finish",
    "let_pass",
    "let_wait_pass",
    "lost",
    "new_id",
    "run",
    "run_saga",
    "story",
]
