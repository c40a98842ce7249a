"""Bulk operations: a user confirms one operation on many executions, and the workers carry out item after item.

The operation on an item and its result commit together. After a crash, each item is therefore either done or still
waiting. The user who confirmed must still have the permission when a worker carries out an item.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Count, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext

from sagas.conf import get_settings
from sagas.definition.exceptions import ActRefused, SagaError
from sagas.definition.json_values import clean_text
from sagas.definition.states import UNFINISHED, SagaState
from sagas.engine.logs import log
from sagas.models import BulkItem, BulkOperation, SagaExecution
from sagas.models.clock import CLOCK
from sagas.storage import database

from . import perform
from .bulk_preview import BulkPreview, plan
from .operation import Actor, Operation
from .permissions import why_not_permitted

__all__ = [
    "MAX_ITEMS",
    "PROGRESS",
    "WITHOUT_PROVIDER_CALLS",
    "BulkPreview",
    "advance",
    "advance_all",
    "confirm",
    "counts",
    "find",
    "plan",
]

MAX_ITEMS = 1000
ITEMS_PER_TURN = 50  # the limit gives other bulk operations a turn
WITHOUT_PROVIDER_CALLS = frozenset({Operation.HOLD, Operation.ACKNOWLEDGE})

Status = BulkItem.Status

_DONE = Q(status=Status.DONE)
_UNFINISHED = _DONE & Q(execution__state__in=UNFINISHED)
PROGRESS = {
    "waiting": Q(status=Status.WAITING),
    "running": _UNFINISHED & Q(execution__held=""),
    "succeeded": _DONE & Q(execution__state=SagaState.SUCCEEDED),
    "failed": _DONE & Q(execution__state=SagaState.FAILED),
    "needs_attention": (_UNFINISHED & ~Q(execution__held=""))
    | (_DONE & Q(execution__state=SagaState.PARTIALLY_COMPENSATED)),
    "refused": Q(status=Status.REFUSED),
}


def confirm(
    token: UUID, operation: Operation, rows: Sequence[tuple[int, int]], *, reason: str, by: Actor
) -> BulkOperation:
    """Get or create the bulk operation with this token. `rows` are pairs of an execution's primary key and version."""
    columns = {
        "operation": operation.value,
        "reason": clean_text(reason),
        "actor": by.user,
        "actor_name": by.display_name,
        "source": by.source,
        "language": translation.get_language() or "",
    }
    with database.one_commit():
        bulk_operation, is_new = _bulk_operations().get_or_create(token=token, defaults=columns)
        if is_new:
            executions = SagaExecution.objects.using(database.alias()).filter(pk__in=[pk for pk, _ in rows])
            existing = set(executions.values_list("pk", flat=True))
            items = [
                BulkItem(bulk_operation=bulk_operation, execution_id=pk, version=version)
                for pk, version in rows
                if pk in existing
            ]
            BulkItem.objects.using(database.alias()).bulk_create(items)
    return bulk_operation


def find(token: UUID) -> BulkOperation | None:
    """Return the bulk operation with this token, or None if it was never confirmed."""
    return _bulk_operations().filter(token=token).first()


def counts(bulk_operation: BulkOperation) -> dict[str, int]:
    """Return the number of items for each name in PROGRESS."""
    found: dict[str, int] = _items(bulk_operation).aggregate(
        **{name: Count("pk", filter=condition) for name, condition in PROGRESS.items()}
    )
    return found


def advance_all(**_: Any) -> bool:
    """Advance each unfinished bulk operation, and return whether any item was carried out. Receives `beat`."""
    advanced = False
    for bulk_operation in _bulk_operations().filter(finished_at=None).order_by("pk"):
        try:
            advanced |= advance(bulk_operation)
        except DatabaseError as error:  # continue with the others; the next beat repeats what did not commit
            names = {"bulk_operation": bulk_operation.pk, "error_type": type(error).__name__}
            log(logging.WARNING, "bulk_operation.interrupted", **names)
    return advanced


def advance(bulk_operation: BulkOperation) -> bool:
    """Carry out items until ITEMS_PER_TURN or BULK_AT_ONCE is reached. Return whether any item was carried out.

    Several processes may call this at the same time.
    """
    done = 0
    while done < ITEMS_PER_TURN and _has_room(bulk_operation) and _carry_out_next(bulk_operation):
        done += 1
    if not _items(bulk_operation).filter(status=Status.WAITING).exists():
        _bulk_operations().filter(pk=bulk_operation.pk, finished_at=None).update(finished_at=CLOCK.now())
    return done > 0


def _has_room(bulk_operation: BulkOperation) -> bool:
    """Return whether fewer than BULK_AT_ONCE items are running. Operations without provider calls have no limit."""
    if bulk_operation.operation in WITHOUT_PROVIDER_CALLS:
        return True
    return _items(bulk_operation).filter(PROGRESS["running"]).count() < get_settings().BULK_AT_ONCE


def _carry_out_next(bulk_operation: BulkOperation) -> bool:
    """Carry out one item and write its result. Return whether an item was carried out.

    The result is False if no item waits, BULK_AT_ONCE is reached, or another process holds the lock.
    The lock on the row of the bulk operation keeps the number of running items right. SQLite needs no lock, because it
    allows only one writer at a time.
    """
    with database.one_commit():
        unfinished = _bulk_operations().filter(pk=bulk_operation.pk, finished_at=None)
        locked = unfinished.select_for_update(skip_locked=True).first()
        if locked is None:
            return False
        waiting = _items(bulk_operation).filter(status=Status.WAITING)
        item = waiting.select_related("execution").only("version", "execution__saga_id").order_by("pk").first()
        if item is None or not _has_room(bulk_operation):
            return False
        if waiting.filter(pk=item.pk).update(status=Status.DONE, ended_at=CLOCK.now()):
            _carry_out(locked, item)
    return True


def _carry_out(bulk_operation: BulkOperation, item: BulkItem) -> None:
    """Perform the operation. Write a refusal in the language of the user who confirmed."""
    operation = Operation(bulk_operation.operation)
    by = Actor(bulk_operation.actor, bulk_operation.actor_name, bulk_operation.source)
    with translation.override(bulk_operation.language or None):
        reason = why_not_permitted(operation, by) or _perform(operation, item, by, bulk_operation.reason)
    if reason:
        _items(bulk_operation).filter(pk=item.pk).update(status=Status.REFUSED, sentence=reason)


def _perform(operation: Operation, item: BulkItem, by: Actor, reason: str) -> str:
    """Perform the operation in a savepoint. Return "", or the reason of a refusal."""
    saga_id = item.execution.saga_id
    try:
        with database.one_commit():
            perform(operation, saga_id, reason=reason, by=by, version=item.version)
    except (OperationalError, InterfaceError):
        raise  # the database failed, not this item: repeat the whole turn
    except ActRefused as refused:
        return refused.sentence
    except SagaError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  (one item must not block the others)
        log(logging.ERROR, "bulk_item.failed", saga_id=saga_id, error_type=type(error).__name__)
        return gettext("an unexpected error occurred: %(error)s.") % {"error": type(error).__name__}
    return ""


def _bulk_operations() -> QuerySet[BulkOperation]:
    return BulkOperation.objects.using(database.alias())


def _items(bulk_operation: BulkOperation) -> QuerySet[BulkItem]:
    return BulkItem.objects.using(database.alias()).filter(bulk_operation=bulk_operation.pk)
