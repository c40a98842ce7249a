"""The booking page's words: how a booking and its payment stand, for whoever has booked."""

import re
from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from sagaproject.bookings.models import BookingStatus, PaymentStatus
from sagas.presentation.messages import StepStatus


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
CHARGED = _("You have been charged")
STAYS = _("The money was charged and stays with us. If you do not know why, please write to us.")
REFUND_IN_HAND = _("We are looking into your refund")
# What stands when a saga is not kept any more.
OF_BOOKINGS = {
    BookingStatus.PENDING: Stand.PROCESSING,
    BookingStatus.CONFIRMED: Stand.CONFIRMED,
    BookingStatus.NOT_BOOKED: Stand.NOT_BOOKED,
    BookingStatus.CHECKING: Stand.CHECKING,
    BookingStatus.CANCELLED: Stand.CANCELLED,
}
OF_PAYMENTS = {
    PaymentStatus.PENDING: Stand.PROCESSING,
    PaymentStatus.PAID: Stand.CONFIRMED,
    PaymentStatus.PAYMENT_FAILED: Stand.NOT_BOOKED,
    PaymentStatus.CHECKING: Stand.CHECKING,
    PaymentStatus.REFUNDED: Stand.CANCELLED,
    PaymentStatus.CANCELLED: Stand.CANCELLED,
}
STATUS_WORDS = {
    StepStatus.WAITING: _("Waiting"),
    StepStatus.RUNNING: _("Under way"),
    StepStatus.DONE: _("Done"),
    StepStatus.REFUSED: _("Not done"),
    StepStatus.IN_DOUBT: _("Being checked"),
    StepStatus.COMPENSATING: _("Being undone"),
    StepStatus.COMPENSATED: _("Undone"),
    StepStatus.NOT_COMPENSATED: _("Not undone"),
}
# Of what has not happened yet, or is being taken back, the name is told and no sentence.
TITLED = (StepStatus.WAITING, StepStatus.COMPENSATING, StepStatus.NOT_COMPENSATED)
# What a payment gateway says of a card; of other refusals the saga's own words must do.
DECLINES = {
    "card_declined": _("The card was declined."),
    "insufficient_funds": _("There is not enough money on the card."),
    "expired_card": _("The card has expired."),
    "incorrect_cvc": _("The card's security code is wrong."),
}
CODE = re.compile(r"\((\w+)\)$")
