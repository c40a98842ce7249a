"""The registry of the sagas of this process, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .exceptions import DefinitionError, UnknownSaga
from .saga import Saga

_sagas: dict[str, Saga] = {}


def register(saga: Saga) -> Saga:
    """Register a saga under its name, and return it.

    Workers, the API and the commands find sagas by name. Register them in the module `sagas` of an installed app, which
    Django imports when it starts. Raise DefinitionError if another saga has the name.
    """
    if not isinstance(saga, Saga):
        raise DefinitionError(f"register() requires a Saga, not a {type(saga).__name__}")
    if _sagas.setdefault(saga.name, saga) is not saga:
        raise DefinitionError(f"saga {saga.name!r} is already registered; names must be unique")
    return saga


def unregister(name: str) -> None:
    """Remove a saga from the registry. Its unfinished executions wait until it is registered again."""
    _sagas.pop(name, None)


def get_saga(name: str) -> Saga:
    """Return the registered saga of that name.

    Raise UnknownSaga, which names the registered sagas, if there is none.
    """
    try:
        return _sagas[name]
    except KeyError:
        raise UnknownSaga(name, _sagas) from None


def all_sagas() -> Mapping[str, Saga]:
    """Return a read-only view of all registered sagas, by name."""
    return MappingProxyType(_sagas)
