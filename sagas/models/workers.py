"""The models of worker processes, and of sagas that no worker has registered."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .fields import JSONTextField


class SagaWorker(models.Model):
    """The last report of a worker process. A worker that stops normally deletes its row.

    A worker without a report for UNSEEN seconds counts as gone.
    """

    UNSEEN = 60.0

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=100, unique=True)
    host = models.CharField(_("host"), max_length=64)
    pid = models.PositiveIntegerField(_("process id"))
    process_group = models.PositiveIntegerField(_("process group"))
    cluster = models.CharField(_("cluster"), max_length=100)
    started_at = models.DateTimeField(_("started at"))
    seen_at = models.DateTimeField(_("seen at"))
    running = models.PositiveIntegerField(_("running"), default=0)
    free = models.PositiveIntegerField(_("free"), default=0)
    stuck = models.PositiveIntegerField(_("stuck"), default=0)
    draining = models.BooleanField(_("draining"), default=False)
    claims = models.PositiveBigIntegerField(_("claims"), default=0)
    knows = JSONTextField(_("sagas it knows"), default=list)

    class Meta:
        db_table = "sagas_worker"
        verbose_name = _("saga worker")
        verbose_name_plural = _("saga workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class MissingSaga(models.Model):
    """A saga with due executions that no running worker has registered."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("saga"), max_length=64, unique=True)
    since = models.DateTimeField(_("since"))
    seen_at = models.DateTimeField(_("seen at"))

    class Meta:
        db_table = "sagas_missing"
        verbose_name = _("missing saga")
        verbose_name_plural = _("missing sagas")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name
