"""Keep the database row of a worker up to date, in a thread."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from django.db import connections
from django.db.models.functions import Now
from django_q.conf import Conf

from sagas.conf import get_settings
from sagas.definition.registry import all_sagas
from sagas.engine.leased_execution import HOST
from sagas.engine.logs import log
from sagas.models import SagaWorker
from sagas.models.querysets import ago
from sagas.storage import database

from .claiming import Claimer
from .pool import Pool
from .unregistered_sagas import hold_unregistered

DELETE_AFTER = 3600.0
LONGEST_SILENCE = 5.0


class WorkerRow:
    """Updates the worker's row at the heartbeat's interval, and deletes the row when the worker has drained."""

    def __init__(self, name: str, pool: Pool, claimer: Claimer, is_stopping: Callable[[], bool]) -> None:
        self.deleted = threading.Event()
        self._name, self._pool, self._claimer, self._is_stopping = name, pool, claimer, is_stopping

    def update_until(self, drained: threading.Event) -> None:
        """Keep the row up to date until the event is set."""
        self._safely(_delete_old_rows)
        while not drained.is_set():
            self._safely(self._update)
            drained.wait(min(get_settings().beat, LONGEST_SILENCE))
        self._safely(self._delete)
        self.deleted.set()

    def _safely(self, write: Callable[[], None]) -> None:
        """Call `write` and log any exception. If the thread ended, the worker would count as gone."""
        try:
            write()
        except Exception as error:  # noqa: BLE001  (the thread must continue)
            log(logging.WARNING, "report.failed", error_type=type(error).__name__)
        finally:
            connections.close_all()  # closes only the connections of this thread

    def _update(self) -> None:
        current = {
            "seen_at": Now(),
            "running": self._pool.running,
            "free": self._pool.free,
            "stuck": self._pool.stuck,
            "claims": self._claimer.claims,
        }
        constant = {
            "host": HOST,
            "pid": os.getpid(),
            "process_group": os.getpgrp(),
            "cluster": Conf.CLUSTER_NAME,
            "knows": sorted(all_sagas()),
        }
        rows = SagaWorker.objects.using(database.alias())
        rows.update_or_create(
            name=self._name,
            defaults=current | {"draining": self._is_stopping()},
            create_defaults=current | constant | {"started_at": Now()},
        )
        hold_unregistered()

    def _delete(self) -> None:
        self._pool.uncount_recoveries()
        SagaWorker.objects.using(database.alias()).filter(name=self._name).delete()


def _delete_old_rows() -> None:
    """Delete the rows of workers that were killed at least an hour ago."""
    SagaWorker.objects.using(database.alias()).filter(seen_at__lt=ago(DELETE_AFTER)).delete()
