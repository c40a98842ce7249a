"""The rows of the sandbox's world, safe against any number of processes that write them at once.

They are written where the router sends SandboxEffect, which should be a connection of its own: what a
provider did is not undone by a rollback of the caller's transaction.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import router, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from integrations.exceptions import IdempotencyConflict
from integrations.models import SandboxEffect

Json = dict[str, Any]


def alias() -> str:
    """The database alias of the sandbox."""
    return router.db_for_write(SandboxEffect)


def effects() -> QuerySet[SandboxEffect]:
    """All effects, on the sandbox's connection."""
    return SandboxEffect.objects.using(alias())


def atomic() -> transaction.Atomic:
    """Commit the writes of the block as one."""
    return transaction.atomic(using=alias())


def as_json(request: Any) -> Json:
    """A request dataclass or mapping as it is stored and compared."""
    plain = asdict(request) if is_dataclass(request) and not isinstance(request, type) else dict(request)
    stored: Json = json.loads(json.dumps(plain, cls=DjangoJSONEncoder))
    return stored


def short_id(key: str) -> str:
    """Letters and digits that follow from an idempotency key, for the ids that a provider gives out."""
    return uuid.uuid5(uuid.NAMESPACE_URL, key).hex


def ensure(
    port: str, operation: str, key: str, request: Any, *, state: str, external_id: str
) -> tuple[SandboxEffect, bool]:
    """The one row of `key`, and whether this call made it."""
    values = _values(request, state, external_id)
    return effects().get_or_create(port=port, operation=operation, idempotency_key=key, defaults=values)


def record(
    port: str, operation: str, key: str, request: Any, *, state: str, external_id: str
) -> tuple[SandboxEffect, bool]:
    """The one row of `key`, and whether it was there before; IdempotencyConflict for another request."""
    effect, created = ensure(port, operation, key, request, state=state, external_id=external_id)
    if not created:
        check_replay(effect, request)
    return effect, not created


def check_replay(effect: SandboxEffect, request: Any) -> None:
    """Count one more call under the effect's key; IdempotencyConflict if it asks for something else."""
    effects().filter(pk=effect.pk).update(calls=F("calls") + 1, updated_at=timezone.now())
    if effect.request_hash != _hash_of(as_json(request)):
        raise IdempotencyConflict


def append(port: str, operation: str, key: str, request: Any, *, state: str, external_id: str) -> SandboxEffect:
    """One more row, for ports where every call that arrives is an effect of its own."""
    values = _values(request, state, external_id)
    return effects().create(port=port, operation=operation, idempotency_key=key, **values)


def find(port: str, operation: str, key: str, external_id: str | None = None) -> SandboxEffect | None:
    """The effect with that external id or, without one, the effect of that key."""
    named = {"external_id": external_id} if external_id else {"idempotency_key": key}
    return effects().filter(port=port, operation=operation, **named).first()


def move(effect: SandboxEffect, to: str, *, of: Iterable[str], response: Mapping[str, Any] | None = None) -> bool:
    """Bring the effect from one of the states `of` to `to`; False if it is in none. Its values are fresh."""
    changes: Json = {"state": to, "updated_at": timezone.now()}
    if response is not None:
        changes["response"] = as_json(response)
    moved = effects().filter(pk=effect.pk, state__in=list(of)).update(**changes)
    effect.refresh_from_db(using=alias())
    return bool(moved)


def _values(request: Any, state: str, external_id: str) -> Json:
    stored = as_json(request)
    return {
        "request_hash": _hash_of(stored),
        "request": stored,
        "state": state,
        "external_id": external_id,
    }


def _hash_of(stored: Json) -> str:
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
