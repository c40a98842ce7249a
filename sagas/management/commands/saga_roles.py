"""manage.py saga_roles: the groups that people who work with sagas belong to."""

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
    """Makes the groups, or gives them back the permissions that they should have; other permissions stay."""

    help = "Makes the groups Support, Supervisor and Auditor with their permissions; running it again mends them."

    def run(self, options: dict[str, Any]) -> Exit:
        """Make and tell."""
        made: dict[str, list[str]] = {}
        with transaction.atomic(using=database.alias()):
            for name, codenames in ROLES.items():
                made[name] = _make(name, codenames)
        for name, has in made.items():
            self.console.say(f"{name}: {', '.join(has)}")
        self.console.document(made)
        return Exit.SUCCEEDED


def _make(name: str, codenames: tuple[str, ...]) -> list[str]:
    """The permissions that the group has of ours, once it has all of these."""
    group, _ = Group.objects.using(database.alias()).get_or_create(name=name)
    ours = Permission.objects.using(database.alias()).filter(content_type__app_label="sagas")
    group.permissions.add(*ours.filter(codename__in=codenames))
    return sorted(group.permissions.filter(content_type__app_label="sagas").values_list("codename", flat=True))
