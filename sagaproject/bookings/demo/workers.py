"""The demo's workers: `manage.py saga_workers` as a child, which does not outlive the demo."""

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

# Short, so that nobody waits a minute for the rescue of a saga whose worker was killed.
SETTINGS = {"LEASE": 5, "DRAIN_SECONDS": 5}
LOOK_EVERY = 0.5
PATIENCE = 90.0
LAST_WORDS = 5


class Workers:
    """A running `saga_workers`; what it says goes to a file, of which the last words are shown if it fails."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log
        self._child = subprocess.Popen(  # noqa: S603  (our own interpreter and command)
            [sys.executable, settings.BASE_DIR / "manage.py", "saga_workers"],
            env=os.environ | {"SAGAS_SETTINGS": _settings(), "SAGAS_LOG_LEVEL": "WARNING"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def wait(self, saga_id: str) -> SagaExecution:
        """The execution once workers have brought it to its end, or have held it; CommandError if they do not."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            execution = get_saga_orchestrator().wait(saga_id, LOOK_EVERY)
            if execution.due_at is None:
                return execution
            if self._child.poll() is not None:
                raise CommandError(f"The workers ended by themselves, with {self._child.returncode}. {self._said()}")
        raise CommandError(f"No worker brought {saga_id} to its end within {PATIENCE:g} s. {self._said()}")

    def end(self) -> None:
        """Let attempts in hand end, and all its processes."""
        self._child.terminate()
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()  # the cluster notices, and ends by itself
            self._child.wait()

    def _said(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(["The last they said:", *lines[-LAST_WORDS:]]) if lines else "They said nothing."


@contextmanager
def running_workers() -> Iterator[Workers]:
    """Workers that end with the block, however it ends."""
    with tempfile.TemporaryFile() as log:
        with _held_back() as came:
            workers = Workers(log)
        try:
            if came:
                raise KeyboardInterrupt
            yield workers
        finally:
            with _held_back():
                workers.end()


@contextmanager
def _held_back() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM wait: they must find either no child, or one that will be ended; and they end it once."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _settings() -> str:
    given = json.loads(os.environ.get("SAGAS_SETTINGS") or "{}")
    return json.dumps(SETTINGS | given)
