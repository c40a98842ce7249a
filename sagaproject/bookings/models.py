"""The records of the demo business."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class BookingStatus(models.TextChoices):
    """The status of a booking. Its labels are for customers."""

    PENDING = "pending", _("pending")
    CONFIRMED = "confirmed", _("confirmed")
    NOT_BOOKED = "not_booked", _("not booked")
    CHECKING = "checking", _("being checked")
    CANCELLED = "cancelled", _("cancelled")


class PaymentStatus(models.TextChoices):
    """The payment status of a booking."""

    PENDING = "pending", _("pending")
    PAID = "paid", _("paid")
    PAYMENT_FAILED = "payment_failed", _("payment failed")
    CHECKING = "checking", _("being checked")
    REFUNDED = "refunded", pgettext_lazy("payment", "refunded")
    CANCELLED = "cancelled", _("cancelled before anything was charged")


class Booking(models.Model):
    """One sale. Its sagas set its two statuses. A new payment attempt sets the payment status back to pending.

    The customer's link contains the secret token. Anyone with the token can see, pay and cancel the booking.
    """

    sale_id = models.CharField(max_length=64, unique=True)
    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    status = models.CharField(max_length=16, choices=BookingStatus.choices, default=BookingStatus.PENDING)
    payment_status = models.CharField(max_length=16, choices=PaymentStatus.choices, default=PaymentStatus.PENDING)
    customer_name = models.CharField(max_length=200)
    customer_email = models.EmailField()
    customer_phone = models.CharField(max_length=20, blank=True)
    customer_document = models.CharField(max_length=14, blank=True)
    description = models.CharField(max_length=500, blank=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3, default="BRL")
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    booking_saga_id = models.CharField(max_length=150, blank=True, db_index=True)
    payment_saga_id = models.CharField(max_length=150, blank=True, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    # True if the call that returned this object started the saga of the booking. Not stored.
    just_created = False

    class Meta:
        verbose_name = _("booking")
        verbose_name_plural = _("bookings")

    def __str__(self) -> str:
        return self.sale_id


class InvoiceStatus(models.TextChoices):
    """The status of a financial record: valid or void."""

    ISSUED = "issued", _("issued")
    VOIDED = "voided", _("voided")


class Invoice(models.Model):
    """The financial record of one payment. It can be voided but is never deleted."""

    idempotency_key = models.CharField(max_length=255, unique=True)
    saga_id = models.CharField(max_length=150, db_index=True)
    sale_id = models.CharField(max_length=64, db_index=True)
    payment_id = models.CharField(max_length=64, db_index=True)
    customer_name = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=16, choices=InvoiceStatus.choices, default=InvoiceStatus.ISSUED)
    issued_at = models.DateTimeField(auto_now_add=True)
    voided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """The invoice number, such as INV-000042."""
        return f"INV-{self.pk:06d}"


class AnalyticsEvent(models.Model):
    """An event that was reported to analytics. There is one per step of an execution, even after several runs."""

    saga_id = models.CharField(max_length=150)
    step = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    sale_id = models.CharField(max_length=64)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    event_id = models.CharField(max_length=64)
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("analytics event")
        verbose_name_plural = _("analytics events")
        constraints = [
            models.UniqueConstraint(fields=["saga_id", "step"], name="one_analytics_event_per_saga_and_step")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.sale_id}"
