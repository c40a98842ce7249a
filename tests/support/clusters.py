"""Start a worker cluster in its own process group, on the test's database."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connections

from sagas.models import SagaWorker
from sagas.worker.supervision.processes import parents_in_group
from tests.support.processes import ROOT, mortal, url_of, wait_for

LEASE = 2.0


class ClusterUnderTest:
    """A running `manage.py qcluster`, or `manage.py saga_workers`, which supervises a cluster."""

    def __init__(
        self,
        command: str,
        *,
        workers: int,
        name: str,
        recycle: int,
        environment: dict[str, str],
        settings: dict[str, Any],
        interpreter: Sequence[str] = (sys.executable,),
    ) -> None:
        self.command, self.count, self.name, self.recycle = command, workers, name, recycle
        self._group = 0
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (`leave` closes it)
        self.process = subprocess.Popen(
            mortal([*interpreter, "manage.py", command]),
            cwd=ROOT,
            env=self._environment(settings) | environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until_it_works(self) -> None:
        """Wait until all workers have stored a report and the supervisor has seen them."""
        wait_for(lambda: self._check_alive() or self._is_working())

    def _environment(self, settings: dict[str, Any]) -> dict[str, str]:
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.worker.settings",
            "DATABASE_URL": url_of("default"),
            "SANDBOX_DATABASE_URL": url_of("sandbox"),
            "SAGAS_SETTINGS": json.dumps({"LEASE": LEASE} | settings),
            "STRANGE_CLUSTER": json.dumps(
                {"name": self.name, "workers": self.count, "queue_limit": self.count, "recycle": self.recycle}
            ),
        }

    def _check_alive(self) -> None:
        code = self.process.poll()
        assert code is None, f"the cluster ended with {code}:\n{self.said}"

    def _is_working(self) -> bool:
        watched = self.command == "qcluster" or "cluster.working" in self.said
        return watched and len(self.workers) == self.count

    @property
    def said(self) -> str:
        """The cluster's output so far.

        `pread` does not move the file's position, at which the cluster writes.
        """
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode()

    @property
    def rows(self) -> Any:
        return SagaWorker.objects.filter(cluster=self.name)

    @property
    def group(self) -> int:
        """The process group that the newest worker reported. The supervisor is in a different group."""
        if newest := self.rows.order_by("-id").first():
            self._group = newest.process_group
        return self._group

    @property
    def workers(self) -> list[int]:
        """The process ids of the running workers that have stored a report."""
        living = parents_in_group(self.group)
        return [pid for pid in self.rows.order_by("pid").values_list("pid", flat=True) if pid in living]

    @property
    def sentinel(self) -> int:
        return next(pid for pid, parent in parents_in_group(self.group).items() if parent == self.group)

    @property
    def helpers(self) -> dict[str, int]:
        """The process ids of monitor and pusher.

        django-q2 forks both after the workers: first the monitor, then the pusher.
        """
        sentinel = self.sentinel
        children = sorted(pid for pid, parent in parents_in_group(self.group).items() if parent == sentinel)
        return dict(zip(("monitor", "pusher"), [pid for pid in children if pid not in self.workers], strict=True))

    def stop(self) -> int:
        """Send SIGTERM, wait for the end, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill all processes of the cluster at once, like a power cut."""
        groups = self._groups()
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)
        for group in groups:
            wait_for(lambda group=group: not parents_in_group(group))

    def _groups(self) -> set[int]:
        """Return the process groups of the supervisor and of the workers.

        If the database is closed, use the last group that a worker reported.
        """
        try:
            return {self.process.pid, *self.rows.values_list("process_group", flat=True)}
        except DatabaseError:
            return {self.process.pid, self._group or self.process.pid}

    def leave(self) -> None:
        """Kill all processes and print their output. pytest shows the output if the test failed."""
        if self.process.poll() is None:
            for pid in parents_in_group(self.process.pid):
                signal_to(pid, signal.SIGCONT)
        self.kill()
        print(self.said)
        self.log.close()


@contextmanager
def open_transaction(*statements: str) -> Iterator[None]:
    """Execute the statements in a transaction on another connection. Keep it open until the block ends."""
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
    other.close()


def signal_to(pid: int, number: int) -> None:
    """Send the signal to a process. Do nothing if the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stays(condition: Any, seconds: float) -> bool:
    """Return whether the condition stays true for this number of seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.02)
    return True
