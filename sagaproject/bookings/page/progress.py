"""What the page tells of a booking and of its payment, in the customer's words."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.utils.translation import get_language

from sagaproject.bookings.models import Booking, BookingStatus, PaymentStatus
from sagaproject.bookings.page import words
from sagaproject.bookings.page.words import Stand
from sagaproject.bookings.services import WHY_NOT_PAY, is_beyond_us
from sagas import Saga
from sagas.definition.registry import get_saga
from sagas.definition.states import TERMINAL, Direction, Ending, SagaState
from sagas.engine.leased_execution import load_history
from sagas.models import SagaExecution
from sagas.operations import Operation
from sagas.presentation.labels import step_label
from sagas.presentation.messages import StepStatus, StepTold, customer_state, message, steps_told

NOTHING_DONE = (StepStatus.WAITING, StepStatus.REFUSED)
STANDING = frozenset({Stand.PROCESSING, Stand.CONFIRMED})
GONE = frozenset({Stand.NOT_BOOKED, Stand.CANCELLED})
ASKED_FOR = {SagaState.COMPENSATING: Stand.CANCELLING, SagaState.FAILED: Stand.CANCELLED}


@dataclass(frozen=True)
class Line:
    """A step in the list: which icon, which word, which sentence."""

    status: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Told:
    """One of the two sagas as the customer is told of it; `not_undone` are the steps that a person has to see to."""

    stand: Stand
    headline: str
    sentence: str = ""
    reason: str = ""
    lines: tuple[Line, ...] = ()
    not_undone: tuple[str, ...] = ()


class Progress:
    """How a booking stands at one moment; what the page and its updates are made of."""

    def __init__(self, booking: Booking) -> None:
        self.token = booking.token
        ids = [booking.booking_saga_id, booking.payment_saga_id]
        found = {
            execution.saga_id: execution for execution in SagaExecution.objects.filter(saga_id__in=filter(None, ids))
        }
        self._booking_saga, self._payment_saga = (found.get(saga_id) for saga_id in ids)
        # Read after the executions, which are written first: it is never older than what they say.
        self.sale = Booking.objects.get(pk=booking.pk)

    @property
    def etag(self) -> str:
        """Another one for each thing that could be told otherwise."""
        seen: list[Any] = [get_language(), self.sale.status, self.sale.payment_status]
        seen += [(saga.saga_id, saga.version, saga.pending_request, saga.held, saga.leased) for saga in self._sagas]
        return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:32]}"'

    @property
    def running(self) -> bool:
        """Whether there will be something new to tell."""
        return any(saga.state not in TERMINAL for saga in self._sagas)

    @cached_property
    def booking(self) -> Told | None:
        """How the booking stands; None for one that a payment alone has made."""
        if self._booking_saga:
            return _told(self._booking_saga, words.BOOKING_HEADLINES)
        stand = words.OF_BOOKINGS[BookingStatus(self.sale.status)]
        return Told(stand, str(words.BOOKING_HEADLINES[stand])) if self.sale.booking_saga_id else None

    @cached_property
    def payment(self) -> Told | None:
        """How the last attempt to pay stands, and its money above all; None before the first."""
        stand = words.OF_PAYMENTS[PaymentStatus(self.sale.payment_status)]
        told = Told(stand, str(words.PAYMENT_HEADLINES[stand])) if self.sale.payment_saga_id else None
        if self._payment_saga:
            told = _told(self._payment_saga, words.PAYMENT_HEADLINES)
        if told is None:
            return None
        if self._charge_stays:
            return replace(told, headline=str(words.CHARGED), sentence=str(words.STAYS), reason="")
        if "process_payment" in told.not_undone:
            return replace(told, headline=str(words.REFUND_IN_HAND))
        refunded = told.stand is Stand.CANCELLED and self.sale.payment_status == PaymentStatus.REFUNDED
        return replace(told, headline=str(words.REFUNDED)) if refunded else told

    @property
    def may_pay(self) -> bool:
        """Whether to offer it; whether it is possible is decided when it is tried."""
        paying = self._payment_saga and self._payment_saga.state in WHY_NOT_PAY
        paid = self.sale.payment_status == PaymentStatus.PAID
        return self.sale.status == BookingStatus.CONFIRMED and not paying and not paid

    @property
    def may_cancel(self) -> bool:
        """Whether to offer it: also where the booking is gone already, and the money is not back."""
        if self.booking is None or self.must_write:
            return False
        paid = self.payment is not None and self.payment.stand is Stand.CONFIRMED
        return self.booking.stand in (STANDING | GONE if paid else STANDING)

    @property
    def must_write(self) -> bool:
        """Whether only a person can cancel it."""
        stands = self.booking is not None and self.booking.stand in STANDING
        return stands and is_beyond_us(self.sale, self._booking_saga, self._payments)

    @property
    def _charge_stays(self) -> bool:
        """Whether the payment failed and a person has let its charge stay."""
        failed = self._payment_saga is not None and self._payment_saga.state is SagaState.FAILED
        return failed and self.sale.payment_status == PaymentStatus.PAID

    @property
    def announcement(self) -> str:
        """What a screen reader says of the latest news: the step that is being made, else how all stands."""
        told = [part for part in (self.payment, self.booking) if part]
        doing = [line.sentence for part in told for line in part.lines if line.status == StepStatus.RUNNING]
        return doing[0] if doing else " ".join(f"{part.headline}. {part.reason}".strip() for part in told)

    @property
    def _sagas(self) -> list[SagaExecution]:
        return [*([self._booking_saga] if self._booking_saga else []), *self._payments]

    @property
    def _payments(self) -> list[SagaExecution]:
        return [self._payment_saga] if self._payment_saga else []


def _told(execution: SagaExecution, headlines: Mapping[Stand, Any]) -> Told:
    saga, stand, history = get_saga(execution.saga_name), _stand(execution), load_history(execution)
    asked = stand in (Stand.CANCELLING, Stand.CANCELLED)
    steps = steps_told(execution, saga, history, personal=True)
    return Told(
        stand=stand,
        headline=str(headlines[stand]),
        sentence="" if asked else message(execution, saga, personal=True, history=history),
        reason=_why_declined(execution) if stand is Stand.NOT_BOOKED else "",
        lines=tuple(_line(step, saga) for step in _that_matter(steps, execution)),
        not_undone=tuple(step.name for step in steps if step.status is StepStatus.NOT_COMPENSATED),
    )


def _that_matter(steps: list[StepTold], execution: SagaExecution) -> list[StepTold]:
    """To the customer: not those that were never begun, nor a message to no telephone."""
    if not execution.input.get("customer_phone"):
        steps = [step for step in steps if step.name != "send_whatsapp"]
    if execution.state not in TERMINAL:
        return steps
    if all(step.status in NOTHING_DONE for step in steps):
        return []
    return [step for step in steps if step.status is not StepStatus.WAITING]


def _line(step: StepTold, saga: Saga) -> Line:
    sentence = step_label(step.name, saga) if step.status in words.TITLED else step.sentence
    return Line(step.status, str(words.STATUS_WORDS[step.status]), sentence)


def _stand(execution: SagaExecution) -> Stand:
    if not execution.held and not execution.failed_step:
        if execution.pending_request == Operation.CANCEL:
            return Stand.CANCELLING
        if execution.state in ASKED_FOR:
            return ASKED_FOR[execution.state]
    return Stand(customer_state(execution))


def _why_declined(execution: SagaExecution) -> str:
    """The gateway's reason in the customer's language, "" if it is none of a card's."""
    blocked_reasons = execution.step_executions.filter(
        step="process_payment", direction=Direction.ACTION, ending=Ending.REFUSED
    )
    last = blocked_reasons.last()
    code = words.CODE.search(last.error_message) if last else None
    return str(words.DECLINES.get(code[1], "")) if code else ""
