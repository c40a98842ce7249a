"""Update the statuses of a booking when the state of one of its sagas changes, in the same transaction.

After one saga has confirmed or paid a booking, other sagas of the same sale do not change the booking, because a second
attempt that fails must not hide the first success. Sagas of other clients never change a booking.

If a saga is FAILED but has no failed step, it was compensated on request. Its booking is then cancelled, not failed.
"""

from typing import Any

from django.db import transaction

from sagaproject.bookings.models import Booking, BookingStatus, PaymentStatus
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.presentation.execution_view import view_of
from sagas.presentation.step_status import StepStatus, describe_step

BOOKING_STATUS = {
    SagaState.PENDING: BookingStatus.PENDING,
    SagaState.IN_PROGRESS: BookingStatus.PENDING,
    SagaState.COMPENSATING: BookingStatus.CHECKING,
    SagaState.SUCCEEDED: BookingStatus.CONFIRMED,
    SagaState.FAILED: BookingStatus.NOT_BOOKED,
    SagaState.PARTIALLY_COMPENSATED: BookingStatus.CHECKING,
}
PAYMENT_STATUS = {
    SagaState.PENDING: PaymentStatus.PENDING,
    SagaState.IN_PROGRESS: PaymentStatus.PENDING,
    SagaState.COMPENSATING: PaymentStatus.CHECKING,
    SagaState.SUCCEEDED: PaymentStatus.PAID,
    SagaState.FAILED: PaymentStatus.PAYMENT_FAILED,
    SagaState.PARTIALLY_COMPENSATED: PaymentStatus.CHECKING,
}
# In these statuses, the payment has charged the customer or may have, so no other payment is allowed to charge.
TAKEN = (PaymentStatus.PENDING, PaymentStatus.PAID, PaymentStatus.CHECKING)
# The fields that a booking copies from a saga's input. The input of a payment has only some of these fields.
FIELDS = (
    "customer_name",
    "customer_email",
    "customer_phone",
    "customer_document",
    "description",
    "amount",
    "currency",
    "starts_at",
    "ends_at",
)


def update_booking(execution: Any, _old: SagaState, new: SagaState) -> None:
    """Update the booking from a create_booking saga. Create the booking if it is missing."""
    booking = _get_or_create(execution)
    confirmed = booking.status == BookingStatus.CONFIRMED and booking.booking_saga_id != execution.saga_id
    if confirmed or is_another_clients(booking, execution):
        return
    for field, value in fields_from(execution).items():
        setattr(booking, field, value)
    booking.booking_saga_id = execution.saga_id
    booking.status = BookingStatus.CANCELLED if _was_requested(execution, new) else BOOKING_STATUS[new]
    booking.save()


def update_payment(execution: Any, _old: SagaState, new: SagaState) -> None:
    """Update the payment status from a collect_payment saga. Create the booking if it is missing."""
    booking = _get_or_create(execution)
    if _is_anothers_to_pay(booking, execution.saga_id) or is_another_clients(booking, execution):
        return
    if _has_paid(booking, execution.saga_id) and new is not SagaState.COMPENSATING:
        return  # an operator decided to keep this charge; a new run does not change that
    booking.payment_saga_id = execution.saga_id
    booking.payment_status = _payment_status(execution, new)
    booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])


def why_not_charge(saga_id: str) -> str:
    """Return why this payment is not allowed to charge. If it is allowed, reserve the sale for it and return "".

    A sale is charged once: its booking names the one payment that is allowed to charge. Create the booking if missing.
    """
    execution = SagaExecution.objects.get(saga_id=saga_id)
    with transaction.atomic():
        booking = _get_or_create(execution)
        if is_another_clients(booking, execution):
            return "another client has booked it"
        if _is_anothers_to_pay(booking, saga_id):
            return "another payment has charged it, or may have"
        if _has_paid(booking, saga_id):
            return "an earlier run has charged it, and that was not refunded"
        sagas = SagaExecution.objects.with_id(booking.booking_saga_id)
        if sagas.in_state(SagaState.COMPENSATING, SagaState.FAILED).exists():
            return "its booking failed or was cancelled"
        booking.payment_saga_id, booking.payment_status = saga_id, PaymentStatus.PENDING
        booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])
    return ""


def is_another_clients(booking: Booking, execution: Any) -> bool:
    """Return whether a client other than the booking's owner started the saga. A saga without an owner is ours."""
    return execution.owner_id not in (None, booking.owner_id)


def _get_or_create(execution: Any) -> Booking:
    """Return the booking of the sale. Lock it, because two sagas of a sale may end at the same time."""
    bookings = Booking.objects.select_for_update()
    defaults = {**fields_from(execution), "owner_id": execution.owner_id}
    booking, _ = bookings.get_or_create(sale_id=execution.input["sale_id"], defaults=defaults)
    return booking


def _is_anothers_to_pay(booking: Booking, saga_id: str) -> bool:
    return booking.payment_saga_id not in ("", saga_id) and booking.payment_status in TAKEN


def _has_paid(booking: Booking, saga_id: str) -> bool:
    return booking.payment_saga_id == saga_id and booking.payment_status == PaymentStatus.PAID


def fields_from(execution: Any) -> dict[str, Any]:
    """Return the values for a booking's fields from the saga's input."""
    return {field: execution.input[field] for field in FIELDS if execution.input.get(field) is not None}


def _payment_status(execution: Any, new: SagaState) -> PaymentStatus:
    """Return the payment status for the saga's new state. Consider that an operator may have resolved the charge."""
    if new is not SagaState.FAILED:
        return PAYMENT_STATUS[new]
    charge = describe_step(view_of(execution), "process_payment").status
    if charge is StepStatus.DONE:
        return PaymentStatus.PAID
    if not _was_requested(execution, new):
        return PAYMENT_STATUS[new]
    given_back = charge is StepStatus.COMPENSATED and execution.context.get("refunded", True)
    return PaymentStatus.REFUNDED if given_back else PaymentStatus.CANCELLED


def _was_requested(execution: Any, new: SagaState) -> bool:
    """Return whether the execution was compensated on request, not because of a failed step."""
    return new is SagaState.FAILED and not execution.failed_step
