"""The effects of the sandboxes, and the faults to inject into sandbox calls."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

# The operations of each port's sandbox. `charge` makes two calls: "create" and "confirm". A fault with the
# operation "charge" applies to "confirm".
OPERATIONS = {
    "invoices": ("issue", "fetch", "cancel"),
    "email": ("send",),
    "whatsapp": ("send_template",),
    "calendar": ("add", "get", "remove"),
    "payments": ("charge", "create", "confirm", "find", "refund"),
    "analytics": ("track",),
}
NEVER_DEDUPLICATED = ("email", "whatsapp")


class EffectState(models.TextChoices):
    """The state of an effect at its provider."""

    DONE = "done", _("done")
    SENT = "sent", _("sent")
    DEFERRED = "deferred", _("deferred")
    PROCESSING = "processing", _("processing")
    AUTHORIZED = "authorized", _("authorized")
    REJECTED = "rejected", _("rejected")
    CONFIRMED = "confirmed", _("confirmed")
    REQUIRES_CONFIRMATION = "requires_confirmation", _("not charged yet")
    REQUIRES_PAYMENT_METHOD = "requires_payment_method", _("declined")
    SUCCEEDED = "succeeded", _("succeeded")
    REFUNDED = "refunded", _("refunded")
    CANCELED = "canceled", _("canceled")


class FaultMode(models.TextChoices):
    """How a sandbox call fails, and whether the call takes effect."""

    FAIL_BEFORE = "fail_before", _("unavailable; no effect")
    REFUSE = "refuse", _("refused for good; no effect")
    THROTTLE = "throttle", _("throttled; no effect")
    EFFECT_THEN_LOSE_REPLY = "effect_then_lose_reply", _("takes effect, the reply is lost")
    TIMEOUT = "timeout", _("takes effect, the reply comes after the deadline")
    KILL_PROCESS_BEFORE = "kill_process_before", _("the process is killed; no effect")
    KILL_PROCESS_AFTER = "kill_process_after", _("takes effect, the process is killed")
    PENDING_N = "pending_n", _("the invoice stays in processing for this many calls")
    LATENCY = "latency", _("only slower")


class SandboxEffect(models.Model):
    """An effect of a sandbox call, or a compensation of an effect, with the idempotency key of the call."""

    port = models.CharField(max_length=16)
    operation = models.CharField(max_length=32)
    # The column has its own index, because SQLite does not use the constraint's partial index for lookups by key.
    idempotency_key = models.CharField(max_length=255, db_index=True)
    request_hash = models.CharField(max_length=64)
    request = models.JSONField(default=dict)
    response = models.JSONField(default=dict)
    state = models.CharField(max_length=32, choices=EffectState.choices)
    external_id = models.CharField(max_length=64, blank=True, db_index=True)
    calls = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("sandbox effect")
        verbose_name_plural = _("sandbox effects")
        constraints = [
            models.UniqueConstraint(
                fields=["port", "operation", "idempotency_key"],
                condition=~models.Q(port__in=NEVER_DEDUPLICATED),
                name="one_sandbox_effect_per_key",
            )
        ]

    def __str__(self) -> str:
        return f"{self.port} {self.operation} {self.idempotency_key}: {self.state}"


class SandboxFault(models.Model):
    """A fault for the next `remaining` matching calls.

    An empty `port`, `operation` or `match` matches every call. `match` must occur in the idempotency key or in the
    request. A call uses the oldest matching fault and waits `latency_ms` before it fails. A throttled call does not
    wait: its `latency_ms` is the provider's `retry_after`, and 0 means one second.
    """

    port = models.CharField(max_length=16, blank=True, choices=[(port, port) for port in OPERATIONS])
    operation = models.CharField(max_length=32, blank=True)
    match = models.CharField(max_length=255, blank=True)
    mode = models.CharField(max_length=32, choices=FaultMode.choices)
    remaining = models.PositiveIntegerField(default=1)
    latency_ms = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("sandbox fault")
        verbose_name_plural = _("sandbox faults")

    def __str__(self) -> str:
        return f"{self.port or '*'} {self.operation or '*'}: {self.mode} x {self.remaining}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Validate before saving, because a fault with a misspelt operation would match no call."""
        self.full_clean()
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Reject an operation that the port does not have, and pending_n for ports other than invoices."""
        known = OPERATIONS.get(self.port) or [name for names in OPERATIONS.values() for name in names]
        if self.operation and self.operation not in known:
            raise ValidationError({"operation": f"Choose one of {', '.join(known)}, or leave it empty."})
        if self.mode == FaultMode.PENDING_N and self.port != "invoices":
            raise ValidationError({"mode": "Only invoices can be pending; set the port to invoices."})
