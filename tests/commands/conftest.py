"""Fixtures that run commands in this process or in new processes, and that create executions for them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from integrations.models import SandboxEffect
from sagas.models import SagaExecution, StepRun
from tests.support import bookings
from tests.support.processes import PATIENCE, ROOT, url_of

BOOKING = bookings.BOOKING | {"customer_document": "529.982.247-25"}
BOOKED = [
    "create_booking b-1: Everything is done. Nothing to do.",
    "  Done: create_nf, send_email, send_whatsapp, add_calendar.",
]
REFUSED_AND_UNDONE = [
    (
        "create_booking b-1: Failed at “Calendar entry”. Everything that was done before is undone. "
        "Nothing to clean up. It can be retried."
    ),
    "  Undone: create_nf, send_email, send_whatsapp.",
    "  add_calendar: The provider refuses the request (refused)",
    '  python manage.py saga_retry --reason "…" b-1',
]


@dataclass(frozen=True)
class Said:
    """The result of a command: stdout, stderr, the message of its CommandError, and the exit code."""

    out: str
    err: str
    sentence: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout. Stdout contains nothing else."""
        return json.loads(self.out)


@pytest.fixture
def command(db) -> Callable[..., Said]:
    """Call a command in this process: `command("run_saga", "create_booking", "--json")`."""

    def call(*words: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        sentence, code = "", 0
        try:
            call_command(*words, stdout=out, stderr=err)
        except CommandError as error:
            sentence, code = str(error), error.returncode
        return Said(out.getvalue(), err.getvalue(), sentence, code)

    return call


class Shell:
    """Run manage.py in new processes that use the test's databases."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *words: str, given: bytes | None = b"", **environment: str) -> Said:
        """Run the command to its end, with `given` as its standard input, and return its result."""
        return self.end(self.start(*words, **environment), given)

    def start(self, *words: str, stdin: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment() | environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes], given: bytes | None = None) -> Said:
        """Wait until the process has ended and return its result."""
        out, err = process.communicate(given, timeout=PATIENCE)
        return Said(out.decode(), err.decode(), "", process.returncode)

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DATABASE_URL": url_of("default"),
            "SANDBOX_DATABASE_URL": url_of("sandbox"),
            "SAGAS_LOG_LEVEL": "CRITICAL",
            "PYTHONIOENCODING": "utf-8",
        }

    def leave(self) -> None:
        """Kill all started processes and close their pipes."""
        for process in self.started:
            with process:
                process.kill()


@pytest.fixture
def shell(transactional_db):
    """Run a command in a new process: `shell(…)` waits for its end, `shell.start(…)` does not wait."""
    shell = Shell()
    yield shell
    shell.leave()


@pytest.fixture
def booking(tmp_path: Path) -> str:
    """Write the input of a booking to a file and return the value for `--context`: "@" and the path."""
    path = tmp_path / "booking.json"
    path.write_text(json.dumps(BOOKING))
    return f"@{path}"


@pytest.fixture
def partially_compensated(command, booking, plant) -> str:
    """Run a booking that fails and whose invoice cannot be cancelled. Return its saga id."""
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")
    assert command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1").code == 4
    return "b-1"


def nothing_exists() -> bool:
    """Return whether the tables of executions, step runs and provider effects are all empty."""
    return not (SagaExecution.objects.exists() or StepRun.objects.exists() or SandboxEffect.objects.exists())


def effects() -> Sequence[tuple[str, str, str]]:
    """Return the effects in the ledger of the sandbox, oldest first, as (port, operation, state)."""
    return list(SandboxEffect.objects.order_by("pk").values_list("port", "operation", "state"))
