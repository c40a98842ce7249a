"""The signal `beat`, for what is to go on wherever workers run."""

from __future__ import annotations

import logging
import threading
import time

from django.db import close_old_connections

from sagas.engine.logs import log
from sagas.signals import beat

from .shared import CLUSTER

EVERY = 1.0
SOON = 0.05


class Pulse:
    """Sends it from a thread of the pusher, of which a cluster has one and which never leaves.

    A thread, because a receiver that takes its time must not keep the pusher from ringing.
    """

    def start(self) -> None:
        """Begin; the thread ends with its process."""
        threading.Thread(target=self._beat_always, name="sagas-pulse", daemon=True).start()

    def _beat_always(self) -> None:
        pause = EVERY
        while not (CLUSTER.stopping or CLUSTER.orphaned()):
            time.sleep(pause)
            pause = SOON if self._beat_safely() else min(2 * pause, EVERY)

    def _beat_safely(self) -> bool:
        """The thread outlives whatever goes wrong in it."""
        try:
            return self._beat()
        except BaseException as error:  # noqa: BLE001  (SystemExit, which is not caught elsewhere, is one receiver's)
            log(logging.ERROR, "beat.failed", error_type=type(error).__name__)
            return False

    def _beat(self) -> bool:
        """Whether a receiver has got on with something."""
        close_old_connections()
        got_on = False
        for receiver, answer in beat.send_robust(Pulse):
            got_on = got_on or answer is True
            if isinstance(answer, Exception):
                log(logging.ERROR, "receiver.failed", receiver=str(receiver), error_type=type(answer).__name__)
        return got_on
