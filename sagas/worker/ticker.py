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
            pause = SOON if self._tick_safely() else min(2 * pause, EVERY)

    def _tick_safely(self) -> bool:
        """Send the signal; log any exception, so that the thread goes on."""
        try:
            return self._tick()
        except BaseException as error:  # noqa: BLE001  (send_robust does not catch a receiver's SystemExit)
            log(logging.ERROR, "beat.failed", error_type=type(error).__name__)
            return False

    def _tick(self) -> bool:
        """Send the signal; return whether a receiver has made progress."""
        close_old_connections()
        progressed = False
        for receiver, answer in beat.send_robust(Ticker):
            progressed = progressed or answer is True
            if isinstance(answer, Exception):
                log(logging.ERROR, "receiver.failed", receiver=str(receiver), error_type=type(answer).__name__)
        return progressed
