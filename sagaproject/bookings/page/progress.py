"""The content of the booking page: the progress of a booking and its payment."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.utils.translation import get_language

from sagaproject.bookings.models import Booking, BookingStatus, PaymentStatus
from sagaproject.bookings.page import headlines
from sagaproject.bookings.page.headlines import PageState
from sagaproject.bookings.services import WHY_NOT_PAY, needs_staff
from sagas.definition.states import TERMINAL, Direction, Ending, SagaState
from sagas.models import SagaExecution
from sagas.operations import Operation
from sagas.presentation.execution_view import view_of
from sagas.presentation.labels import step_label
from sagas.presentation.messages import StepText, customer_state, message, step_texts
from sagas.presentation.redactor import redactor_for
from sagas.presentation.step_status import StepStatus

NOTHING_DONE = (StepStatus.WAITING, StepStatus.REFUSED)
ACTIVE = frozenset({PageState.PROCESSING, PageState.CONFIRMED})
INACTIVE = frozenset({PageState.FAILED, PageState.CANCELLED})
ON_REQUEST = {SagaState.COMPENSATING: PageState.CANCELLING, SagaState.FAILED: PageState.CANCELLED}


@dataclass(frozen=True)
class Line:
    """A step in the list: its status (for the icon), the label of the status, and a sentence."""

    status: str
    word: str
    sentence: str


@dataclass(frozen=True)
class SagaProgress:
    """The progress of one of the two sagas. `not_compensated` has the names of the steps that need staff."""

    state: PageState
    headline: str
    sentence: str = ""
    reason: str = ""
    lines: tuple[Line, ...] = ()
    not_compensated: tuple[str, ...] = ()


class Progress:
    """The progress of a booking at one moment. The page and its updates show this."""

    def __init__(self, booking: Booking) -> None:
        self.token = booking.token
        ids = [booking.booking_saga_id, booking.payment_saga_id]
        found = {
            execution.saga_id: execution for execution in SagaExecution.objects.filter(saga_id__in=filter(None, ids))
        }
        self._booking_saga, self._payment_saga = (found.get(saga_id) for saga_id in ids)
        self._sagas = [saga for saga in (self._booking_saga, self._payment_saga) if saga]
        # Read the booking last. One transaction writes an execution and its booking, so the booking is at least as
        # new as the execution.
        self.sale = Booking.objects.get(pk=booking.pk)

    @property
    def etag(self) -> str:
        """The ETag. It changes whenever the content of the page changes."""
        seen: list[Any] = [get_language(), self.sale.status, self.sale.payment_status]
        seen += [(saga.saga_id, saga.version, saga.pending_request, saga.held, saga.leased) for saga in self._sagas]
        return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:32]}"'

    @property
    def running(self) -> bool:
        """Whether a saga is still running, so the page can change."""
        return any(saga.state not in TERMINAL for saga in self._sagas)

    @cached_property
    def booking(self) -> SagaProgress | None:
        """The progress of the booking, or None if a payment created the booking and no saga books it."""
        if self._booking_saga:
            return _saga_progress(self._booking_saga, headlines.BOOKING_HEADLINES)
        state = headlines.BOOKING_STATES[BookingStatus(self.sale.status)]
        return SagaProgress(state, str(headlines.BOOKING_HEADLINES[state])) if self.sale.booking_saga_id else None

    @cached_property
    def payment(self) -> SagaProgress | None:
        """The progress of the last payment, or None if there is none. A refunded payment has its own headline."""
        state = headlines.PAYMENT_STATES[PaymentStatus(self.sale.payment_status)]
        shown = SagaProgress(state, str(headlines.PAYMENT_HEADLINES[state])) if self.sale.payment_saga_id else None
        if self._payment_saga:
            shown = _saga_progress(self._payment_saga, headlines.PAYMENT_HEADLINES)
        if shown is None:
            return None
        # If the payment failed but is paid, an operator decided to keep the charge.
        failed = self._payment_saga is not None and self._payment_saga.state is SagaState.FAILED
        if failed and self.sale.payment_status == PaymentStatus.PAID:
            return replace(shown, headline=str(headlines.CHARGED), sentence=str(headlines.CHARGE_KEPT), reason="")
        if "process_payment" in shown.not_compensated:
            return replace(shown, headline=str(headlines.CHECKING_REFUND))
        refunded = shown.state is PageState.CANCELLED and self.sale.payment_status == PaymentStatus.REFUNDED
        return replace(shown, headline=str(headlines.REFUNDED)) if refunded else shown

    @property
    def may_pay(self) -> bool:
        """Whether the page offers to pay. `services.pay` checks again."""
        in_progress = self._payment_saga and self._payment_saga.state in WHY_NOT_PAY
        paid = self.sale.payment_status == PaymentStatus.PAID
        return self.sale.status == BookingStatus.CONFIRMED and not in_progress and not paid

    @property
    def may_cancel(self) -> bool:
        """Whether the page offers to cancel. This includes failed bookings that are still paid."""
        if self.booking is None or self.must_write_to_us:
            return False
        paid = self.payment is not None and self.payment.state is PageState.CONFIRMED
        return self.booking.state in (ACTIVE | INACTIVE if paid else ACTIVE)

    @property
    def must_write_to_us(self) -> bool:
        """Whether only staff can cancel the booking."""
        active = self.booking is not None and self.booking.state in ACTIVE
        payments = [self._payment_saga] if self._payment_saga else []
        return active and needs_staff(self.sale, self._booking_saga, payments)

    @property
    def announcement(self) -> str:
        """The text for screen readers: the sentence of the running step, or else the headlines."""
        shown = [part for part in (self.payment, self.booking) if part]
        running = [line.sentence for part in shown for line in part.lines if line.status == StepStatus.RUNNING]
        return running[0] if running else " ".join(f"{part.headline}. {part.reason}".strip() for part in shown)


def _saga_progress(execution: SagaExecution, texts: Mapping[PageState, Any]) -> SagaProgress:
    view, state = view_of(execution), _page_state(execution)
    redactor = redactor_for(execution, view.saga, personal=True)
    requested = state in (PageState.CANCELLING, PageState.CANCELLED)
    steps = step_texts(view, redactor)
    lines = []
    for step in _relevant_steps(steps, execution):
        sentence = step_label(step.name, view.saga) if step.status in headlines.LABEL_ONLY else step.sentence
        lines.append(Line(step.status, str(headlines.STATUS_LABELS[step.status]), sentence))
    return SagaProgress(
        state=state,
        headline=str(texts[state]),
        sentence="" if requested else message(execution, view.saga, redactor, history=view.history),
        reason=_why_declined(execution) if state is PageState.FAILED else "",
        lines=tuple(lines),
        not_compensated=tuple(step.name for step in steps if step.status is StepStatus.NOT_COMPENSATED),
    )


def _relevant_steps(steps: list[StepText], execution: SagaExecution) -> list[StepText]:
    """Return the steps to show. Omit the WhatsApp message if there is no number, and steps that will not start."""
    if not execution.input.get("customer_phone"):
        steps = [step for step in steps if step.name != "send_whatsapp"]
    if execution.state not in TERMINAL:
        return steps
    if all(step.status in NOTHING_DONE for step in steps):
        return []
    return [step for step in steps if step.status is not StepStatus.WAITING]


def _page_state(execution: SagaExecution) -> PageState:
    if not execution.held and not execution.failed_step:
        if execution.pending_request == Operation.CANCEL:
            return PageState.CANCELLING
        if execution.state in ON_REQUEST:
            return ON_REQUEST[execution.state]
    return PageState(customer_state(execution))


def _why_declined(execution: SagaExecution) -> str:
    """Return why the card was declined, in the active language, or ""."""
    refused = execution.step_executions.filter(
        step="process_payment", direction=Direction.ACTION, ending=Ending.REFUSED
    )
    last = refused.last()
    code = headlines.CODE.search(last.error_message) if last else None
    return str(headlines.DECLINES.get(code[1], "")) if code else ""
