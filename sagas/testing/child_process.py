"""Run a function in a forked child process, which has its own database connections and may be killed."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections

RAISED = 1
NAP = 0.002


class ChildFailed(AssertionError):
    """The child process raised an exception, hung, or exited with an unexpected code."""


@dataclass(frozen=True)
class ChildResult:
    """The exit code of a child process and the return value of its function.

    The exit code of a killed child is the negative signal number.
    """

    code: int
    returned: Any = None


def run_in_child(function: Callable[[], Any], *, expected_exit: int, patience: float) -> ChildResult:
    """Fork a child process, call `function` there, and return its result. `function` must return a JSON value.

    The child may also exit with the code `expected_exit`. Raise ChildFailed, with the child's traceback, if the child
    ends in another way or runs for more than `patience` seconds. Other threads of this process must not use a database
    during the call.
    """
    connections.close_all()  # parent and child cannot share a connection
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn if other threads exist, such as those of the test runner. The child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reader)
        _run_child(function, writer)
    os.close(writer)
    with os.fdopen(reader) as report, _reaped(child):
        # `select` returns when the child has written its result or has exited, because the exit closes the pipe.
        if not select.select([report], [], [], patience)[0]:
            raise ChildFailed(f"A child was still running after {patience} s.")
        text = report.read()
        code = _exit_code(child, patience)
    if code == 0:
        return ChildResult(code, json.loads(text))
    if code != expected_exit:
        raise ChildFailed(f"The child exited with {code} instead of {expected_exit}:\n{text}")
    return ChildResult(code)


def _run_child(function: Callable[[], Any], writer: int) -> None:
    """Call the function and exit. This never returns, so that the child does not continue as a second test runner."""
    code, text = RAISED, ""
    try:
        text = json.dumps(function())
        code = 0
    except BaseException:  # noqa: BLE001  (no exception may leave this function, not even KeyboardInterrupt)
        text = traceback.format_exc()
    finally:
        with os.fdopen(writer, "w") as report:
            report.write(text)
        os._exit(code)


@contextmanager
def _reaped(child: int) -> Iterator[None]:
    """Kill and reap the child if the block raises an exception."""
    try:
        yield
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def _exit_code(child: int, patience: float) -> int:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(NAP)
    raise ChildFailed(f"A child was still running after {patience} s.")
