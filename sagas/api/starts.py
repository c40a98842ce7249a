"""Starting a saga over HTTP: once, however often the request arrives."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from rest_framework.exceptions import ValidationError

from sagas.definition.exceptions import InvalidInput, SagaConflict
from sagas.definition.registry import get_saga
from sagas.definition.saga import Saga
from sagas.engine.new_execution import input_text
from sagas.models import IdempotencyKey, SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.storage import database

from . import contracts
from .access import Reader
from .problems import KeyReused
from .serializers import PRIORITIES

KEY = re.compile(r"[\x21-\x7e]{1,255}")

Started = tuple[SagaExecution, bool]


def start(reader: Reader, wanted: dict[str, Any]) -> Started:
    """The execution of a validated Start, and whether this call made it. Raises as the orchestrator does.

    An id that names somebody else's execution is a SagaConflict, whatever the input.
    """
    _check_schema(get_saga(wanted["saga"]), wanted["context"])
    saga_id = wanted.get("saga_id") or str(uuid.uuid4())
    execution = get_saga_orchestrator().start(
        saga_id,
        wanted["saga"],
        context=wanted["context"],
        priority=PRIORITIES.get(wanted.get("priority", "")),
        owner=reader.user,
    )
    if not execution.just_started and execution.owner_id != reader.user.pk and not reader.sees_all:
        raise SagaConflict(execution.saga_id, execution.saga_name)
    return execution, execution.just_started


def once(
    client: Any,
    key: str | None,
    request: Any,
    begin: Callable[[], Started],
    find: Callable[[str], SagaExecution],
) -> Started:
    """Begin what the client asks for under this key, or find what the key has begun before.

    `request` is what the same key must repeat: another one raises KeyReused. What fails uses no key up.
    """
    if key is None:
        return begin()
    fingerprint = _fingerprint(request)
    with database.one_commit():
        kept, fresh = IdempotencyKey.objects.using(database.alias()).get_or_create(
            client_id=client.pk, key=_checked(key), defaults={"fingerprint": fingerprint}
        )
        if fresh:
            execution, begun = begin()
            IdempotencyKey.objects.using(database.alias()).filter(pk=kept.pk).update(saga_id=execution.saga_id)
            return execution, begun
    if kept.fingerprint != fingerprint:
        raise KeyReused
    return find(kept.saga_id), False


def _check_schema(saga: Saga, context: dict[str, Any]) -> None:
    """InvalidInput where the input is not as the saga's published schema says, though it could be read."""
    found = contracts.faults(saga.schema, context) if saga.schema else {}
    if found:
        input_text(saga, context)  # refuses most of it in better words
        raise InvalidInput(found)


def _checked(key: str) -> str:
    """The key without the quotes that RFC 8941 gives a string."""
    if not KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": "Use 1 to 255 visible ASCII characters without spaces."})
    quoted = len(key) > 2 and key[0] == key[-1] == '"'
    return key[1:-1] if quoted else key


def _fingerprint(request: Any) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
