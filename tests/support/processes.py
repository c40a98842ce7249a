"""Processes of their own on the test's database: to be killed, to be paused, to go on."""

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
# prctl(2): whoever is executed here is sent SIGTERM when its parent dies, even if the parent was killed.
MORTAL = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def run_saga(saga: str, saga_id: str, context: dict[str, Any], **settings: Any) -> subprocess.Popen:
    """`manage.py run_saga` of this input on the test's database, under these SAGAS settings."""
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
    """The same command, which ends by itself when the thread that has started it does."""
    return [sys.executable, "-c", MORTAL, str(os.getpid()), *command]


def url_of(alias: str) -> str:
    """The URL of the test's database."""
    values = connections[alias].settings_dict
    if connections[alias].vendor == "sqlite":
        return f"sqlite:///{quote(str(values['NAME']))}"
    words = {word: quote(str(values[word]), safe="") for word in ("USER", "PASSWORD", "HOST", "NAME")}
    port = f":{values['PORT']}" if values["PORT"] else ""
    return "postgresql://{USER}:{PASSWORD}@{HOST}".format(**words) + f"{port}/{words['NAME']}"


@contextmanager
def forked(function: Callable[[], Any]) -> Iterator[int]:
    """Run the function in a child and give its process id; the child is gone when the block is left."""
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
    """Return once the child has stopped; AssertionError if it ended instead."""
    _, status = wait_for(lambda: _changed(child, os.WUNTRACED))
    assert os.WIFSTOPPED(status), f"the child ended with {os.waitstatus_to_exitcode(status)}"


def exit_code(child: int) -> int:
    """The child's exit code, once it has ended."""
    _, status = wait_for(lambda: _changed(child, 0))
    return os.waitstatus_to_exitcode(status)


def wait_for(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What the condition gives, once it gives something; AssertionError after so many seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not happen within {patience} s")


def stop_here() -> None:
    """Stop this process until somebody lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _changed(child: int, options: int) -> tuple[int, int] | None:
    done, status = os.waitpid(child, os.WNOHANG | options)
    return (done, status) if done else None


def exit_codes(functions: Sequence[Callable[[], None]]) -> list[int]:
    """Run each function in a forked child, all at once. Exit code 0: returned; 1: raised; else as the child died."""
    # A connection must not be used on both sides of a fork.
    connections.close_all()
    children = [_start(function) for function in functions]
    end = time.monotonic() + CHILDREN_PATIENCE
    return [_exit_code_before(child, end) for child in children]


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
        # The child must never continue as a second test runner.
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
