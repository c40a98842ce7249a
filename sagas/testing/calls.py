"""What a world tells of each call that its providers get."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Call(NamedTuple):
    """A call to a provider: the moment "before" its effect or "after" it, the operation, and the key it came with."""

    moment: str
    operation: str
    key: str

    def __str__(self) -> str:
        return f"{self.moment} {self.operation} {self.key}"


Tell = Callable[[Call], None]
