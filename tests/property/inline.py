"""Drives the real engine through the orchestrator, on the database; waits are over at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sagas import ActRefused, SagaState, StepContext, storage
from sagas.definition.states import Direction
from sagas.engine import runner
from sagas.engine.leased_execution import LeasedExecution
from sagas.models import SagaExecution
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.support import let_wait_pass

from .plans import HAPPENED, OK, SagaPlan, StepPlan, do, saga_of


class Inline:
    """A saga of a plan and its execution."""

    def __init__(self, plan: SagaPlan, saga_id: str) -> None:
        self.plan, self.saga_id = plan, saga_id
        self.hurried = plan.hurried or any(step.verifiable for step in plan.steps)
        self.scripts = {
            (step.name, way): step.script(way) for step in plan.steps for way in Direction if way != "resolved"
        }
        self.calls: list[tuple[str, str, int, str]] = []
        self.orchestrator = get_saga_orchestrator()
        self.saga = saga_of(plan, self.function)

    @property
    def execution(self) -> SagaExecution:
        """As it is stored."""
        return SagaExecution.objects.get(saga_id=self.saga_id)

    def go(self) -> None:
        """On, until it ends or is held; in a hurry each attempt has a claim of its own, as after a restart."""
        if not self.hurried:
            while self.orchestrator.execute(self.saga_id, "drawn", self.saga).due_at:
                let_wait_pass(self.execution)  # set aside, and due again
            return
        self.orchestrator.start(self.saga_id, "drawn")
        for _ in range(1000):
            if not SagaExecution.objects.filter(saga_id=self.saga_id, due_at__isnull=False).exists():
                return
            self.make_one_attempt()
            if not self.plan.cancel_during and len(self.calls) == self.plan.cancel_at:
                self.cancel()
        raise AssertionError("it does not come to an end")

    def make_one_attempt(self) -> None:
        """Claim it and give it back after one attempt."""
        claimed = self.claim()
        if claimed is None:
            let_wait_pass(self.execution)
            claimed = self.claim()
        assert claimed, "it is not due"
        leased = LeasedExecution(claimed, self.saga, sent=time.monotonic(), moment=claimed.claimed_at)
        leased.stop_at = 0.0
        runner.run(leased)

    def claim(self) -> SagaExecution | None:
        """As a worker does."""
        return storage.claim(self.saga_id, worker="property", lease=60, priority=1)

    def cancel(self) -> None:
        """Ask for it, whether it is possible or not."""
        try:
            self.orchestrator.cancel(self.saga_id)
        except ActRefused:
            return

    def function(self, plan: StepPlan, way: Direction) -> Callable[[StepContext], Any]:
        """What the step's function of that direction does."""

        def play(context: StepContext) -> Any:
            self.calls.append((plan.name, way.value, context.attempt, context.idempotency_key))
            in_transaction = plan.transactional and way is Direction.ACTION
            if self.plan.cancel_during and len(self.calls) == self.plan.cancel_at and not in_transaction:
                self.cancel()
            context["scribble"] = way.value  # discarded when the attempt fails
            script = self.scripts[plan.name, way]
            fate = script.pop(0) if script else HAPPENED if way is Direction.VERIFY else OK
            returned = do(plan, way, fate, context.attempt)
            del context["scribble"]
            return returned

        return play

    def operation(self, operation: str, step: str) -> None:
        """An operator's act, and what follows from it."""
        if operation in ("done", "not_done", "undone"):
            self.orchestrator.resolve_step(self.saga_id, step, operation, evidence="seen in the provider's books")
        else:
            perform(Operation(operation), self.saga_id, reason="property")
        if self.execution.state is not SagaState.PARTIALLY_COMPENSATED:
            self.go()
