"""The permission that each operation needs, in the admin and the API."""

from __future__ import annotations

from typing import Any

from .operation import Operation

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
    """Whether the user may write notes: everybody who may perform any operation."""
    return any(map(user.has_perm, NEEDS.values()))
