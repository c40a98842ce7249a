"""Send the signal `beat` about once a second in each cluster."""

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
    """Sends `beat` from a thread of the pusher, because each cluster has exactly one pusher.

    The separate thread prevents a slow receiver from delaying the wake-ups.
    """

    def start(self) -> None:
        """Start the thread. It ends with the process."""
        threading.Thread(target=self._run, name="sagas-ticker", daemon=True).start()

    def _run(self) -> None:
        pause = EVERY
        while not (CLUSTER.stopping or CLUSTER.orphaned()):
            time.sleep(pause)
            pause = SOON if self._tick() else min(2 * pause, EVERY)

    def _tick(self) -> bool:
        """Send the signal and return whether a receiver has made progress."""
        try:
            close_old_connections()
            answers = beat.send_robust(Ticker)
            for receiver, answer in answers:
                if isinstance(answer, Exception):
                    log(logging.ERROR, "receiver.failed", receiver=str(receiver), error_type=type(answer).__name__)
            return any(answer is True for _, answer in answers)
        except BaseException as error:  # noqa: BLE001  (the thread must continue; send_robust does not catch SystemExit)
            log(logging.ERROR, "beat.failed", error_type=type(error).__name__)
            return False
