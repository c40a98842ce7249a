"""Start, pause and kill separate processes that use the test's database."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
CHILDREN_PATIENCE = 30.0
KILLED = 137
# prctl(2) makes the kernel send SIGTERM to the executed command when its parent ends, even if SIGKILL ended the parent.
MORTAL = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def run_saga(saga: str, saga_id: str, context: dict[str, Any], **settings: Any) -> subprocess.Popen:
    """Start `manage.py run_saga` with this input and these SAGAS settings, on the test's database."""
    command = [sys.executable, "manage.py", "run_saga", saga, "--saga-id", saga_id, "--context", json.dumps(context)]
    environment = os.environ | {
        "DATABASE_URL": url_of("default"),
        "SANDBOX_DATABASE_URL": url_of("sandbox"),
        "SAGAS_SETTINGS": json.dumps(settings),
    }
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def mortal(command: Sequence[str]) -> list[str]:
    """Wrap a command. Its process gets SIGTERM when the thread that started it ends."""
    return [sys.executable, "-c", MORTAL, str(os.getpid()), *command]


def url_of(alias: str) -> str:
    """Return the URL of the test's database for this alias."""
    values = connections[alias].settings_dict
    if connections[alias].vendor == "sqlite":
        return f"sqlite:///{quote(str(values['NAME']))}"
    words = {word: quote(str(values[word]), safe="") for word in ("USER", "PASSWORD", "HOST", "NAME")}
    port = f":{values['PORT']}" if values["PORT"] else ""
    return "postgresql://{USER}:{PASSWORD}@{HOST}".format(**words) + f"{port}/{words['NAME']}"


@contextmanager
def forked(function: Callable[[], Any]) -> Iterator[int]:
    """Run the function in a forked child and yield the child's process id. Kill the child when the block ends."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    try:
        yield child
    finally:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def wait_until_stopped(child: int) -> None:
    """Wait until the child has stopped (SIGSTOP). Raise AssertionError if the child ended."""
    _, status = wait_for(lambda: _changed(child, os.WUNTRACED))
    assert os.WIFSTOPPED(status), f"the child ended with {os.waitstatus_to_exitcode(status)}"


def exit_code(child: int) -> int:
    """Wait until the child has ended and return its exit code."""
    _, status = wait_for(lambda: _changed(child, 0))
    return os.waitstatus_to_exitcode(status)


def wait_for(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Call the condition until its result is true, and return the result.

    Raise AssertionError after `patience` seconds.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not happen within {patience} s")


def stop_here() -> None:
    """Stop this process (SIGSTOP) until another process sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _changed(child: int, options: int) -> tuple[int, int] | None:
    done, status = os.waitpid(child, os.WNOHANG | options)
    return (done, status) if done else None


def exit_codes(functions: Sequence[Callable[[], None]]) -> list[int]:
    """Run each function in a forked child, all at the same time. Return the exit codes in the same order.

    0: the function returned. 1: the function raised. Negative: a signal killed the child.
    """
    # Parent and child must not use the same database connection.
    connections.close_all()
    children = [_start(function) for function in functions]
    end = time.monotonic() + CHILDREN_PATIENCE
    return [_exit_code_before(child, end) for child in children]


def _start(function: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        # Python warns of a fork in a process with threads. The child does not need the test runner's threads.
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
        # Without this exit, the child continues as a second test runner.
        os._exit(code)


def _exit_code_before(child: int, end: float) -> int:
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError(f"A child was still running after {CHILDREN_PATIENCE} s.")
