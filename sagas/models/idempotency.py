"""Idempotency keys of API clients."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class IdempotencyKey(models.Model):
    """An `Idempotency-Key` of a client: the same key again finds the same execution.

    `fingerprint` is a hash of the request, which must be the same each time.
    """

    id = models.BigAutoField(primary_key=True)
    client = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("client"))
    key = models.CharField(_("key"), max_length=255)
    fingerprint = models.CharField(max_length=64)
    saga_id = models.CharField(_("saga id"), max_length=150)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        db_table = "sagas_idempotencykey"
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        default_permissions = ("view",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["client", "key"], name="sagas_idempotencykey_once")]

    def __str__(self) -> str:
        return self.key
