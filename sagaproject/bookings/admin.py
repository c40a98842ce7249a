"""Show the records of the business in the admin, read-only, because only sagas write them."""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from sagaproject.bookings.models import AnalyticsEvent, Booking, Invoice
from sagas.admin.base import ReadOnly

# Remove django-q2's admin: it can run any function by its dotted path, and it unpickles results to show them.
for model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(Booking)
class BookingAdmin(ReadOnly, admin.ModelAdmin):
    """The bookings with their statuses."""

    list_display = ["sale_id", "status", "payment_status", "amount", "currency", "starts_at"]
    list_filter = ["status", "payment_status"]
    search_fields = ["sale_id", "customer_email", "booking_saga_id", "payment_saga_id"]
    date_hierarchy = "created_at"


@admin.register(Invoice)
class InvoiceAdmin(ReadOnly, admin.ModelAdmin):
    """The financial records of payments."""

    list_display = ["number", "sale_id", "amount", "currency", "status", "issued_at", "voided_at"]
    list_filter = ["status"]
    search_fields = ["sale_id", "payment_id", "saga_id"]
    date_hierarchy = "issued_at"


@admin.register(AnalyticsEvent)
class AnalyticsEventAdmin(ReadOnly, admin.ModelAdmin):
    """The events that were reported to analytics."""

    list_display = ["name", "sale_id", "amount", "currency", "recorded_at"]
    search_fields = ["sale_id", "saga_id"]
