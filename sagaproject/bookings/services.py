"""What the business does for whoever books: book, pay, cancel. The booking page and the API both come here."""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from sagaproject.bookings.models import Booking, BookingStatus, PaymentStatus
from sagaproject.bookings.status import fields_from, is_another_clients
from sagas import ActRefused, InvalidInput, SagaConflict, SagaState, operations
from sagas.models import SagaExecution
from sagas.models.querysets import fold
from sagas.operations import Operation
from sagas.orchestrator import get_saga_orchestrator

# A sale's id becomes part of its sagas' ids and of the API's addresses, where . and .. would not arrive.
SALE_ID = re.compile(r"\A(?!\.{1,2}\Z)[A-Za-z0-9._:~-]+\Z")
SALE_ID_RULE = _("Use letters, digits and . _ : ~ - only, and not . or .. alone.")
# Without signs that are mistaken for others when they are read out.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

PAYING = _("A payment of this booking is in progress.")
CHECKING_PAYMENT = _("We are checking an earlier payment of this booking; please do not pay again.")
WHY_NOT_PAY = {
    SagaState.PENDING: PAYING,
    SagaState.IN_PROGRESS: PAYING,
    SagaState.COMPENSATING: CHECKING_PAYMENT,
    SagaState.PARTIALLY_COMPENSATED: CHECKING_PAYMENT,
    SagaState.SUCCEEDED: _("This booking is paid already."),
}
WRITE_TO_US = _(
    "This booking cannot be cancelled here any more. Please write to us, and a person will see to it and to your money."
)
CANCEL_OPERATIONS = {
    SagaState.PENDING: Operation.CANCEL,
    SagaState.IN_PROGRESS: Operation.CANCEL,
    SagaState.SUCCEEDED: Operation.COMPENSATE,
}


class NotPossible(ActRefused):
    """How the booking stands does not allow it; `sentence` tells the customer why, in the active language."""

    def __init__(self, operation: str, sale_id: str, sentence: Any) -> None:
        super().__init__(operation, sale_id, str(sentence))


def book(sale: Mapping[str, Any], *, owner: Any = None, saga_id: str | None = None) -> Booking:
    """Make the booking and start its create_booking saga, both or neither.

    A sale that was booked before with the same content gives the same booking. Raises InvalidInput, and
    SagaConflict where the sale's id is taken by other content or by somebody else.
    """
    sale_id = _checked_sale_id(sale)
    with transaction.atomic():
        existing = Booking.objects.filter(sale_id=sale_id).exclude(booking_saga_id="").first()
        saga_id = existing.booking_saga_id if existing else saga_id or f"booking-{sale_id}"
        execution = get_saga_orchestrator().start(saga_id, "create_booking", context=sale, owner=owner)
        booking = existing or _booking_of(execution, owner)
        if booking.booking_saga_id != execution.saga_id or booking.owner != owner:
            raise SagaConflict(execution.saga_id, execution.saga_name)
    booking.just_created = execution.just_started
    return booking


def new_sale_id() -> str:
    """An id that no other sale has, short enough to be read out."""
    return "SALE-" + "".join(secrets.choice(ALPHABET) for _ in range(8))


def pay(sale_id: str, payment_method: str, *, owner: Any = None) -> Booking:
    """Start a collect_payment saga for a confirmed booking that nobody has paid or is paying.

    Each attempt is a saga of its own, for a declined card stays declined. Raises NotPossible and InvalidInput,
    and Booking.DoesNotExist.
    """
    with _locked(sale_id) as booking:
        # A payment that an operator tries again at this moment takes this row, too, after its own: see follow_payment.
        Booking.objects.select_for_update().get(pk=booking.pk)
        payments = _payments(booking)
        _refuse_payment(booking, payments)
        saga_id = _unused_id(f"payment-{sale_id}", len(payments) + 1)
        get_saga_orchestrator().start(
            saga_id, "collect_payment", context=_payment_input(booking, payment_method), owner=owner
        )
        booking.payment_saga_id, booking.payment_status = saga_id, PaymentStatus.PENDING
        booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])
    return booking


def cancel(sale_id: str, *, reason: str, by: operations.Actor) -> Booking:
    """Undo the payment and the booking, or stop what still runs; once more changes nothing.

    Workers carry it out: the booking that is returned may still be on its way. Neither of the two waits for the other:
    a refund that takes days, or a person, keeps nothing booked that nobody wants. Raises NotPossible, and
    Booking.DoesNotExist.
    """
    with _locked(sale_id) as booking:
        execution = SagaExecution.objects.with_id(booking.booking_saga_id).first()
        payments = _payments(booking)
        _refuse_cancellation(booking, execution, payments)
        for unwanted in [*payments, *([execution] if execution else [])]:
            _cancel_execution(booking, unwanted, reason, by)
        booking.refresh_from_db()
    return booking


def needs_staff(booking: Booking, execution: SagaExecution | None, payments: Iterable[SagaExecution]) -> bool:
    """Whether something stands that cannot be undone from here: its saga is gone, or a person let a charge stay."""
    stands = booking.booking_saga_id and booking.status not in (BookingStatus.NOT_BOOKED, BookingStatus.CANCELLED)
    paid = booking.payment_status == PaymentStatus.PAID
    refundable = any(payment.state is SagaState.SUCCEEDED for payment in payments)
    return bool(stands and execution is None) or (paid and not refundable)


def _checked_sale_id(sale: Mapping[str, Any]) -> str:
    """The sale's id as the saga's schema will leave it."""
    sale_id = str(sale.get("sale_id", "")).strip()
    if sale_id and not SALE_ID.fullmatch(sale_id):
        raise InvalidInput({"sale_id": str(SALE_ID_RULE)})
    return sale_id


def _booking_of(execution: SagaExecution, owner: Any) -> Booking:
    """The sale's booking as this saga's input tells it; one that this client's payment has made is taken over."""
    defaults = {**fields_from(execution), "owner": owner, "booking_saga_id": execution.saga_id}
    booking, made = Booking.objects.get_or_create(sale_id=execution.input["sale_id"], defaults=defaults)
    if not made and not booking.booking_saga_id and booking.owner in (None, owner):
        booking.owner, booking.booking_saga_id = owner, execution.saga_id
        booking.save(update_fields=["owner", "booking_saga_id", "updated_at"])
    return booking


@contextmanager
def _locked(sale_id: str) -> Iterator[Booking]:
    """The booking in a transaction in which nobody else pays or cancels it.

    What is locked is the row of its saga, and not the booking's: a worker locks a saga's row before the booking's,
    and two that lock in two orders wait for each other for ever.
    """
    with transaction.atomic():
        saga_id = Booking.objects.values_list("booking_saga_id", flat=True).get(sale_id=sale_id)
        SagaExecution.objects.with_id(saga_id).select_for_update().first()
        yield Booking.objects.get(sale_id=sale_id)


def _payments(booking: Booking) -> list[SagaExecution]:
    """Every attempt to pay it, but for those of clients who have not booked it: these take no money, and are theirs."""
    payments = SagaExecution.objects.of_sagas(["collect_payment"])
    referring = payments.filter(references__key="sale_id", references__value=fold(booking.sale_id)).order_by("pk")
    of_the_sale = [payment for payment in referring if payment.input["sale_id"] == booking.sale_id]
    return [payment for payment in of_the_sale if not is_another_clients(booking, payment)]


def _refuse_payment(booking: Booking, payments: list[SagaExecution]) -> None:
    if booking.status != BookingStatus.CONFIRMED:
        raise NotPossible("pay", booking.sale_id, _("Only a confirmed booking can be paid."))
    # Its saga may be gone by now: what has ended is not kept for ever.
    if booking.payment_status == PaymentStatus.PAID:
        raise NotPossible("pay", booking.sale_id, WHY_NOT_PAY[SagaState.SUCCEEDED])
    for payment in payments:
        if payment.state in WHY_NOT_PAY:
            raise NotPossible("pay", booking.sale_id, WHY_NOT_PAY[payment.state])


def _unused_id(name: str, number: int) -> str:
    """The first id of this name, from the number on, that no saga has: a client may have taken one for its own."""
    while SagaExecution.objects.with_id(f"{name}-{number}").exists():
        number += 1
    return f"{name}-{number}"


def _payment_input(booking: Booking, payment_method: str) -> dict[str, str]:
    return {
        "sale_id": booking.sale_id,
        "customer_name": booking.customer_name,
        "customer_email": booking.customer_email,
        "description": booking.description,
        "amount": str(booking.amount),
        "currency": booking.currency,
        "payment_method": payment_method,
    }


def _refuse_cancellation(booking: Booking, execution: SagaExecution | None, payments: list[SagaExecution]) -> None:
    """What was not booked is not cancelled, unless there is money to give back; and nothing is cancelled by half."""
    if needs_staff(booking, execution, payments):
        raise NotPossible("cancel", booking.sale_id, WRITE_TO_US)
    booked = booking.booking_saga_id and booking.status != BookingStatus.NOT_BOOKED
    if not booked and not any(payment.state in CANCEL_OPERATIONS for payment in payments):
        raise NotPossible("cancel", booking.sale_id, _("Nothing was booked, so there is nothing to cancel."))
    if execution is not None and execution.state is SagaState.PARTIALLY_COMPENSATED:
        raise NotPossible("cancel", booking.sale_id, _("We are checking this booking already, and will write to you."))


def _cancel_execution(booking: Booking, execution: SagaExecution, reason: str, by: operations.Actor) -> None:
    operation = CANCEL_OPERATIONS.get(execution.state)
    if operation is None or execution.pending_request == Operation.CANCEL:
        return
    try:
        operations.perform(operation, execution.saga_id, reason=reason, by=by)
    except ActRefused as error:
        sentence = _("This cannot be cancelled right now; please try again in a moment.")
        raise NotPossible("cancel", booking.sale_id, sentence) from error
