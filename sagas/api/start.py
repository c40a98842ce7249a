"""Start a saga over HTTP. A repeated request returns the first execution."""

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
from sagas.engine.new_execution import input_text
from sagas.models import IdempotencyKey, SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.storage import database

from . import json_schema
from .access import Reader
from .problems import KeyReused
from .serializers import PRIORITIES

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

Started = tuple[SagaExecution, bool]


def start(reader: Reader, request: dict[str, Any]) -> Started:
    """Start the saga. Return the execution and whether this call created it. `request` is a validated StartSerializer.

    Raise the exceptions of `SagaOrchestrator.start`. Also raise SagaConflict if the id belongs to another client's
    execution, even if the input is the same.
    """
    saga, context = get_saga(request["saga"]), request["context"]
    if saga.schema and (errors := json_schema.schema_errors(saga.schema, context)):
        input_text(saga, context)  # raises InvalidInput with better messages for most errors
        raise InvalidInput(errors)
    saga_id = request.get("saga_id") or str(uuid.uuid4())
    execution = get_saga_orchestrator().start(
        saga_id,
        saga.name,
        context=context,
        priority=PRIORITIES.get(request.get("priority", "")),
        owner=reader.user,
    )
    if not execution.just_started and execution.owner_id != reader.user.pk and not reader.sees_all:
        raise SagaConflict(execution.saga_id, execution.saga_name)
    return execution, execution.just_started


def start_once(
    client: Any,
    key: str | None,
    request: Any,
    begin: Callable[[], Started],
    find: Callable[[str], SagaExecution],
) -> Started:
    """Call `begin`, or `find` the execution that an earlier request with the same Idempotency-Key has started.

    Raise KeyReused if `request` differs from the first request with this key. A failed request does not use up the key.
    """
    if key is None:
        return begin()
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": "Use 1 to 255 visible ASCII characters without spaces."})
    if len(key) > 2 and key[0] == key[-1] == '"':  # a quoted string (RFC 8941)
        key = key[1:-1]
    fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    with database.one_commit():
        stored, created = IdempotencyKey.objects.using(database.alias()).get_or_create(
            client_id=client.pk, key=key, defaults={"fingerprint": fingerprint}
        )
        if created:
            execution, started = begin()
            IdempotencyKey.objects.using(database.alias()).filter(pk=stored.pk).update(saga_id=execution.saga_id)
            return execution, started
    if stored.fingerprint != fingerprint:
        raise KeyReused
    return find(stored.saga_id), False
