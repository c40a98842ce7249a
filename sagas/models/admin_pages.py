"""Proxy models for admin pages that do not list rows of a table. They put these pages on the admin's index."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .executions import SagaExecution


class Operations(SagaExecution):
    """The admin's page of operations."""

    class Meta:
        proxy = True
        verbose_name = _("operations")
        verbose_name_plural = _("operations")
        default_permissions = ()


class Compensation(SagaExecution):
    """The admin's page of open compensations."""

    class Meta:
        proxy = True
        verbose_name = _("open undo")
        verbose_name_plural = _("open undos")
        default_permissions = ()


class Provider(SagaExecution):
    """The admin's page of the providers that steps call."""

    class Meta:
        proxy = True
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        default_permissions = ()


class Definition(SagaExecution):
    """The admin's page of the registered sagas."""

    class Meta:
        proxy = True
        verbose_name = _("definition")
        verbose_name_plural = _("definitions")
        default_permissions = ()
