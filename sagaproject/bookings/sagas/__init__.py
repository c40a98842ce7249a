"""The sagas of the booking business."""

from sagaproject.bookings.sagas.collect_payment import COLLECT_PAYMENT_SAGA
from sagaproject.bookings.sagas.create_booking import CREATE_BOOKING_SAGA

__all__ = ["COLLECT_PAYMENT_SAGA", "CREATE_BOOKING_SAGA"]
