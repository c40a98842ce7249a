"""Update a booking's statuses from its sagas, in the transaction that changes a saga's state.

Once a saga has confirmed or paid a booking, other sagas of the same sale do not change it: a second attempt that
fails must not hide the success of the first. Sagas of other clients never change it.

A saga that FAILED without a failed step was compensated on request, and its booking is cancelled, not failed.
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
# In these statuses the booking's payment has charged the customer, or may have, so no other payment may charge.
TAKEN = (PaymentStatus.PENDING, PaymentStatus.PAID, PaymentStatus.CHECKING)
# The fields of a booking that a saga's input has. A payment's input has only some of them.
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
    """Update the sale's booking from its create_booking saga. Creates the booking for a saga started elsewhere."""
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
    """Update the sale's payment from its collect_payment saga. Creates the booking for a saga started elsewhere."""
    booking = _get_or_create(execution)
    if _is_anothers_to_pay(booking, execution.saga_id) or is_another_clients(booking, execution):
        return
    if _has_paid(booking, execution.saga_id) and new is not SagaState.COMPENSATING:
        return  # an operator decided to keep this charge; a new run does not change that
    booking.payment_saga_id = execution.saga_id
    booking.payment_status = _payment_status(execution, new)
    booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])


def why_not_charge(saga_id: str) -> str:
    """Return why this payment may not charge, as a clause, or "" and reserve the sale for it.

    A sale is paid once: its booking names the payment that may charge. The booking is created if there is none.
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
    """Whether the saga was started by a client other than the booking's. Sagas without a client are ours."""
    return execution.owner_id not in (None, booking.owner_id)


def _get_or_create(execution: Any) -> Booking:
    """Return the sale's booking, locked: two sagas of a sale may end at the same time."""
    bookings = Booking.objects.select_for_update()
    defaults = {**fields_from(execution), "owner_id": execution.owner_id}
    booking, _ = bookings.get_or_create(sale_id=execution.input["sale_id"], defaults=defaults)
    return booking


def _is_anothers_to_pay(booking: Booking, saga_id: str) -> bool:
    return booking.payment_saga_id not in ("", saga_id) and booking.payment_status in TAKEN


def _has_paid(booking: Booking, saga_id: str) -> bool:
    return booking.payment_saga_id == saga_id and booking.payment_status == PaymentStatus.PAID


def fields_from(execution: Any) -> dict[str, Any]:
    """Return the fields of a booking that the saga's input has."""
    return {field: execution.input[field] for field in FIELDS if execution.input.get(field) is not None}


def _payment_status(execution: Any, new: SagaState) -> PaymentStatus:
    """Return the payment status. An operator may have resolved the charge by hand."""
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
    """Whether the execution was compensated on request and not because of a failed step."""
    return new is SagaState.FAILED and not execution.failed_step
