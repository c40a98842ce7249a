"""manage.py saga_workers: run a cluster of workers under a supervisor."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import connections

from sagas import conf
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.storage import database
from sagas.worker.supervision.supervisor import ClusterNeverReady, Supervisor


class Command(SagaCommand):
    """Run django-q2's cluster in its own process group. Replace the cluster if it hangs or loses a process."""

    help = "Runs the workers until SIGTERM or Ctrl-C; a cluster that hangs or loses a process is replaced."
    requires_system_checks = "__all__"

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Run the database checks only if the database answers. Otherwise the workers start and wait for it."""
        kwargs: Any = super().get_check_kwargs(options)
        try:
            connections[database.alias()].ensure_connection()
        except DatabaseError:
            return kwargs
        return kwargs | {"databases": [database.alias()]}

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --cluster."""
        parser.add_argument("--cluster", metavar="NAME", help="one of Q_CLUSTER['ALT_CLUSTERS'], instead of the first")

    def run(self, options: dict[str, Any]) -> Exit:
        """Supervise the cluster until a signal stops it."""
        refusal = _why_not(options["cluster"] or os.environ.get("Q_CLUSTER_NAME"))
        if refusal:
            raise CommandError(refusal, returncode=Exit.REFUSED)
        if options["cluster"]:
            os.environ["Q_CLUSTER_NAME"] = options["cluster"]
        supervisor = Supervisor([sys.executable, "-m", "django", "qcluster"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        self.console.say("Workers are running. SIGTERM or Ctrl-C stops them after their current attempts.")
        try:
            supervisor.run()
        except ClusterNeverReady as error:
            self.console.say(str(error))
            return Exit.ERROR
        self.console.say("Stopped.")
        return Exit.SUCCEEDED


def _why_not(name: str | None) -> str:
    """Return why the cluster called `name` cannot run sagas, or "". Without a name, check the first cluster."""
    known = conf.clusters()
    if name is not None and name not in known:
        return f"Q_CLUSTER has no cluster {name!r}, only {', '.join(map(repr, known))}."
    name = next(iter(known)) if name is None else name
    if conf.runs_sagas(known[name]):
        return ""
    return f"The cluster {name!r} of Q_CLUSTER runs no sagas: set its broker_class to {conf.BROKER!r}."
