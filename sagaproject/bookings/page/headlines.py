"""The booking page's words: how a booking and its payment stand, for whoever has booked."""

import re
from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from sagaproject.bookings.models import BookingStatus, PaymentStatus
from sagas.presentation.step_status import StepStatus


class PageState(StrEnum):
    """How a booking or a payment stands: a customer's state, or on its way to being undone on request."""

    PROCESSING = "processing"
    CONFIRMED = "confirmed"
    NOT_BOOKED = "not_booked"
    CHECKING = "checking"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


BOOKING_HEADLINES = {
    PageState.PROCESSING: _("We are making your booking"),
    PageState.CONFIRMED: _("Your booking is confirmed"),
    PageState.NOT_BOOKED: _("We could not make your booking"),
    PageState.CHECKING: _("We are checking your booking"),
    PageState.CANCELLING: _("We are cancelling your booking"),
    PageState.CANCELLED: _("Your booking is cancelled"),
}
PAYMENT_HEADLINES = {
    PageState.PROCESSING: _("Your payment is under way"),
    PageState.CONFIRMED: _("Paid, thank you"),
    PageState.NOT_BOOKED: _("Your payment did not go through"),
    PageState.CHECKING: _("We are checking your payment"),
    PageState.CANCELLING: _("Your payment is being taken back"),
    PageState.CANCELLED: _("Nothing was charged"),
}
REFUNDED = _("Your money has been given back")
CHARGED = _("You have been charged")
CHARGE_KEPT = _("The money was charged and stays with us. If you do not know why, please write to us.")
CHECKING_REFUND = _("We are looking into your refund")
# What stands when a saga is not kept any more.
BOOKING_STATES = {
    BookingStatus.PENDING: PageState.PROCESSING,
    BookingStatus.CONFIRMED: PageState.CONFIRMED,
    BookingStatus.NOT_BOOKED: PageState.NOT_BOOKED,
    BookingStatus.CHECKING: PageState.CHECKING,
    BookingStatus.CANCELLED: PageState.CANCELLED,
}
PAYMENT_STATES = {
    PaymentStatus.PENDING: PageState.PROCESSING,
    PaymentStatus.PAID: PageState.CONFIRMED,
    PaymentStatus.PAYMENT_FAILED: PageState.NOT_BOOKED,
    PaymentStatus.CHECKING: PageState.CHECKING,
    PaymentStatus.REFUNDED: PageState.CANCELLED,
    PaymentStatus.CANCELLED: PageState.CANCELLED,
}
STATUS_LABELS = {
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
LABEL_ONLY = (StepStatus.WAITING, StepStatus.COMPENSATING, StepStatus.NOT_COMPENSATED)
# What a payment gateway says of a card; of other refusals the saga's own words must do.
DECLINES = {
    "card_declined": _("The card was declined."),
    "insufficient_funds": _("There is not enough money on the card."),
    "expired_card": _("The card has expired."),
    "incorrect_cvc": _("The card's security code is wrong."),
}
CODE = re.compile(r"\((\w+)\)$")
