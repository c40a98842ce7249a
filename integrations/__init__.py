"""Six ports to external providers, each with a sandbox, with one family of results and errors.

The results are below, the errors in `integrations.exceptions`. `integrations.registry` returns the provider that
settings.INTEGRATIONS names for a port.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """The call took effect. `replayed`: an earlier call under the same key had already done it."""

    value: T
    replayed: bool = False


@dataclass(frozen=True)
class Pending:
    """The provider has accepted the request and not finished it. Ask again in `poll_after` seconds."""

    external_id: str
    poll_after: float


@dataclass(frozen=True)
class Undone:
    """The action has no effect any more.

    `already`: an earlier call had compensated it. `nothing_to_undo`: the action had never taken effect.
    `external_id`: the provider's id of the compensated effect, empty if the provider has none.
    """

    already: bool = False
    nothing_to_undo: bool = False
    external_id: str = ""
