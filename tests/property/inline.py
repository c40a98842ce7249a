"""Drive the real engine through the orchestrator, on the database, without waiting."""

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
    """Run a planned saga as a real execution."""

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
        """Return the execution from the database."""
        return SagaExecution.objects.get(saga_id=self.saga_id)

    def go(self) -> None:
        """Run the execution until it ends or is held. If `hurried`, claim it anew for each attempt."""
        if not self.hurried:
            while self.orchestrator.execute(self.saga_id, "drawn", self.saga).due_at:
                let_wait_pass(self.execution)  # a compensation was deferred
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
        """Claim the execution, make one attempt, and give the execution back."""
        claimed = self.claim()
        if claimed is None:
            let_wait_pass(self.execution)
            claimed = self.claim()
        assert claimed, "it is not due"
        leased = LeasedExecution(claimed, self.saga, sent=time.monotonic(), moment=claimed.claimed_at)
        leased.stop_at = 0.0
        runner.run(leased)

    def claim(self) -> SagaExecution | None:
        """Claim the execution as a worker does."""
        return storage.claim(self.saga_id, worker="property", lease=60, priority=1)

    def cancel(self) -> None:
        """Ask for a cancel; ignore a refusal."""
        try:
            self.orchestrator.cancel(self.saga_id)
        except ActRefused:
            return

    def function(self, plan: StepPlan, way: Direction) -> Callable[[StepContext], Any]:
        """Return the step's function for this direction. It follows the plan's script."""

        def play(context: StepContext) -> Any:
            self.calls.append((plan.name, way.value, context.attempt, context.idempotency_key))
            in_transaction = plan.transactional and way is Direction.ACTION
            if self.plan.cancel_during and len(self.calls) == self.plan.cancel_at and not in_transaction:
                self.cancel()
            context["scribble"] = way.value  # must be discarded when the attempt fails
            script = self.scripts[plan.name, way]
            fate = script.pop(0) if script else HAPPENED if way is Direction.VERIFY else OK
            returned = do(plan, way, fate, context.attempt)
            del context["scribble"]
            return returned

        return play

    def operation(self, operation: str, step: str) -> None:
        """Perform the operator's operation and continue."""
        if operation in ("done", "not_done", "undone"):
            self.orchestrator.resolve_step(self.saga_id, step, operation, evidence="seen in the provider's books")
        else:
            perform(Operation(operation), self.saga_id, reason="property")
        if self.execution.state is not SagaState.PARTIALLY_COMPENSATED:
            self.go()
