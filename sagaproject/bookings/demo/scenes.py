"""The scenes of the demo. A scene is a saga that reaches one outcome, in this process or in workers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.core.management.base import CommandError

from integrations.models import FaultMode, SandboxFault
from sagaproject.bookings.demo.workers import Workers
from sagas import SagaState
from sagas.definition.states import TERMINAL
from sagas.management.report import process_of
from sagas.models import LOST_LEASE, SagaExecution
from sagas.operations import Actor
from sagas.orchestrator import get_saga_orchestrator

OPERATOR = "demo"
A_MOMENT, AN_HOUR = 100, 3_600_000
ALWAYS = 1_000_000
# The ids of sagas from the booking page begin with these prefixes. The ids of scenes do not.
VISITORS = ("booking-SALE-", "payment-SALE-")
VISITORS_LATENCY_MS = 900

BOOKING = {
    "customer_name": "Ana Souza",
    "customer_email": "ana.souza@example.com",
    "customer_phone": "+5511987654321",
    "customer_document": "529.982.247-25",
    "description": "City tour of Sao Paulo",
    "amount": "420.00",
    "starts_at": "2030-12-01T10:00:00-03:00",
    "ends_at": "2030-12-01T12:00:00-03:00",
}
PAYMENT = {
    "customer_name": "Ana Souza",
    "customer_email": "ana.souza@example.com",
    "amount": "420.00",
    "currency": "BRL",
    "payment_method": "pm_card_visa",
    "description": "City tour of Sao Paulo",
}
REFUSED_MAIL = {"customer_email": "refuse@example.com"}
# The sandbox does not cancel an invoice with this description.
TOO_LATE = {"description": "Boat trip to Ilhabela, past-window"}

Play = Callable[[str, str, dict[str, Any]], SagaExecution]


class Fault(NamedTuple):
    """A fault to inject into the provider calls of a scene; see SandboxFault."""

    port: str
    operation: str
    mode: FaultMode
    latency_ms: int = 0
    remaining: int = 1


def _run(saga_id: str, saga: str, context: dict[str, Any]) -> SagaExecution:
    return get_saga_orchestrator().execute(saga_id, saga, context=context)


def _run_until_it_waits(saga_id: str, saga: str, context: dict[str, Any]) -> SagaExecution:
    """Run the saga until a fault in its first step makes it wait, and return without waiting."""
    return get_saga_orchestrator().execute(saga_id, saga, context=context, max_seconds=0)


def _run_and_hold(reason: str) -> Play:
    def play(saga_id: str, saga: str, context: dict[str, Any]) -> SagaExecution:
        _run_until_it_waits(saga_id, saga, context)
        return get_saga_orchestrator().hold(saga_id, reason=reason, by=Actor(name=OPERATOR, source="cli"))

    return play


CUSTOMER_CALLED = "The customer called; waiting for her answer"
ANSWER_LOST = "The invoice issuer did not answer. Check in its portal whether the invoice exists."


@dataclass(frozen=True)
class Scene:
    """A saga that reaches one outcome because of unusual input or injected faults.

    `description` describes the outcome. Its placeholder `{worker}` is the process that made the last attempt. `there`
    says whether an execution has reached the outcome. `differs` are the unusual values in the input.
    """

    saga: str
    outcome: str
    description: str
    there: Callable[[SagaExecution], bool]
    differs: dict[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    play: Play = _run

    @property
    def saga_id(self) -> str:
        """The id of the execution. It never changes, so a second run of the demo finds the executions of the first."""
        return f"demo-{self.saga.replace('_', '-')}-{self.outcome}"

    @property
    def input(self) -> dict[str, Any]:
        """The input. There is one sale per outcome, which the booking and the payment with that outcome share."""
        usual = BOOKING if self.saga == "create_booking" else PAYMENT
        return {"sale_id": f"DEMO-{self.outcome.upper()}", **usual, **self.differs}


def _is(state: SagaState) -> Callable[[SagaExecution], bool]:
    return lambda execution: execution.state is state


def _is_waiting(execution: SagaExecution) -> bool:
    return execution.state is SagaState.IN_PROGRESS and not execution.leased and not execution.held


def _is_held(execution: SagaExecution) -> bool:
    return bool(execution.held)


def _is_deferred(execution: SagaExecution) -> bool:
    return execution.state is SagaState.COMPENSATING and not execution.held


def _was_rescued(execution: SagaExecution) -> bool:
    lost = execution.step_executions.filter(error_type=LOST_LEASE)
    return execution.state is SagaState.SUCCEEDED and lost.exists()


SCENES = (
    Scene("create_booking", "succeeded", "succeeded", _is(SagaState.SUCCEEDED)),
    Scene(
        "create_booking",
        "undone",
        "failed at the calendar and undone",
        _is(SagaState.FAILED),
        faults=(Fault("calendar", "add", FaultMode.REFUSE),),
    ),
    Scene(
        "create_booking",
        "partial",
        "partially compensated: the invoice could not be cancelled",
        _is(SagaState.PARTIALLY_COMPENSATED),
        faults=(Fault("calendar", "add", FaultMode.REFUSE), Fault("invoices", "cancel", FaultMode.REFUSE)),
    ),
    Scene(
        "create_booking",
        "too-late",
        "partially compensated: the invoice is past its cancellation window",
        _is(SagaState.PARTIALLY_COMPENSATED),
        differs=TOO_LATE,
        faults=(Fault("calendar", "add", FaultMode.REFUSE),),
    ),
    Scene(
        "create_booking",
        "deferred",
        "being undone: the invoice issuer is unavailable, so cancelling the invoice is deferred",
        _is_deferred,
        faults=(
            Fault("calendar", "add", FaultMode.REFUSE),
            Fault("invoices", "cancel", FaultMode.THROTTLE, A_MOMENT, ALWAYS),
        ),
    ),
    Scene(
        "create_booking",
        "in-doubt",
        "held in doubt: the invoice issuer's answer was lost; someone must check",
        _is_held,
        faults=(Fault("invoices", "issue", FaultMode.EFFECT_THEN_LOSE_REPLY),),
        play=_run_and_hold(ANSWER_LOST),
    ),
    Scene(
        "create_booking",
        "waiting",
        "waiting for a retry: the invoice issuer asked to retry in an hour",
        _is_waiting,
        faults=(Fault("invoices", "issue", FaultMode.THROTTLE, AN_HOUR),),
        play=_run_until_it_waits,
    ),
    Scene(
        "create_booking",
        "held",
        "held by an operator",
        _is_held,
        faults=(Fault("invoices", "issue", FaultMode.THROTTLE, AN_HOUR),),
        play=_run_and_hold(CUSTOMER_CALLED),
    ),
    Scene("collect_payment", "succeeded", "succeeded", _is(SagaState.SUCCEEDED)),
    Scene(
        "collect_payment",
        "declined",
        "failed: the card was declined",
        _is(SagaState.FAILED),
        differs={"payment_method": "pm_card_chargeDeclined"},
    ),
    Scene(
        "collect_payment",
        "refunded",
        "failed at the receipt and undone: the charge was refunded",
        _is(SagaState.FAILED),
        differs=REFUSED_MAIL,
    ),
    Scene(
        "collect_payment",
        "partial",
        "partially compensated: the charge could not be refunded",
        _is(SagaState.PARTIALLY_COMPENSATED),
        differs=REFUSED_MAIL,
        faults=(Fault("payments", "refund", FaultMode.REFUSE),),
    ),
    Scene(
        "collect_payment",
        "waiting",
        "waiting for a retry: the payment gateway asked to retry in an hour",
        _is_waiting,
        faults=(Fault("payments", "create", FaultMode.THROTTLE, AN_HOUR),),
        play=_run_until_it_waits,
    ),
    Scene(
        "collect_payment",
        "held",
        "held by an operator",
        _is_held,
        faults=(Fault("payments", "create", FaultMode.THROTTLE, AN_HOUR),),
        play=_run_and_hold(CUSTOMER_CALLED),
    ),
)
QUEUED = (
    Scene("create_booking", "queued", "succeeded, run by worker {worker}", _is(SagaState.SUCCEEDED)),
    Scene(
        "create_booking",
        "queued-undone",
        "failed at the calendar and undone, run by worker {worker}",
        _is(SagaState.FAILED),
        faults=(Fault("calendar", "add", FaultMode.REFUSE),),
    ),
    Scene("collect_payment", "queued", "succeeded, run by worker {worker}", _is(SagaState.SUCCEEDED)),
)
RESCUED = Scene(
    "create_booking",
    "rescued",
    "succeeded: its worker was killed at the calendar; worker {worker} took over when the lease expired",
    _was_rescued,
    faults=(Fault("calendar", "add", FaultMode.KILL_PROCESS_AFTER),),
)


def played(scene: Scene) -> str:
    """Run the scene, unless an earlier run of the demo did. Return a line about its outcome."""
    existing = get_saga_orchestrator().get_status(scene.saga_id)
    if outcome := _existing_outcome(scene, existing):
        return outcome
    if existing is None:
        _order_faults(scene)
    return _reached(scene, scene.play(scene.saga_id, scene.saga, scene.input))


def played_by_workers(scenes: Sequence[Scene], workers: Workers) -> Iterator[str]:
    """Queue the new scenes. Then yield a line about the outcome of each scene."""
    before = {scene.saga_id: get_saga_orchestrator().get_status(scene.saga_id) for scene in scenes}
    for scene in scenes:
        if before[scene.saga_id] is None:
            _order_faults(scene)
            get_saga_orchestrator().start(scene.saga_id, scene.saga, context=scene.input)
    for scene in scenes:
        description = _existing_outcome(scene, before[scene.saga_id])
        yield f"{scene.saga_id}: {description or _reached(scene, workers.wait(scene.saga_id))}"


def slow_down_for_visitors() -> None:
    """Slow down the provider calls of visitors' sagas, because visitors want to watch the progress."""
    for match in VISITORS:
        SandboxFault.objects.get_or_create(
            mode=FaultMode.LATENCY, match=match, defaults={"latency_ms": VISITORS_LATENCY_MS, "remaining": ALWAYS}
        )


def is_new(scene: Scene) -> bool:
    """Return whether no earlier run of the demo started the scene."""
    return get_saga_orchestrator().get_status(scene.saga_id) is None


def _existing_outcome(scene: Scene, existing: SagaExecution | None) -> str:
    """Return the line about a scene that an earlier run of the demo played, or "" if the scene must run now."""
    if existing and scene.there(existing):
        return f"{_described(scene, existing)} (it existed)"
    if existing and existing.state in TERMINAL:
        return f"{existing.state.value.replace('_', ' ')} (changed since the demo)"
    return ""


def _order_faults(scene: Scene) -> None:
    for fault in scene.faults:
        # Idempotency keys begin with the saga id, so the fault affects no other saga.
        SandboxFault.objects.get_or_create(**fault._asdict(), match=f"{scene.saga_id}:")


def _reached(scene: Scene, execution: SagaExecution) -> str:
    if not scene.there(execution):
        raise CommandError(f"{scene.saga_id} should be {scene.outcome} but is {execution.state.value}.")
    return _described(scene, execution)


def _described(scene: Scene, execution: SagaExecution) -> str:
    last = execution.step_executions.last()
    return scene.description.format(worker=process_of(last.worker) if last else "")
