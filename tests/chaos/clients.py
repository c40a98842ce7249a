"""The customers: they start sagas all the time, whatever is down, and some of them ask twice."""

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

from .database import insist
from .shop.sagas import REFUSABLE, SHAPES

AT_ONCE = 4
ASK_TWICE = 0.05
ASK_FOR_ANOTHER = 0.01
TO_BE_REFUSED = 0.15


@dataclass(frozen=True)
class Order:
    """A saga to be started, so many seconds after the beginning."""

    at: float
    saga_id: str
    saga: str
    refused: str
    twice: bool = False
    another: bool = False

    @property
    def input(self) -> dict[str, Any]:
        """The saga's input."""
        return {"saga": self.saga, "refused": self.refused}


def orders(count: int, seconds: float, luck: random.Random) -> list[Order]:
    """So many orders, spread over the time."""
    return [
        _order(number, at, luck) for number, at in enumerate(sorted(luck.uniform(0, seconds) for _ in range(count)))
    ]


def _order(number: int, at: float, luck: random.Random) -> Order:
    saga = luck.choice(SHAPES).name
    refused = luck.choice(REFUSABLE[saga]) if luck.random() < TO_BE_REFUSED else ""
    twice, another = luck.random() < ASK_TWICE, luck.random() < ASK_FOR_ANOTHER
    return Order(at, f"{saga}-{number}", saga, refused, twice, another)


class Clients:
    """Threads that start what is due; what they were told is kept for the judge."""

    def __init__(self, todo: Sequence[Order]) -> None:
        self.started: dict[str, set[int]] = defaultdict(set)
        self.objections: list[str] = []
        self._todo = todo
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="clients", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether every order has been started."""
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Start nothing more."""
        self._over.set()

    def _work(self) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for order in self._todo:
                if self._over.wait(max(0.0, began + order.at - time.monotonic())):
                    return
                threads.submit(self._kept, self._start, order)
                if order.twice:
                    threads.submit(self._kept, self._start, order)
        self._kept(self._ask_for_others, [order for order in self._todo if order.another])

    def _kept(self, act: Callable[[Any], None], given: Any) -> None:
        try:
            act(given)
        except Exception as error:  # noqa: BLE001  (nothing that a client meets may get lost in its thread)
            self.objections.append(f"{given}: {type(error).__name__}: {error}")
        finally:
            connections.close_all()

    def _start(self, order: Order) -> None:
        """The answer may get lost with the database: then the same is asked again."""
        start = get_saga_orchestrator().start
        pk = insist(lambda: start(order.saga_id, order.saga, context=order.input).pk)
        self.started[order.saga_id].add(pk)

    def _ask_for_others(self, others: Sequence[Order]) -> None:
        start = get_saga_orchestrator().start
        for order in others:
            try:
                insist(lambda order=order: start(order.saga_id, order.saga, context={**order.input, "refused": "?"}))
            except SagaConflict:
                continue
            self.objections.append(f"I8: {order.saga_id} was given to one with other input")
