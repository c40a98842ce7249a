"""What providers answer, the same for every port."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """It took effect; `replayed` when an earlier call under the same key had done it already."""

    value: T
    replayed: bool = False


@dataclass(frozen=True)
class Pending:
    """The provider has accepted it and not finished; ask again in `poll_after` seconds."""

    external_id: str
    poll_after: float


@dataclass(frozen=True)
class Undone:
    """Nothing of the action remains.

    `already`: an earlier call had undone it. `nothing_to_undo`: the action had never taken effect.
    `external_id` is the provider's id of what was undone, empty when the provider never heard of it.
    """

    already: bool = False
    nothing_to_undo: bool = False
    external_id: str = ""
