"""Clients that start sagas continuously, also while other processes are down; some starts are repeated."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import connections

from sagas import SagaConflict
from sagas.orchestrator import get_saga_orchestrator

from .database import retry
from .shop.sagas import REFUSABLE, SHAPES

AT_ONCE = 4
REPEATED = 0.05
CONFLICTING = 0.01
REFUSED = 0.15


@dataclass(frozen=True)
class Order:
    """The start of a saga, `at` seconds after the beginning of the soak."""

    at: float
    saga_id: str
    saga: str
    refused: str
    repeated: bool = False
    conflicting: bool = False

    @property
    def input(self) -> dict[str, Any]:
        """Return the saga's input."""
        return {"saga": self.saga, "refused": self.refused}


def orders(count: int, seconds: float, rng: random.Random) -> list[Order]:
    """Return `count` orders at random times within `seconds`."""
    return [_order(number, at, rng) for number, at in enumerate(sorted(rng.uniform(0, seconds) for _ in range(count)))]


def _order(number: int, at: float, rng: random.Random) -> Order:
    saga = rng.choice(SHAPES).name
    refused = rng.choice(REFUSABLE[saga]) if rng.random() < REFUSED else ""
    repeated, conflicting = rng.random() < REPEATED, rng.random() < CONFLICTING
    return Order(at, f"{saga}-{number}", saga, refused, repeated, conflicting)


class Clients:
    """Threads that start the orders and record the primary keys of the executions and the errors."""

    def __init__(self, todo: Sequence[Order]) -> None:
        self.started: dict[str, set[int]] = defaultdict(set)
        self.errors: list[str] = []
        self._todo = todo
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="clients", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether every order has been started."""
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Stop starting sagas."""
        self._over.set()

    def _work(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for order in self._todo:
                if self._over.wait(max(0.0, began + order.at - time.monotonic())):
                    return
                threads.submit(self._guarded, self._start, order)
                if order.repeated:
                    threads.submit(self._guarded, self._start, order)
        self._guarded(self._start_conflicting, [order for order in self._todo if order.conflicting])

    def _guarded(self, function: Callable[[Any], None], argument: Any) -> None:
        try:
            function(argument)
        except Exception as error:  # noqa: BLE001  (a thread must not lose an exception)
            self.errors.append(f"{argument}: {type(error).__name__}: {error}")
        finally:
            connections.close_all()

    def _start(self, order: Order) -> None:
        """Start the order; repeat it if the database fails."""
        start = get_saga_orchestrator().start
        pk = retry(lambda: start(order.saga_id, order.saga, context=order.input).pk)
        self.started[order.saga_id].add(pk)

    def _start_conflicting(self, others: Sequence[Order]) -> None:
        start = get_saga_orchestrator().start
        for order in others:
            try:
                retry(lambda order=order: start(order.saga_id, order.saga, context={**order.input, "refused": "?"}))
            except SagaConflict:
                continue
            self.errors.append(f"I8: {order.saga_id} was also started with different input")
