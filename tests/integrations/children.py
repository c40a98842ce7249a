"""Runs functions in forked children, which may die and which race each other on the real database."""

import os
import time
import traceback
import warnings
from collections.abc import Callable, Sequence

from django.db import connections

PATIENCE = 30.0


def exit_codes(functions: Sequence[Callable[[], None]]) -> list[int]:
    """Run each function in a child of its own, all at once; 0 = returned, 1 = raised, or as it died."""
    # A connection must not be used on both sides of a fork.
    connections.close_all()
    children = [_start(function) for function in functions]
    end = time.monotonic() + PATIENCE
    return [_wait_for(child, end) for child in children]


def _start(function: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        # The test runner's own threads are not needed in the child.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        function()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        # Whatever happened, a child must not go on as a second test runner.
        os._exit(code)


def _wait_for(child: int, end: float) -> int:
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError(f"A child was still running after {PATIENCE} s.")
