"""The base class of all sandboxes. It injects faults and calls the probes with which tests observe calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

from django.db import InterfaceError, OperationalError, connections

from integrations import ledger
from integrations.exceptions import Kind, ProviderError
from integrations.faults import Call, after_effect, before_effect, take_fault
from integrations.models import FaultMode

Probe = Callable[[str, str, str, str], None]

# Tests add probes to observe provider calls. Each probe is called with (moment, port, operation, key). The moment is
# "before" (just before the effect) or "after" (just after the commit of the effect).
probes: list[Probe] = []


def refused() -> ProviderError:
    """Return the error for a provider that refuses a request and gives no reason."""
    return ProviderError(Kind.REFUSED, "refused", "The provider refuses the request")


class Sandbox:
    """A provider that stores its effects in a database. A subclass sets `port` and wraps each operation in `call`."""

    port: ClassVar[str]

    @contextmanager
    def call(
        self,
        operation: str,
        *,
        key: str,
        deadline: datetime,
        request: Any,
        refused_with: Callable[[], ProviderError] = refused,
    ) -> Iterator[FaultMode | None]:
        """Wrap a provider call. The block makes the effect and commits it. Yield the mode of the fault, or None."""
        call = Call(self.port, operation, key, deadline, request, refused_with)
        with database_errors_are(Kind.UNAVAILABLE):
            fault = take_fault(call)
        before_effect(call, fault)
        for probe in tuple(probes):
            probe("before", self.port, operation, key)
        with database_errors_are(Kind.UNKNOWN):
            yield FaultMode(fault.mode) if fault else None
        for probe in tuple(probes):
            probe("after", self.port, operation, key)
        after_effect(call, fault)


@contextmanager
def database_errors_are(kind: Kind) -> Iterator[None]:
    """Convert errors of the sandbox's database to ProviderError of this kind. Close a broken connection."""
    try:
        yield
    except (InterfaceError, OperationalError) as error:
        connection = connections[ledger.alias()]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        raise ProviderError(kind, "sandbox_database", "The sandbox's database did not answer") from error
