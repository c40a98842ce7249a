"""The signal `beat`, sent about once a second by each cluster."""

from __future__ import annotations

import logging
import threading
import time

from django.db import close_old_connections

from sagas.engine.logs import log
from sagas.signals import beat

from .supervision.shared_memory import CLUSTER

EVERY = 1.0
SOON = 0.05


class Ticker:
    """Sends `beat` from a thread of the pusher, which exists once in a cluster and never leaves it.

    A thread, so that a slow receiver does not delay the wake-ups.
    """

    def start(self) -> None:
        """Start the thread; it ends with its process."""
        threading.Thread(target=self._run, name="sagas-ticker", daemon=True).start()

    def _run(self) -> None:
        pause = EVERY
        while not (CLUSTER.stopping or CLUSTER.orphaned()):
            time.sleep(pause)
            pause = SOON if self._tick() else min(2 * pause, EVERY)

    def _tick(self) -> bool:
        """Send the signal; return whether a receiver has made progress."""
        try:
            close_old_connections()
            answers = beat.send_robust(Ticker)
            for receiver, answer in answers:
                if isinstance(answer, Exception):
                    log(logging.ERROR, "receiver.failed", receiver=str(receiver), error_type=type(answer).__name__)
            return any(answer is True for _, answer in answers)
        except BaseException as error:  # noqa: BLE001  (the thread goes on; send_robust does not catch SystemExit)
            log(logging.ERROR, "beat.failed", error_type=type(error).__name__)
            return False
