"""The states that the booking page shows, and their headlines."""

import re
from enum import StrEnum

from django.utils.translation import gettext_lazy as _

from sagaproject.bookings.models import BookingStatus, PaymentStatus
from sagas.presentation.step_status import StepStatus


class PageState(StrEnum):
    """The state of a booking or a payment on the page: CustomerState, plus cancellation on request."""

    PROCESSING = "processing"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CHECKING = "checking"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


BOOKING_HEADLINES = {
    PageState.PROCESSING: _("We are making your booking"),
    PageState.CONFIRMED: _("Your booking is confirmed"),
    PageState.FAILED: _("We could not make your booking"),
    PageState.CHECKING: _("We are checking your booking"),
    PageState.CANCELLING: _("We are cancelling your booking"),
    PageState.CANCELLED: _("Your booking is cancelled"),
}
PAYMENT_HEADLINES = {
    PageState.PROCESSING: _("We are processing your payment"),
    PageState.CONFIRMED: _("Paid, thank you"),
    PageState.FAILED: _("Payment failed"),
    PageState.CHECKING: _("We are checking your payment"),
    PageState.CANCELLING: _("We are cancelling your payment"),
    PageState.CANCELLED: _("Nothing was charged"),
}
REFUNDED = _("You have been refunded")
CHARGED = _("You have been charged")
CHARGE_KEPT = _("Your card was charged and was not refunded. If you do not know why, please write to us.")
CHECKING_REFUND = _("We are looking into your refund")
# The page state if the saga of the booking was deleted.
BOOKING_STATES = {
    BookingStatus.PENDING: PageState.PROCESSING,
    BookingStatus.CONFIRMED: PageState.CONFIRMED,
    BookingStatus.NOT_BOOKED: PageState.FAILED,
    BookingStatus.CHECKING: PageState.CHECKING,
    BookingStatus.CANCELLED: PageState.CANCELLED,
}
PAYMENT_STATES = {
    PaymentStatus.PENDING: PageState.PROCESSING,
    PaymentStatus.PAID: PageState.CONFIRMED,
    PaymentStatus.PAYMENT_FAILED: PageState.FAILED,
    PaymentStatus.CHECKING: PageState.CHECKING,
    PaymentStatus.REFUNDED: PageState.CANCELLED,
    PaymentStatus.CANCELLED: PageState.CANCELLED,
}
STATUS_LABELS = {
    StepStatus.WAITING: _("Waiting"),
    StepStatus.RUNNING: _("In progress"),
    StepStatus.DONE: _("Done"),
    StepStatus.REFUSED: _("Not done"),
    StepStatus.IN_DOUBT: _("Being checked"),
    StepStatus.COMPENSATING: _("Being undone"),
    StepStatus.COMPENSATED: _("Undone"),
    StepStatus.NOT_COMPENSATED: _("Could not be undone"),
}
# For these statuses, the page shows the label of the step instead of a sentence.
LABEL_ONLY = (StepStatus.WAITING, StepStatus.COMPENSATING, StepStatus.NOT_COMPENSATED)
# The gateway's codes for declined cards. After another refusal, the page shows only the saga's message.
DECLINES = {
    "card_declined": _("Your card was declined."),
    "insufficient_funds": _("Your card has insufficient funds."),
    "expired_card": _("Your card has expired."),
    "incorrect_cvc": _("Your card's security code is wrong."),
}
CODE = re.compile(r"\((\w+)\)$")
