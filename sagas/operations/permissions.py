"""Which permission each act needs, on every surface."""

from __future__ import annotations

from typing import Any

from .situation import Act

VIEW = "sagas.view_sagaexecution"
PERSONAL = "sagas.view_personal_data"
EXPORT = "sagas.export_saga"
NEEDS = {
    Act.RETRY: "sagas.retry_saga",
    Act.CANCEL: "sagas.cancel_saga",
    Act.COMPENSATE: "sagas.compensate_saga",
    Act.HOLD: "sagas.hold_saga",
    Act.RELEASE: "sagas.hold_saga",
    Act.VERIFY: "sagas.retry_saga",
    Act.RESOLVE: "sagas.resolve_step",
    Act.ACKNOWLEDGE: "sagas.retry_saga",
    Act.CORRECT: "sagas.edit_context",
}


def may_note(user: Any) -> bool:
    """Whether the user may write notes: whoever may do anything may say something."""
    return any(map(user.has_perm, NEEDS.values()))
