"""The desks of the admin that are no rows: each is an entry of its index."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .executions import SagaExecution


class Operations(SagaExecution):
    """The operations home, as an entry of the admin's index: what needs people, and how things go."""

    class Meta:
        proxy = True
        verbose_name = _("operations")
        verbose_name_plural = _("operations")
        default_permissions = ()


class Compensation(SagaExecution):
    """The undos that are open, as an entry of the admin's index."""

    class Meta:
        proxy = True
        verbose_name = _("open undo")
        verbose_name_plural = _("open undos")
        default_permissions = ()


class Provider(SagaExecution):
    """What steps call, as an entry of the admin's index."""

    class Meta:
        proxy = True
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        default_permissions = ()


class Definition(SagaExecution):
    """The registered sagas, as an entry of the admin's index."""

    class Meta:
        proxy = True
        verbose_name = _("definition")
        verbose_name_plural = _("definitions")
        default_permissions = ()
