"""Route models to databases."""

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

SANDBOX_ALIAS = "sandbox"
SANDBOX_APP = "integrations"


class SandboxRouter:
    """Route the sandboxes to a separate connection, because a real provider has its own database.

    A sandbox must keep its effects if the caller's transaction rolls back or the caller's process is killed.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return SANDBOX_ALIAS if model._meta.app_label == SANDBOX_APP else None

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return SANDBOX_ALIAS if model._meta.app_label == SANDBOX_APP else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if db not in (DEFAULT_DB_ALIAS, SANDBOX_ALIAS):
            return None
        # If both aliases name one database, they share the table of applied migrations. A migration that one alias
        # skips counts as applied for the other alias too. So each alias applies every migration, and the second
        # alias finds nothing to do.
        if settings.SANDBOX_SHARES_DEFAULT:
            return True
        return (db == SANDBOX_ALIAS) == (app_label == SANDBOX_APP)
