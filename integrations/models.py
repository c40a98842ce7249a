"""The sandbox's side of the world: what it was asked to do, and which faults it has been told to show."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

# The operations of each port's sandbox. A charge is two calls, create and confirm: its faults say "create",
# or "confirm", for which "charge" is another word.
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
    """What has become of an effect."""

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
    """How a sandbox call goes wrong, and what is true of its effect then."""

    FAIL_BEFORE = "fail_before", _("unavailable; nothing happens")
    REFUSE = "refuse", _("refused for good; nothing happens")
    THROTTLE = "throttle", _("told to come back later; nothing happens")
    EFFECT_THEN_LOSE_REPLY = "effect_then_lose_reply", _("it happens, the reply is lost")
    TIMEOUT = "timeout", _("it happens, the reply comes after the deadline")
    KILL_PROCESS_BEFORE = "kill_process_before", _("the process dies; nothing happens")
    KILL_PROCESS_AFTER = "kill_process_after", _("it happens, the process dies")
    PENDING_N = "pending_n", _("an invoice stays in processing for so many calls")
    LATENCY = "latency", _("it only takes longer")


class SandboxEffect(models.Model):
    """One effect in the sandbox's world, or one undo of an effect, under the key it was asked for with."""

    port = models.CharField(max_length=16)
    operation = models.CharField(max_length=32)
    # SQLite does not use the constraint's partial index to look a key up.
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
    """An order to the sandbox: let the next `remaining` matching calls go wrong in this way.

    An empty `port`, `operation` or `match` fits everything; `match` is a part of the idempotency key or of
    the request. Each call takes the oldest fault that fits, and waits `latency_ms` first. A throttled call does not
    wait: there `latency_ms` is for how long the provider tells its caller to stay away; 0 means a second.
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
        """Save it if a call can ever fit it: a fault with a misspelt operation would prove nothing."""
        self.full_clean()
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Refuse an operation that the port does not have, and pending_n where nothing can be pending."""
        known = OPERATIONS.get(self.port) or [name for names in OPERATIONS.values() for name in names]
        if self.operation and self.operation not in known:
            raise ValidationError({"operation": f"Choose one of {', '.join(known)}, or leave it empty."})
        if self.mode == FaultMode.PENDING_N and self.port != "invoices":
            raise ValidationError({"mode": "Only invoices can be pending; set the port to invoices."})
