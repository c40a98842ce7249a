"""The configuration of the Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class SagasConfig(AppConfig):
    """The app config. It imports the module `sagas` of each installed app when Django is ready."""

    name = "sagas"
    verbose_name = _("Sagas")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register system checks and signal handlers, and import the sagas of the installed apps."""
        from sagas.monitoring import checks  # noqa: F401  (the import registers the checks)
        from sagas.operations import bulk
        from sagas.signals import beat

        beat.connect(bulk.advance_all, dispatch_uid="sagas.bulk")

        autodiscover_modules("sagas")
