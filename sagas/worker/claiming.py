"""Claims executions for the free threads of a worker."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable

from django.db import Error as DatabaseError
from django.db import connections

from sagas import storage
from sagas.conf import get_settings
from sagas.definition.exceptions import UnreadableRow
from sagas.definition.registry import all_sagas
from sagas.engine.leased_execution import worker_name
from sagas.engine.logs import log
from sagas.models import SagaExecution
from sagas.storage import database

from .pool import Pool
from .quarantine import readable_of
from .supervision.shared_memory import CLUSTER

WAIT_FOR_FREE = 0.1
GATHER_SECONDS = 0.002
RECOVERED_EVERY = 0.5
PAUSE_AFTER_ERROR = 1.0


class Claimer:
    """Claims executions for the pool, in the main thread, until `is_stopping()` is true."""

    def __init__(self, pool: Pool, is_stopping: Callable[[], bool]) -> None:
        self.active = False
        self.wake_ups = 0
        self.claims = 0
        # The main thread holds this lock from a claim until the pool has the executions.
        self.lock = threading.Lock()
        self._pool, self._is_stopping = pool, is_stopping
        self._look_for_recovered_at = 0.0

    def claim_all(self) -> None:
        """Claim executions for all free threads until none is due."""
        self.active = True
        self.wake_ups += 1
        try:
            while not self._is_stopping():
                if not self._pool.wait_for_free(WAIT_FOR_FREE):
                    continue
                if self._pool.free < self._pool.size:
                    time.sleep(GATHER_SECONDS)  # threads often become free at the same time; then one claim is enough
                with self.lock:
                    if self._is_stopping() or not self._claim_for(self._pool.free):
                        break
        except DatabaseError as error:
            log(logging.WARNING, "claim.failed", error_type=type(error).__name__)
            connections[database.alias()].close()
            time.sleep(PAUSE_AFTER_ERROR)
        finally:
            self.active = False

    def _claim_for(self, free: int) -> int:
        """Claim up to `free` executions and return how many were claimed. At most one is on its last recovery.

        A crash of the process counts as a recovery for every execution that runs in it. Executions that the next crash
        would quarantine run one at a time, so that only the execution with the poison step is quarantined.
        """
        last = get_settings().MAX_RECOVERIES - 1
        found = 0
        if last and time.monotonic() >= self._look_for_recovered_at and not self._pool.has_recoveries(last):
            found = self._claim_some(1, (last, storage.UNLIMITED_RECOVERIES))
            self._look_for_recovered_at = time.monotonic() + (0.0 if found else RECOVERED_EVERY)
        most = last - 1 if last else storage.UNLIMITED_RECOVERIES
        return found + (self._claim_some(free - found, (0, most)) if free > found else 0)

    def _claim_some(self, count: int, recoveries: tuple[int, int]) -> int:
        sagas, sent, worker = all_sagas(), time.monotonic(), worker_name()
        lease = get_settings().LEASE
        tries = itertools.count()

        def claim() -> list[SagaExecution]:
            # The first claim may have committed although its answer was lost. A second claim would take more rows.
            try:
                found = storage.find_all_claimed(worker=worker) if next(tries) else []
                return found or storage.claim_due(count, list(sagas), worker=worker, lease=lease, recoveries=recoveries)
            except UnreadableRow:
                return readable_of(worker)

        claimed = database.persist(claim)
        if claimed:
            CLUSTER.count_claim()
            self.claims += len(claimed)
        self._pool.run([(execution, sagas[execution.saga_name], sent) for execution in claimed])
        return len(claimed)
