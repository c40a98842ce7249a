"""Run `manage.py saga_workers` in a child process for the demo."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from django.conf import settings
from django.core.management.base import CommandError

from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator

# The times are short, because the demo waits until a saga is recovered after its worker was killed.
SETTINGS = {"LEASE": 5, "DRAIN_SECONDS": 5}
LOOK_EVERY = 0.5
PATIENCE = 90.0
LAST_LINES = 5


class Workers:
    """A running `saga_workers` process. Its output goes to a file. Errors quote the last lines of the file."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log
        given = json.loads(os.environ.get("SAGAS_SETTINGS") or "{}")
        changed = {"SAGAS_SETTINGS": json.dumps(SETTINGS | given), "SAGAS_LOG_LEVEL": "WARNING"}
        self._child = subprocess.Popen(  # noqa: S603  (runs only our own interpreter and command)
            [sys.executable, settings.BASE_DIR / "manage.py", "saga_workers"],
            env=os.environ | changed,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def wait(self, saga_id: str) -> SagaExecution:
        """Wait until the execution has ended or is on hold. Raise CommandError after PATIENCE seconds."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            execution = get_saga_orchestrator().wait(saga_id, LOOK_EVERY)
            if execution.due_at is None:
                return execution
            if self._child.poll() is not None:
                raise CommandError(
                    f"The workers ended unexpectedly with exit code {self._child.returncode}. {self._last_output()}"
                )
        raise CommandError(f"{saga_id} did not end within {PATIENCE:g} s. {self._last_output()}")

    def end(self) -> None:
        """Stop the workers after their current attempts."""
        self._child.terminate()
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()  # the cluster notices this and ends too
            self._child.wait()

    def _last_output(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(["Last output:", *lines[-LAST_LINES:]]) if lines else "There was no output."


@contextmanager
def running_workers() -> Iterator[Workers]:
    """Run workers until the block ends."""
    with tempfile.TemporaryFile() as log:
        with _delayed_signals() as received:
            workers = Workers(log)
        try:
            if received:
                raise KeyboardInterrupt
            yield workers
        finally:
            with _delayed_signals():
                workers.end()


@contextmanager
def _delayed_signals() -> Iterator[list[int]]:
    """Delay Ctrl-C and SIGTERM until the block ends, because a signal during the start would leave a child running."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
