"""Six ports to external providers. Each port has a sandbox. All ports share the same results and errors.

This module defines the results. `integrations.exceptions` defines the errors. `integrations.registry` returns the
provider that settings.INTEGRATIONS names for a port.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """The call took effect. `replayed` is true if an earlier call with the same key had already taken effect."""

    value: T
    replayed: bool = False


@dataclass(frozen=True)
class Pending:
    """The provider has accepted the request but has not finished it. Ask again in `poll_after` seconds."""

    external_id: str
    poll_after: float


@dataclass(frozen=True)
class Undone:
    """The action no longer has an effect.

    `already` is true if an earlier call compensated the action. `nothing_to_undo` is true if the action never took
    effect. `external_id` is the provider's id of the compensated effect, or "" if there is none.
    """

    already: bool = False
    nothing_to_undo: bool = False
    external_id: str = ""
