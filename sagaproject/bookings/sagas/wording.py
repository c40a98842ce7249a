"""The templates of the sagas: sentences for support staff and customers.

A step shows `refused` only if its action certainly had no effect. A step also shows `compensated` if its action was in
doubt and was then compensated, so this sentence must be true even if the action had no effect.
"""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

# The labels of the sagas and references. The labels are derived from the names in code.
NAMES = (
    gettext_noop("Create booking"),
    gettext_noop("Collect payment"),
    gettext_noop("Sale id"),
    gettext_noop("Customer name"),
    gettext_noop("Customer email"),
    gettext_noop("Customer phone"),
    gettext_noop("Customer document"),
    gettext_noop("Invoice ref"),
    gettext_noop("Invoice number"),
    gettext_noop("Event id"),
    gettext_noop("Payment id"),
    gettext_noop("Amount"),
    gettext_noop("Description"),
)

BOOKING = {
    "processing": _("We are making your booking of {description}."),
    "confirmed": _("Your booking of {description} on {starts_at:datetime} is confirmed."),
    "failed": _("{description} was not booked."),
    "checking": _("We are checking your booking of {description}. You do not need to do anything."),
}
CREATE_NF = {
    "name": _("Invoice"),
    "doing": _("The invoice for {amount:money} is being issued."),
    "done": _("Invoice {invoice_number} for {amount:money} was issued."),
    "compensated": _("The invoice for {amount:money} was cancelled."),
    "in_doubt": _("It is not certain yet whether the invoice for {amount:money} was issued."),
    "refused": _("The invoice for {amount:money} could not be issued."),
    "compensating": _("The invoice for {amount:money} is being cancelled."),
    "compensation_in_doubt": _("It is not certain yet whether the invoice for {amount:money} was cancelled."),
    "not_compensated": _("Invoice {invoice_number} for {amount:money} could not be cancelled and is still valid."),
    "by_hand": _(
        "The city's tax office can cancel invoice {invoice_number} until {until:datetime}; request it in the "
        "office's portal."
    ),
    "to_do": _("An invoice for {amount:money} will be issued."),
    "to_compensate": _("The invoice for {amount:money} will be cancelled."),
}
SEND_EMAIL = {
    "name": _("Confirmation by e-mail"),
    "doing": _("The confirmation is being sent to {customer_email}."),
    "done": _("The confirmation was sent to {customer_email}."),
    "compensated": _("A cancellation was sent to {customer_email}."),
    "in_doubt": _("It is not certain yet whether the confirmation was sent to {customer_email}."),
    "refused": _("The confirmation could not be sent to {customer_email}."),
    "compensating": _("A cancellation is being sent to {customer_email}."),
    "compensation_in_doubt": _("It is not certain yet whether a cancellation was sent to {customer_email}."),
    "not_compensated": _("The cancellation could not be sent to {customer_email}."),
    "to_do": _("A confirmation will be sent to {customer_email}."),
    "to_compensate": _("A cancellation will be sent to {customer_email}."),
}
SEND_WHATSAPP = {
    "name": _("Confirmation by WhatsApp"),
    "doing": _("The confirmation is being sent by WhatsApp to {customer_phone}."),
    "done": _("The confirmation was sent by WhatsApp to {customer_phone}."),
    "compensated": _("A cancellation was sent by WhatsApp to {customer_phone}."),
    "in_doubt": _("It is not certain yet whether the confirmation was sent by WhatsApp to {customer_phone}."),
    "refused": _("The confirmation could not be sent by WhatsApp to {customer_phone}."),
    "compensating": _("A cancellation is being sent by WhatsApp to {customer_phone}."),
    "compensation_in_doubt": _(
        "It is not certain yet whether a cancellation was sent by WhatsApp to {customer_phone}."
    ),
    "not_compensated": _("The cancellation could not be sent by WhatsApp to {customer_phone}."),
    "to_do": _("A confirmation will be sent by WhatsApp to {customer_phone}."),
    "to_compensate": _("A cancellation will be sent by WhatsApp to {customer_phone}."),
}
ADD_CALENDAR = {
    "name": _("Calendar entry"),
    "doing": _("{description} on {starts_at:datetime} is being added to the calendar."),
    "done": _("{description} on {starts_at:datetime} is in the calendar."),
    "compensated": _("{description} was removed from the calendar."),
    "in_doubt": _("It is not certain yet whether {description} is in the calendar."),
    "refused": _("{description} could not be added to the calendar."),
    "compensating": _("{description} is being removed from the calendar."),
    "compensation_in_doubt": _("It is not certain yet whether {description} was removed from the calendar."),
    "not_compensated": _("{description} could not be removed from the calendar."),
    "by_hand": _("Remove {description} from the calendar by hand."),
    "to_do": _("{description} on {starts_at:datetime} will be added to the calendar."),
    "to_compensate": _("{description} will be removed from the calendar."),
}

PAYMENT = {
    "processing": _("We are processing your payment of {amount:money} for {description}."),
    "confirmed": _("We have received your payment of {amount:money} for {description}."),
    "failed": _("You have not paid anything for {description}."),
    "checking": _("We are checking your payment of {amount:money} for {description}. Please do not pay again."),
}
PROCESS_PAYMENT = {
    "name": _("Charge"),
    "doing": _("{amount:money} is being charged."),
    "done": _("{amount:money} was charged."),
    "compensated": _("The payment of {amount:money} was reversed; nothing stays charged."),
    "in_doubt": _("It is not certain yet whether {amount:money} was charged."),
    "refused": _("The payment of {amount:money} did not go through; nothing is charged."),
    "compensating": _("{amount:money} is being refunded."),
    "compensation_in_doubt": _("It is not certain yet whether {amount:money} was refunded."),
    "not_compensated": _("{amount:money} could not be refunded and is still charged."),
    "by_hand": _("Refund {amount:money} in the payment gateway's dashboard, or by bank transfer."),
    "to_do": _("{amount:money} will be charged to the customer."),
    "to_compensate": _("{amount:money} will be refunded to the customer."),
}
# This step has no `in_doubt`, because it shares a transaction with its checkpoint.
CREATE_INVOICE = {
    "name": _("Entry in the books"),
    "doing": _("The payment of {amount:money} is being entered into the books."),
    "done": _("The payment of {amount:money} is in the books as {invoice_number}."),
    "compensated": _("The entry {invoice_number} in the books was voided."),
    "refused": _("The payment of {amount:money} could not be entered into the books."),
    "compensating": _("The entry {invoice_number} in the books is being voided."),
    "not_compensated": _("The entry {invoice_number} in the books could not be voided."),
    "to_do": _("The payment of {amount:money} will be entered into the books."),
    "to_compensate": _("The entry of {amount:money} in the books will be voided."),
}
# The steps below have no templates for a compensation, because they have no compensation.
SEND_RECEIPT = {
    "name": _("Receipt by e-mail"),
    "doing": _("The receipt is being sent to {customer_email}."),
    "done": _("The receipt was sent to {customer_email}."),
    "in_doubt": _("It is not certain yet whether the receipt was sent to {customer_email}."),
    "refused": _("The receipt could not be sent to {customer_email}."),
    "to_do": _("A receipt will be sent to {customer_email}."),
}
LOG_ANALYTICS = {
    "name": _("Entry in the statistics"),
    "doing": _("The payment is being reported to analytics."),
    "done": _("The payment was reported to analytics."),
    "in_doubt": _("It is not certain yet whether the payment was reported to analytics."),
    "refused": _("The payment could not be reported to analytics."),
    "to_do": _("The payment will be reported to analytics."),
}

# The labels of the providers and of the other input fields.
PROVIDERS = (
    gettext_noop("Invoices"),
    gettext_noop("Email"),
    gettext_noop("Whatsapp"),
    gettext_noop("Calendar"),
    gettext_noop("Payments"),
    gettext_noop("Analytics"),
)
INPUTS = (
    gettext_noop("Starts at"),
    gettext_noop("Ends at"),
    gettext_noop("Currency"),
    gettext_noop("Payment method"),
)
