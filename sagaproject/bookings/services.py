"""Book, pay and cancel: the operations behind the booking page and the API."""

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
from sagas.models.querysets import normalize_reference
from sagas.operations import Operation
from sagas.orchestrator import get_saga_orchestrator

# A sale id is part of saga ids and API paths. It cannot be . or .., because these have a meaning in paths.
SALE_ID = re.compile(r"\A(?!\.{1,2}\Z)[A-Za-z0-9._:~-]+\Z")
SALE_ID_RULE = _("Use only letters, digits and . _ : ~ -. The values . and .. are not allowed.")
# Omit characters that look alike, such as 0 and O.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

PAYING = _("A payment of this booking is in progress.")
CHECKING_PAYMENT = _("We are checking an earlier payment of this booking. Please do not pay again.")
WHY_NOT_PAY = {
    SagaState.PENDING: PAYING,
    SagaState.IN_PROGRESS: PAYING,
    SagaState.COMPENSATING: CHECKING_PAYMENT,
    SagaState.PARTIALLY_COMPENSATED: CHECKING_PAYMENT,
    SagaState.SUCCEEDED: _("This booking is already paid."),
}
WRITE_TO_US = _("This booking can no longer be cancelled here. Please write to us: we will cancel it and refund you.")
CANCEL_OPERATIONS = {
    SagaState.PENDING: Operation.CANCEL,
    SagaState.IN_PROGRESS: Operation.CANCEL,
    SagaState.SUCCEEDED: Operation.COMPENSATE,
}


class NotPossible(ActRefused):
    """The status of the booking does not allow the operation. `sentence` tells the customer why."""

    def __init__(self, operation: str, sale_id: str, sentence: Any) -> None:
        super().__init__(operation, sale_id, str(sentence))


def book(sale: Mapping[str, Any], *, owner: Any = None, saga_id: str | None = None) -> Booking:
    """Create the booking and start its create_booking saga, in one transaction.

    A repeated call with the same content returns the same booking. Raise InvalidInput for an invalid sale. Raise
    SagaConflict if the sale id was used with other content or by another client.
    """
    # Strip the sale id, because the saga's schema does it too.
    sale_id = str(sale.get("sale_id", "")).strip()
    if sale_id and not SALE_ID.fullmatch(sale_id):
        raise InvalidInput({"sale_id": str(SALE_ID_RULE)})
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
    """Return a new random sale id. It is short, because people read it aloud."""
    return "SALE-" + "".join(secrets.choice(ALPHABET) for _ in range(8))


def pay(sale_id: str, payment_method: str, *, owner: Any = None) -> Booking:
    """Start a collect_payment saga for a confirmed booking that is not paid and has no payment in progress.

    Each payment attempt is a new execution, because a retry would charge the same declined card again. Raise
    NotPossible, InvalidInput or Booking.DoesNotExist.
    """
    with _locked(sale_id) as booking:
        # Also lock the booking, because an operator may retry an earlier payment at the same time: see update_payment.
        Booking.objects.select_for_update().get(pk=booking.pk)
        payments = _payments(booking)
        _check_payable(booking, payments)
        # Skip ids in use, because clients of the API can choose any id.
        number = len(payments) + 1
        while SagaExecution.objects.with_id(f"payment-{sale_id}-{number}").exists():
            number += 1
        saga_id = f"payment-{sale_id}-{number}"
        get_saga_orchestrator().start(
            saga_id, "collect_payment", context=_payment_input(booking, payment_method), owner=owner
        )
        booking.payment_saga_id, booking.payment_status = saga_id, PaymentStatus.PENDING
        booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])
    return booking


def cancel(sale_id: str, *, reason: str, by: operations.Actor) -> Booking:
    """Cancel or compensate the booking and its payments. A repeated call changes nothing.

    Workers do the work later, so the returned booking may be unchanged. The sagas run independently: a slow refund does
    not delay the cancellation of the booking. Raise NotPossible or Booking.DoesNotExist.
    """
    with _locked(sale_id) as booking:
        execution = SagaExecution.objects.with_id(booking.booking_saga_id).first()
        payments = _payments(booking)
        _check_cancellable(booking, execution, payments)
        for unwanted in [*payments, *([execution] if execution else [])]:
            _cancel_execution(booking, unwanted, reason, by)
        booking.refresh_from_db()
    return booking


def needs_staff(booking: Booking, execution: SagaExecution | None, payments: Iterable[SagaExecution]) -> bool:
    """Return whether only staff can cancel, because the saga was deleted or an operator decided to keep a charge."""
    active = booking.booking_saga_id and booking.status not in (BookingStatus.NOT_BOOKED, BookingStatus.CANCELLED)
    paid = booking.payment_status == PaymentStatus.PAID
    refundable = any(payment.state is SagaState.SUCCEEDED for payment in payments)
    return bool(active and execution is None) or (paid and not refundable)


def _booking_of(execution: SagaExecution, owner: Any) -> Booking:
    """Return the booking of the sale. Create it from the saga's input, unless a payment has already created it."""
    defaults = {**fields_from(execution), "owner": owner, "booking_saga_id": execution.saga_id}
    booking, made = Booking.objects.get_or_create(sale_id=execution.input["sale_id"], defaults=defaults)
    if not made and not booking.booking_saga_id and booking.owner in (None, owner):
        booking.owner, booking.booking_saga_id = owner, execution.saga_id
        booking.save(update_fields=["owner", "booking_saga_id", "updated_at"])
    return booking


@contextmanager
def _locked(sale_id: str) -> Iterator[Booking]:
    """Yield the booking in a transaction. The same booking cannot be paid or cancelled elsewhere at the same time.

    Lock the row of its saga, not the booking. Workers lock the saga first and the booking second; another order could
    cause a deadlock.
    """
    with transaction.atomic():
        saga_id = Booking.objects.values_list("booking_saga_id", flat=True).get(sale_id=sale_id)
        SagaExecution.objects.with_id(saga_id).select_for_update().first()
        yield Booking.objects.get(sale_id=sale_id)


def _payments(booking: Booking) -> list[SagaExecution]:
    """Return every payment execution of the booking. Omit those of other clients, because they charge nothing."""
    payments = SagaExecution.objects.of_sagas(["collect_payment"])
    referring = payments.filter(
        references__key="sale_id", references__value=normalize_reference(booking.sale_id)
    ).order_by("pk")
    of_the_sale = [payment for payment in referring if payment.input["sale_id"] == booking.sale_id]
    return [payment for payment in of_the_sale if not is_another_clients(booking, payment)]


def _check_payable(booking: Booking, payments: list[SagaExecution]) -> None:
    if booking.status != BookingStatus.CONFIRMED:
        raise NotPossible("pay", booking.sale_id, _("Only a confirmed booking can be paid."))
    # Check the booking itself, because the payment's execution may have been deleted after its retention time.
    if booking.payment_status == PaymentStatus.PAID:
        raise NotPossible("pay", booking.sale_id, WHY_NOT_PAY[SagaState.SUCCEEDED])
    for payment in payments:
        if payment.state in WHY_NOT_PAY:
            raise NotPossible("pay", booking.sale_id, WHY_NOT_PAY[payment.state])


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


def _check_cancellable(booking: Booking, execution: SagaExecution | None, payments: list[SagaExecution]) -> None:
    """Raise NotPossible if there is nothing to cancel, or if only staff can cancel everything."""
    if needs_staff(booking, execution, payments):
        raise NotPossible("cancel", booking.sale_id, WRITE_TO_US)
    booked = booking.booking_saga_id and booking.status != BookingStatus.NOT_BOOKED
    if not booked and not any(payment.state in CANCEL_OPERATIONS for payment in payments):
        raise NotPossible("cancel", booking.sale_id, _("Nothing was booked, so there is nothing to cancel."))
    if execution is not None and execution.state is SagaState.PARTIALLY_COMPENSATED:
        raise NotPossible("cancel", booking.sale_id, _("We are already checking this booking and will write to you."))


def _cancel_execution(booking: Booking, execution: SagaExecution, reason: str, by: operations.Actor) -> None:
    operation = CANCEL_OPERATIONS.get(execution.state)
    if operation is None or execution.pending_request == Operation.CANCEL:
        return
    try:
        operations.perform(operation, execution.saga_id, reason=reason, by=by)
    except ActRefused as error:
        sentence = _("This booking cannot be cancelled right now. Please try again in a moment.")
        raise NotPossible("cancel", booking.sale_id, sentence) from error
