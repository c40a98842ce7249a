"""The permission that each operation needs, in the admin and the API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext

from .operation import Actor, Operation

USER_SOURCES = frozenset({"admin", "api"})  # commands and programs need no permission
VIEW = "sagas.view_sagaexecution"
PERSONAL = "sagas.view_personal_data"
EXPORT = "sagas.export_saga"
NEEDS = {
    Operation.RETRY: "sagas.retry_saga",
    Operation.CANCEL: "sagas.cancel_saga",
    Operation.COMPENSATE: "sagas.compensate_saga",
    Operation.HOLD: "sagas.hold_saga",
    Operation.RELEASE: "sagas.hold_saga",
    Operation.VERIFY: "sagas.retry_saga",
    Operation.RESOLVE: "sagas.resolve_step",
    Operation.ACKNOWLEDGE: "sagas.retry_saga",
    Operation.CORRECT: "sagas.edit_context",
}


def may_note(user: Any) -> bool:
    """Return whether the user may write notes. Every user who may perform an operation may write notes."""
    return any(map(user.has_perm, NEEDS.values()))


def why_not_permitted(operation: Operation, by: Actor) -> str:
    """Return the reason why the actor may not perform the operation now, or "".

    Only users need a permission; commands and programs do not.
    """
    if by.source not in USER_SOURCES:
        return ""
    if by.user is None:
        return gettext("the account of the user who confirmed it was deleted.")
    if not by.user.is_active:
        return gettext("the account of the user who confirmed it was closed.")
    if not by.user.has_perm(NEEDS[operation]):
        return gettext("the user who confirmed it may not do this any more.")
    return ""
