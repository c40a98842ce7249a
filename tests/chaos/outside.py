"""The soak's view of the provider: start, kill and control its process, and read its ledger."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import defaultdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from sagaproject.bookings.models import Invoice, InvoiceStatus
from sagas.models import SagaExecution
from sagas.testing import Effect
from tests.support.processes import ROOT

DONE = {"standing", "confirmed", "removed", "refunded"}
UNDONE = {"removed", "refunded"}
Rows = list[sqlite3.Row]


class Provider:
    """The process `python -m tests.chaos.provider`; a restart keeps the port and the ledger."""

    def __init__(self, folder: Path, seed: str, rate: float) -> None:
        self.port = 0
        self.killed = 0
        self._ledger, self._seed, self._rate = folder / "ledger.sqlite3", seed, rate
        self._start()

    def kill(self) -> None:
        """Kill the process and start it again."""
        self.leave()
        self.killed += 1
        self._start()

    def leave(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def calm(self) -> None:
        """Stop the faults."""
        self._rate = 0.0
        self._control("calm")

    def deliver(self) -> None:
        """Deliver delayed requests now."""
        self._control("deliver")

    def is_answering(self) -> bool:
        """Return whether the provider handles a request now; the client of the request may have been killed."""
        return bool(self._control("look")["running"])

    def is_idle(self) -> bool:
        """Return whether the provider neither handles nor delays a request."""
        return not any(self._control("look").values())

    def faults(self) -> dict[str, tuple[int, int]]:
        """Return the planned and actual number of faults by kind."""
        return {row["kind"]: (row["ordered"], row["done"]) for row in self._read("SELECT * FROM faults ORDER BY kind")}

    def objections(self) -> dict[str, list[str]]:
        """Return the ledger's objections by saga."""
        found = defaultdict(list)
        for row in self._read("SELECT * FROM objections"):
            found[row["saga"]].append(row["sentence"])
        return found

    def effects(self) -> Rows:
        """Return all rows of the ledger."""
        return self._read("SELECT * FROM effects ORDER BY id")

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.provider"]
        arguments = [str(self.port), str(self._ledger), self._seed, str(self._rate)]
        self._process = subprocess.Popen(
            command + arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.port = int(self._process.stdout.readline())

    def _control(self, command: str) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", f"/control/{command}", "{}")
        with connection.getresponse() as response:
            return json.loads(response.read())

    def _read(self, sql: str) -> Rows:
        with sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True) as file:
            file.row_factory = sqlite3.Row
            return file.execute(sql).fetchall()


class AllEffects:
    """The effects of every step of every saga, from the provider's ledger and from the table of invoices."""

    def __init__(self, provider: Provider) -> None:
        self._rows: dict[tuple[str, str], Rows] = defaultdict(list)
        self.late_letters = 0
        for row in provider.effects():
            self.late_letters += row["late"]
            if not row["late"]:
                self._rows[row["saga"], row["step"]].append(row)
        self._invoices = dict(Invoice.objects.values_list("idempotency_key", "status"))

    def of(self, execution: SagaExecution) -> dict[str, Effect]:
        """Return the effects of the execution by step."""
        return {step: self._effect(execution, step) for step in execution.plan}

    def _effect(self, execution: SagaExecution, step: str) -> Effect:
        key = f"{execution.saga_id}:{execution.run}:{step}"
        if step == "record":
            status = self._invoices.get(key)
            voided = status == InvoiceStatus.VOIDED
            return Effect(int(status is not None), int(voided), remains=status is not None and not voided)
        rows = self._rows[execution.saga_id, step]
        if step == "tell":
            done, undone = [sum(row["key"] == sent for row in rows) for sent in (key, f"{key}:undo")]
            return Effect(done, undone, remains=bool(done and not undone), repeats=True)
        done, undone = [sum(row["state"] in states for row in rows) for states in (DONE, UNDONE)]
        return Effect(done, undone, remains=done > undone)
