"""Every saga that this process knows, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .exceptions import DefinitionError, UnknownSaga
from .saga import Saga

_sagas: dict[str, Saga] = {}


def register(saga: Saga) -> Saga:
    """Make a saga known by its name, and return it; another saga of the same name is an error."""
    if not isinstance(saga, Saga):
        raise DefinitionError(f"register() takes a Saga, not a {type(saga).__name__}")
    if _sagas.setdefault(saga.name, saga) is not saga:
        raise DefinitionError(f"saga {saga.name!r} is registered already; names must be unique")
    return saga


def unregister(name: str) -> None:
    """Forget a saga; executions of it that are in flight stay where they are until it is registered again."""
    _sagas.pop(name, None)


def get_saga(name: str) -> Saga:
    """The registered saga of that name; raises UnknownSaga."""
    try:
        return _sagas[name]
    except KeyError:
        raise UnknownSaga(name, _sagas) from None


def all_sagas() -> Mapping[str, Saga]:
    """All registered sagas by name, read-only."""
    return MappingProxyType(_sagas)
