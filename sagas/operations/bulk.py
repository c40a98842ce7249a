"""One act on many executions: confirmed once, then carried out row by row, a few at a time, by the workers' beat.

Each row's act and what came of it are one commit, so a process that dies leaves a row that is done or one that waits.
Whoever has confirmed it must have the right to the act still when a row's turn comes.
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
from .base import Actor, Operation
from .bulk_preview import BulkPreview, plan
from .permissions import NEEDS

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
AT_A_TURN = 50  # then it is another batch's turn
WITHOUT_PROVIDER_CALLS = frozenset({Operation.HOLD, Operation.ACKNOWLEDGE})
BY_USERS = frozenset({"admin", "api"})  # commands and programs have all rights

Status = BulkItem.Status

_DONE = Q(status=Status.DONE)
_GOES_ON = _DONE & Q(execution__state__in=UNFINISHED)
PROGRESS = {
    "waiting": Q(status=Status.WAITING),
    "running": _GOES_ON & Q(execution__held=""),
    "succeeded": _DONE & Q(execution__state=SagaState.SUCCEEDED),
    "failed": _DONE & Q(execution__state=SagaState.FAILED),
    "needs_attention": (_GOES_ON & ~Q(execution__held=""))
    | (_DONE & Q(execution__state=SagaState.PARTIALLY_COMPENSATED)),
    "refused": Q(status=Status.REFUSED),
}


def confirm(
    token: UUID, operation: Operation, rows: Sequence[tuple[int, int]], *, reason: str, by: Actor
) -> BulkOperation:
    """The batch of this token, made unless it is there already; `rows` are primary keys, each with its version."""
    confirmed = {
        "operation": operation.value,
        "reason": clean_text(reason),
        "actor": by.user,
        "actor_name": by.display_name,
        "source": by.source,
        "language": translation.get_language() or "",
    }
    with database.one_commit():
        bulk_operation, is_new = _bulk_operations().get_or_create(token=token, defaults=confirmed)
        if is_new:
            there = set(_executions().filter(pk__in=[pk for pk, _ in rows]).values_list("pk", flat=True))
            wanted = [
                BulkItem(bulk_operation=bulk_operation, execution_id=pk, version=at) for pk, at in rows if pk in there
            ]
            BulkItem.objects.using(database.alias()).bulk_create(wanted)
    return bulk_operation


def find(token: UUID) -> BulkOperation | None:
    """The batch of this token, if it has been confirmed."""
    return _bulk_operations().filter(token=token).first()


def counts(bulk_operation: BulkOperation) -> dict[str, int]:
    """How many rows stand in which way, now."""
    found: dict[str, int] = _rows(bulk_operation).aggregate(
        **{name: Count("pk", filter=how) for name, how in PROGRESS.items()}
    )
    return found


def advance_all(**_: Any) -> bool:
    """Go on with each batch that is not finished; whether anything was done. For the signal `beat`."""
    got_on = False
    for bulk_operation in _bulk_operations().filter(finished_at=None).order_by("pk"):
        got_on = _advance_safely(bulk_operation) or got_on
    return got_on


def _advance_safely(bulk_operation: BulkOperation) -> bool:
    """The database's trouble with one batch is none of the others; what was not committed is done at the next beat."""
    try:
        return advance(bulk_operation)
    except DatabaseError as error:
        log(
            logging.WARNING,
            "bulk_operation.interrupted",
            bulk_operation=bulk_operation.pk,
            error_type=type(error).__name__,
        )
        return False


def advance(bulk_operation: BulkOperation) -> bool:
    """Carry out the rows that there is room for, AT_A_TURN at most; whether there were any. Any number may do so."""
    done = 0
    while done < AT_A_TURN and _has_room(bulk_operation) and _carry_out_next(bulk_operation):
        done += 1
    if not _rows(bulk_operation).filter(status=Status.WAITING).exists():
        _bulk_operations().filter(pk=bulk_operation.pk, finished_at=None).update(finished_at=CLOCK.now())
    return done > 0


def _has_room(bulk_operation: BulkOperation) -> bool:
    """Whether one more may be set going: each calls one provider at a time."""
    if bulk_operation.operation in WITHOUT_PROVIDER_CALLS:
        return True
    return _rows(bulk_operation).filter(PROGRESS["running"]).count() < get_settings().BULK_AT_ONCE


def _carry_out_next(bulk_operation: BulkOperation) -> bool:
    """Do one row's act and put down what came of it; False when there is none, or when somebody else is about one.

    Whoever has the batch's row locked counts and carries out; SQLite has one writer at a time anyway.
    """
    with database.one_commit():
        now = (
            _bulk_operations()
            .select_for_update(skip_locked=True)
            .filter(pk=bulk_operation.pk, finished_at=None)
            .first()
        )
        if now is None:
            return False
        waiting = _rows(bulk_operation).filter(status=Status.WAITING)
        row = waiting.select_related("execution").only("version", "execution__saga_id").order_by("pk").first()
        if row is None or not _has_room(bulk_operation):
            return False
        if waiting.filter(pk=row.pk).update(status=Status.DONE, ended_at=CLOCK.now()):
            sentence = _why_not_done(now, row)
            if sentence:
                _rows(bulk_operation).filter(pk=row.pk).update(status=Status.REFUSED, sentence=sentence)
    return True


def _why_not_done(bulk_operation: BulkOperation, row: BulkItem) -> str:
    """Do the act; "" when it is done. The sentence is in the language of who wanted it."""
    by = Actor(bulk_operation.actor, bulk_operation.actor_name, bulk_operation.source)
    saga_id = row.execution.saga_id
    with translation.override(bulk_operation.language or None):
        if refusal := _why_not_by(bulk_operation):
            return refusal
        try:
            with database.one_commit():
                perform(
                    Operation(bulk_operation.operation),
                    saga_id,
                    reason=bulk_operation.reason,
                    by=by,
                    version=row.version,
                )
        except (OperationalError, InterfaceError):
            raise  # trouble of the database, not of this row: all of it is done again
        except ActRefused as refused:
            return refused.sentence
        except SagaError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  (one row must not keep the others waiting for ever)
            log(logging.ERROR, "bulk_item.failed", saga_id=saga_id, error_type=type(error).__name__)
            return gettext("it ended in an error of the program: %(error)s.") % {"error": type(error).__name__}
    return ""


def _why_not_by(bulk_operation: BulkOperation) -> str:
    """Why who has confirmed the batch may not do so any more; "" when they may, or when it was no user."""
    user = bulk_operation.actor
    if bulk_operation.source not in BY_USERS:
        return ""
    if user is None:
        return gettext("the account of who confirmed it has been deleted since.")
    if not user.is_active:
        return gettext("the account of who confirmed it has been closed since.")
    if not user.has_perm(NEEDS[Operation(bulk_operation.operation)]):
        return gettext("who confirmed it may not do this any more.")
    return ""


def _bulk_operations() -> QuerySet[BulkOperation]:
    return BulkOperation.objects.using(database.alias())


def _rows(bulk_operation: BulkOperation) -> QuerySet[BulkItem]:
    return BulkItem.objects.using(database.alias()).filter(bulk_operation=bulk_operation.pk)


def _executions() -> QuerySet[SagaExecution]:
    return SagaExecution.objects.using(database.alias())
