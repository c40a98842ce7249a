"""Run functions in forked child processes that may be killed, each with its own database connections."""

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
    """A child raised, hung, or exited in an unexpected way."""


@dataclass(frozen=True)
class ChildResult:
    """The exit code of a child (minus the signal number if it was killed) and what its function returned."""

    code: int
    returned: Any = None


def run_in_child(function: Callable[[], Any], *, expected_exit: int, patience: float) -> ChildResult:
    """Fork and call `function`, which must return JSON.

    The child may also exit with `expected_exit`. Raises ChildFailed, with the child's traceback, if it ends otherwise
    or runs for more than `patience` seconds. No other thread of this process may use a database meanwhile.
    """
    connections.close_all()  # a connection cannot be shared by both sides of a fork
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn about other threads, such as the test runner's. The child does not need them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reader)
        _run_child(function, writer)
    os.close(writer)
    with os.fdopen(reader) as report, _reaped(child):
        # The child's exit also closes its end of the pipe.
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
    """Call the function and exit. Never returns: the child must not continue as a second test runner."""
    code, text = RAISED, ""
    try:
        text = json.dumps(function())
        code = 0
    except BaseException:  # noqa: BLE001  (KeyboardInterrupt, too, must not leave this function)
        text = traceback.format_exc()
    finally:
        with os.fdopen(writer, "w") as report:
            report.write(text)
        os._exit(code)


@contextmanager
def _reaped(child: int) -> Iterator[None]:
    """Kill and reap the child if the block raises."""
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
