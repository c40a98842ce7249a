"""manage.py saga_roles: create the groups for people who work with sagas."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.storage import database

LOOK = ("view_sagaexecution", "view_steprun", "view_sagaevent", "view_sagareference", "view_sagaworker")
SUPPORT = (*LOOK, "retry_saga", "hold_saga", "resolve_step")
ROLES = {
    "Support": SUPPORT,
    "Supervisor": (
        *SUPPORT,
        "cancel_saga",
        "compensate_saga",
        "edit_context",
        "view_personal_data",
        "export_saga",
    ),
    "Auditor": (*LOOK, "view_personal_data", "export_saga"),
}


class Command(SagaCommand):
    """Create the groups and add their missing permissions. Keep all other permissions."""

    help = "Creates the groups Support, Supervisor and Auditor, and adds their missing permissions. Safe to run again."

    def run(self, options: dict[str, Any]) -> Exit:
        """Create the groups and print the saga permissions of each group."""
        granted: dict[str, list[str]] = {}
        permissions = Permission.objects.using(database.alias()).filter(content_type__app_label="sagas")
        with transaction.atomic(using=database.alias()):
            for name, codenames in ROLES.items():
                group, _created = Group.objects.using(database.alias()).get_or_create(name=name)
                group.permissions.add(*permissions.filter(codename__in=codenames))
                ours = group.permissions.filter(content_type__app_label="sagas")
                granted[name] = sorted(ours.values_list("codename", flat=True))
        for name, has in granted.items():
            self.console.say(f"{name}: {', '.join(has)}")
        self.console.document(granted)
        return Exit.SUCCEEDED
