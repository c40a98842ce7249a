"""Runs functions in forked children that may die, each with database connections of its own."""

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
from typing import Any, TextIO

from django.db import connections

RAISED = 1
NAP = 0.002


class ChildFailed(AssertionError):
    """A child raised, hung, or died in a way that nobody planned."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (minus the number of the signal that killed it) and what it returned."""

    code: int
    returned: Any = None


def run_in_child(function: Callable[[], Any], *, dies_with: int, patience: float) -> Ended:
    """Fork, call `function` there and give what it returned, which must be JSON, or how the child died.

    ChildFailed, with the child's traceback, when it raised; also when it runs for more than `patience` seconds.
    No other thread of this process may be using a database meanwhile.
    """
    connections.close_all()  # a connection that lives on both sides of a fork serves neither
    reader, writer = os.pipe()
    child = _fork()
    if child == 0:
        os.close(reader)
        _be_the_child(function, writer)
    os.close(writer)
    with os.fdopen(reader) as report, _reaped(child):
        text = _report(report, patience)
        code = _exit_code(child, patience)
    if code == 0:
        return Ended(code, json.loads(text))
    if code != dies_with:
        raise ChildFailed(f"The child ended with {code} instead of {dies_with}:\n{text}")
    return Ended(code)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of other threads, such as a test runner's, which the child does not need.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_the_child(function: Callable[[], Any], writer: int) -> None:
    """Never returns: whatever happens, a child must not go on as a second test runner."""
    code, text = RAISED, ""
    try:
        text = json.dumps(function())
        code = 0
    except BaseException:  # noqa: BLE001 - KeyboardInterrupt too must not leave this function
        text = traceback.format_exc()
    finally:
        with os.fdopen(writer, "w") as report:
            report.write(text)
        os._exit(code)


def _report(report: TextIO, patience: float) -> str:
    """What the child says before it closes its end of the pipe, be it by dying."""
    ready, _, _ = select.select([report], [], [], patience)
    if not ready:
        raise ChildFailed(f"A child was still running after {patience} s.")
    return report.read()


@contextmanager
def _reaped(child: int) -> Iterator[None]:
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
