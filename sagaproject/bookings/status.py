"""Keeps a booking's own statuses true to its sagas, in the transaction in which a saga's state changes.

A booking that one saga has confirmed, or pays, does not listen to another saga of the same sale: a second
attempt that fails does not take back what the first one did. Nor does it listen to another client's saga.

A saga that FAILED without a failed step was undone because somebody asked for it: that is told in other words.
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
# The payment that a booking names has the money in one of these, or may: no other one takes any.
TAKEN = (PaymentStatus.PENDING, PaymentStatus.PAID, PaymentStatus.CHECKING)
# What a saga's input may tell of a booking; a payment's input has fewer of them.
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
    """Bring the sale's booking to what its create_booking saga says; make it if the front end has not."""
    booking = _get_or_create(execution)
    confirmed = booking.status == BookingStatus.CONFIRMED and booking.booking_saga_id != execution.saga_id
    if confirmed or is_another_clients(booking, execution):
        return
    for field, value in fields_from(execution).items():
        setattr(booking, field, value)
    booking.booking_saga_id = execution.saga_id
    booking.status = _booking_status(execution, new)
    booking.save()


def update_payment(execution: Any, _old: SagaState, new: SagaState) -> None:
    """Bring the sale's payment to what its collect_payment saga says; make the booking if nobody has."""
    booking = _get_or_create(execution)
    if _is_anothers_to_pay(booking, execution.saga_id) or is_another_clients(booking, execution):
        return
    if _has_paid(booking, execution.saga_id) and new is not SagaState.COMPENSATING:
        return  # nor does a new run of it make anybody forget a charge that a person has let stay
    booking.payment_saga_id = execution.saga_id
    booking.payment_status = _payment_status(execution, new)
    booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])


def why_not_charge(saga_id: str) -> str:
    """Why this payment may take no money, a clause; "" when it may, and then no other one of the sale may.

    A sale is paid once: its booking says by which payment, and is made for that where nobody has.
    """
    execution = SagaExecution.objects.get(saga_id=saga_id)
    with transaction.atomic():
        booking = _get_or_create(execution)
        if is_another_clients(booking, execution):
            return "somebody else has booked it"
        if _is_anothers_to_pay(booking, saga_id):
            return "another payment has been taken for it, or may have been"
        if _has_paid(booking, saga_id):
            return "it has taken the money in an earlier run, and that was not given back"
        if _is_not_booked(booking):
            return "it is not booked any more"
        booking.payment_saga_id, booking.payment_status = saga_id, PaymentStatus.PENDING
        booking.save(update_fields=["payment_saga_id", "payment_status", "updated_at"])
    return ""


def is_another_clients(booking: Booking, execution: Any) -> bool:
    """Whether a client has started the saga that has not booked; what no client has started is ours."""
    return execution.owner_id not in (None, booking.owner_id)


def _get_or_create(execution: Any) -> Booking:
    """The sale's booking, locked: two sagas of one sale may end at the same time."""
    bookings = Booking.objects.select_for_update()
    defaults = {**fields_from(execution), "owner_id": execution.owner_id}
    booking, _ = bookings.get_or_create(sale_id=execution.input["sale_id"], defaults=defaults)
    return booking


def _is_anothers_to_pay(booking: Booking, saga_id: str) -> bool:
    return booking.payment_saga_id not in ("", saga_id) and booking.payment_status in TAKEN


def _has_paid(booking: Booking, saga_id: str) -> bool:
    return booking.payment_saga_id == saga_id and booking.payment_status == PaymentStatus.PAID


def _is_not_booked(booking: Booking) -> bool:
    """Whether the booking was not made, or is being taken back or was."""
    sagas = SagaExecution.objects.with_id(booking.booking_saga_id)
    return sagas.in_state(SagaState.COMPENSATING, SagaState.FAILED).exists()


def fields_from(execution: Any) -> dict[str, Any]:
    """The fields of a booking that the saga's input knows."""
    return {field: execution.input[field] for field in FIELDS if execution.input.get(field) is not None}


def _booking_status(execution: Any, new: SagaState) -> BookingStatus:
    return BookingStatus.CANCELLED if _was_requested(execution, new) else BOOKING_STATUS[new]


def _payment_status(execution: Any, new: SagaState) -> PaymentStatus:
    """What has become of the money; a person may have said so by hand."""
    if new is not SagaState.FAILED:
        return PAYMENT_STATUS[new]
    charge = _charge_of(execution)
    if charge is StepStatus.DONE:
        return PaymentStatus.PAID
    if not _was_requested(execution, new):
        return PAYMENT_STATUS[new]
    given_back = charge is StepStatus.COMPENSATED and execution.context.get("refunded", True)
    return PaymentStatus.REFUNDED if given_back else PaymentStatus.CANCELLED


def _charge_of(execution: SagaExecution) -> StepStatus:
    """How the step that charges the customer stands."""
    return describe_step(view_of(execution), "process_payment").status


def _was_requested(execution: Any, new: SagaState) -> bool:
    """Whether a person, and no step, was the reason why all was undone."""
    return new is SagaState.FAILED and not execution.failed_step
