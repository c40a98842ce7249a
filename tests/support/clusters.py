"""A cluster in a process group of its own, on the test's database."""

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
    """`manage.py qcluster`, or `saga_workers`, which supervises one."""

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
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the cluster leaves)
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
        """Wait until all workers have reported, to the database and to the supervisor."""
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
        """Its output. `pread`, because the cluster writes at the file's position."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode()

    @property
    def rows(self) -> Any:
        return SagaWorker.objects.filter(cluster=self.name)

    @property
    def group(self) -> int:
        """The process group of the cluster, as a worker last reported it; the supervisor has another."""
        if newest := self.rows.order_by("-id").first():
            self._group = newest.process_group
        return self._group

    @property
    def workers(self) -> list[int]:
        """The process ids of running workers that have reported."""
        living = parents_in_group(self.group)
        return [pid for pid in self.rows.order_by("pid").values_list("pid", flat=True) if pid in living]

    @property
    def sentinel(self) -> int:
        return next(pid for pid, parent in parents_in_group(self.group).items() if parent == self.group)

    @property
    def helpers(self) -> dict[str, int]:
        """Monitor and pusher, which django-q2 forks after the workers, in this order."""
        sentinel = self.sentinel
        children = sorted(pid for pid, parent in parents_in_group(self.group).items() if parent == sentinel)
        return dict(zip(("monitor", "pusher"), [pid for pid in children if pid not in self.workers], strict=True))

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut does."""
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
        """Return the supervisor's group and those of the workers; the test may have closed the database."""
        try:
            return {self.process.pid, *self.rows.values_list("process_group", flat=True)}
        except DatabaseError:
            return {self.process.pid, self._group or self.process.pid}

    def leave(self) -> None:
        """Kill everything and print the output, which pytest shows if the test failed."""
        if self.process.poll() is None:
            for pid in parents_in_group(self.process.pid):
                signal_to(pid, signal.SIGCONT)
        self.kill()
        print(self.said)
        self.log.close()


@contextmanager
def open_transaction(*statements: str) -> Iterator[None]:
    """Hold a transaction and its locks on another connection until the block is left."""
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
    """Send the signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stays(condition: Any, seconds: float) -> bool:
    """Return whether the condition holds for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.02)
    return True
