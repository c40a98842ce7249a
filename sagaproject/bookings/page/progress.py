"""What the page tells of a booking and of its payment, in the customer's words."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from sagaproject.bookings.models import Booking, BookingStatus, PaymentStatus
from sagaproject.bookings.services import WHY_NOT_PAY
from sagas import Saga
from sagas.models import SagaExecution
from sagas.operations import Act
from sagas.registry import get_saga
from sagas.states import TERMINAL, Direction, Ending, SagaState
from sagas.tenure import history_of
from sagas.wording import StepStatus, StepTold, customer_state, message, steps_told


class Stand(StrEnum):
    """How a booking or a payment stands: a customer's state, or on its way to being undone on request."""

    PROCESSING = "processing"
    CONFIRMED = "confirmed"
    NOT_BOOKED = "not_booked"
    CHECKING = "checking"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


BOOKING_HEADLINES = {
    Stand.PROCESSING: _("We are making your booking"),
    Stand.CONFIRMED: _("Your booking is confirmed"),
    Stand.NOT_BOOKED: _("We could not make your booking"),
    Stand.CHECKING: _("We are checking your booking"),
    Stand.CANCELLING: _("We are cancelling your booking"),
    Stand.CANCELLED: _("Your booking is cancelled"),
}
PAYMENT_HEADLINES = {
    Stand.PROCESSING: _("Your payment is under way"),
    Stand.CONFIRMED: _("Paid, thank you"),
    Stand.NOT_BOOKED: _("Your payment did not go through"),
    Stand.CHECKING: _("We are checking your payment"),
    Stand.CANCELLING: _("Your payment is being taken back"),
    Stand.CANCELLED: _("Nothing was charged"),
}
REFUNDED = _("Your money has been given back")
STATUS_WORDS = {
    StepStatus.WAITING: _("Waiting"),
    StepStatus.DOING: _("Under way"),
    StepStatus.DONE: _("Done"),
    StepStatus.REFUSED: _("Not done"),
    StepStatus.IN_DOUBT: _("Being checked"),
    StepStatus.UNDOING: _("Being undone"),
    StepStatus.UNDONE: _("Undone"),
    StepStatus.NOT_UNDONE: _("Not undone"),
}
# What is told of a step in a word and not in a sentence: nothing has happened yet, or it is being taken back.
TITLES = {
    "create_nf": _("Invoice"),
    "send_email": _("Confirmation by e-mail"),
    "send_whatsapp": _("Confirmation by WhatsApp"),
    "add_calendar": _("Calendar"),
    "process_payment": _("Charge"),
    "create_invoice": _("Our books"),
    "send_receipt": _("Receipt by e-mail"),
    "log_analytics": _("Our statistics"),
}
TITLED = (StepStatus.WAITING, StepStatus.UNDOING, StepStatus.NOT_UNDONE)
NOTHING_DONE = (StepStatus.WAITING, StepStatus.REFUSED)
STANDING = frozenset({Stand.PROCESSING, Stand.CONFIRMED})
GONE = frozenset({Stand.NOT_BOOKED, Stand.CANCELLED})
ASKED_FOR = {SagaState.COMPENSATING: Stand.CANCELLING, SagaState.FAILED: Stand.CANCELLED}
# What a payment gateway says of a card; of other refusals the saga's own words must do.
DECLINES = {
    "card_declined": _("The card was declined."),
    "insufficient_funds": _("There is not enough money on the card."),
    "expired_card": _("The card has expired."),
    "incorrect_cvc": _("The card's security code is wrong."),
}
CODE = re.compile(r"\((\w+)\)$")


@dataclass(frozen=True)
class Line:
    """A step in the list: which icon, which word, which sentence."""

    status: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Told:
    """One of the two sagas as the customer is told of it."""

    stand: Stand
    headline: str
    sentence: str
    reason: str
    lines: list[Line]


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
        seen += [(saga.saga_id, saga.version, saga.wants, saga.held, saga.leased) for saga in self._sagas]
        return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:32]}"'

    @property
    def running(self) -> bool:
        """Whether there will be something new to tell."""
        return any(saga.state not in TERMINAL for saga in self._sagas)

    @cached_property
    def booking(self) -> Told | None:
        """How the booking stands; None for one that a payment alone has made."""
        return _told(self._booking_saga, BOOKING_HEADLINES) if self._booking_saga else None

    @cached_property
    def payment(self) -> Told | None:
        """How the last attempt to pay stands; None before the first."""
        if self._payment_saga is None:
            return None
        refunded = self.sale.payment_status == PaymentStatus.REFUNDED
        return _told(self._payment_saga, PAYMENT_HEADLINES | ({Stand.CANCELLED: REFUNDED} if refunded else {}))

    @property
    def may_pay(self) -> bool:
        """Whether to offer it; whether it is possible is decided when it is tried."""
        paying = self._payment_saga and self._payment_saga.state in WHY_NOT_PAY
        paid = self.sale.payment_status == PaymentStatus.PAID
        return self.sale.status == BookingStatus.CONFIRMED and not paying and not paid

    @property
    def may_cancel(self) -> bool:
        """Whether to offer it: also where the booking is gone already, and the money is not back."""
        if self.booking is None:
            return False
        paid = self.payment is not None and self.payment.stand is Stand.CONFIRMED
        return self.booking.stand in (STANDING | GONE if paid else STANDING)

    @property
    def announcement(self) -> str:
        """What a screen reader says of the latest news: the step that is being made, else how all stands."""
        told = [part for part in (self.payment, self.booking) if part]
        doing = [line.sentence for part in told for line in part.lines if line.status == StepStatus.DOING]
        return doing[0] if doing else " ".join(f"{part.headline}. {part.reason}".strip() for part in told)

    @property
    def _sagas(self) -> list[SagaExecution]:
        return [saga for saga in (self._booking_saga, self._payment_saga) if saga]


def _told(execution: SagaExecution, headlines: Mapping[Stand, Any]) -> Told:
    saga, stand = get_saga(execution.saga_name), _stand(execution)
    asked = stand in (Stand.CANCELLING, Stand.CANCELLED)
    return Told(
        stand=stand,
        headline=str(headlines[stand]),
        sentence="" if asked else message(execution, saga, personal=True),
        reason=_why_declined(execution) if stand is Stand.NOT_BOOKED else "",
        lines=[_line(step) for step in _steps(execution, saga)],
    )


def _steps(execution: SagaExecution, saga: Saga) -> list[StepTold]:
    """The steps that matter to the customer: not those that were never begun, nor a message to no telephone."""
    steps = steps_told(execution, saga, history_of(execution), personal=True)
    if not execution.input.get("customer_phone"):
        steps = [step for step in steps if step.name != "send_whatsapp"]
    if execution.state not in TERMINAL:
        return steps
    if all(step.status in NOTHING_DONE for step in steps):
        return []
    return [step for step in steps if step.status is not StepStatus.WAITING]


def _line(step: StepTold) -> Line:
    sentence = TITLES.get(step.name, step.sentence) if step.status in TITLED else step.sentence
    return Line(step.status, str(STATUS_WORDS[step.status]), str(sentence))


def _stand(execution: SagaExecution) -> Stand:
    if not execution.held and not execution.failed_step:
        if execution.wants == Act.CANCEL:
            return Stand.CANCELLING
        if execution.state in ASKED_FOR:
            return ASKED_FOR[execution.state]
    return Stand(customer_state(execution))


def _why_declined(execution: SagaExecution) -> str:
    """The gateway's reason in the customer's language, "" if it is none of a card's."""
    refusals = execution.step_executions.filter(
        step="process_payment", direction=Direction.ACTION, ending=Ending.REFUSED
    )
    last = refusals.last()
    code = CODE.search(last.error_message) if last else None
    return str(DECLINES.get(code[1], "")) if code else ""
