"""Store the effects of the sandboxes. All functions are safe for concurrent writers.

The database router should give SandboxEffect a separate connection. Otherwise a rollback of the caller's transaction
erases effects, which cannot happen at a real provider.
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
    """Return the database alias of the sandbox."""
    return router.db_for_write(SandboxEffect)


def effects() -> QuerySet[SandboxEffect]:
    """Return all effects, on the sandbox's connection."""
    return SandboxEffect.objects.using(alias())


def atomic() -> transaction.Atomic:
    """Return a context manager for a transaction on the sandbox's connection."""
    return transaction.atomic(using=alias())


def as_json(request: Any) -> Json:
    """Convert a request (a dataclass or a mapping) to JSON, for storage and comparison."""
    plain = asdict(request) if is_dataclass(request) and not isinstance(request, type) else dict(request)
    stored: Json = json.loads(json.dumps(plain, cls=DjangoJSONEncoder))
    return stored


def short_id(key: str) -> str:
    """Derive a provider's id, made of letters and digits, from an idempotency key."""
    return uuid.uuid5(uuid.NAMESPACE_URL, key).hex


def ensure(
    port: str, operation: str, key: str, request: Any, *, state: str, external_id: str
) -> tuple[SandboxEffect, bool]:
    """Return the row of `key`, and whether this call created it. Create the row if it is missing."""
    values = _values(request, state, external_id)
    return effects().get_or_create(port=port, operation=operation, idempotency_key=key, defaults=values)


def record(
    port: str, operation: str, key: str, request: Any, *, state: str, external_id: str
) -> tuple[SandboxEffect, bool]:
    """Return the row of `key`, and whether it existed. Raise IdempotencyConflict if its request differs."""
    effect, created = ensure(port, operation, key, request, state=state, external_id=external_id)
    if not created:
        check_replay(effect, request)
    return effect, not created


def check_replay(effect: SandboxEffect, request: Any) -> None:
    """Count a repeated call for this effect. Raise IdempotencyConflict if its request differs."""
    effects().filter(pk=effect.pk).update(calls=F("calls") + 1, updated_at=timezone.now())
    if effect.request_hash != _hash_of(as_json(request)):
        raise IdempotencyConflict


def append(port: str, operation: str, key: str, request: Any, *, state: str, external_id: str) -> SandboxEffect:
    """Create a row. Ports that do not deduplicate use this, because each call is a new effect."""
    values = _values(request, state, external_id)
    return effects().create(port=port, operation=operation, idempotency_key=key, **values)


def find(port: str, operation: str, key: str, external_id: str | None = None) -> SandboxEffect | None:
    """Return the effect with this `external_id`, if given, or else the effect of this `key`; None if there is none."""
    named = {"external_id": external_id} if external_id else {"idempotency_key": key}
    return effects().filter(port=port, operation=operation, **named).first()


def move(effect: SandboxEffect, to: str, *, of: Iterable[str], response: Mapping[str, Any] | None = None) -> bool:
    """Change the state to `to` if the current state is in `of`. Return whether it changed. Always refresh `effect`."""
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
