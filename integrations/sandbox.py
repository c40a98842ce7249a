"""What the sandboxes of all ports share: faults, and the moments at which tests may look on."""

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

# Here tests observe provider calls. Each is called with (moment, port, operation, key), where the moment is
# "before", right before the effect, and "after", right after the effect's commit.
probes: list[Probe] = []


def refused() -> ProviderError:
    """The refusal of a provider that gives no reason."""
    return ProviderError(Kind.REFUSED, "refused", "The provider refuses the request")


class Sandbox:
    """A provider that lives in our database; a subclass names its port and wraps each call in `call`."""

    port: ClassVar[str]

    @contextmanager
    def call(
        self,
        operation: str,
        *,
        key: str,
        deadline: datetime,
        request: Any,
        refusal: Callable[[], ProviderError] = refused,
    ) -> Iterator[FaultMode | None]:
        """One call to the provider: the block has the effect and commits it; gives the fault's mode."""
        call = Call(self.port, operation, key, deadline, request, refusal)
        with database_errors_are(Kind.UNAVAILABLE):
            fault = take_fault(call)
        before_effect(call, fault)
        _notify_probes("before", call)
        with database_errors_are(Kind.UNKNOWN):
            yield FaultMode(fault.mode) if fault else None
        _notify_probes("after", call)
        after_effect(call, fault)


@contextmanager
def database_errors_are(kind: Kind) -> Iterator[None]:
    """Tell trouble with the sandbox's own database as a provider's trouble, and drop a broken connection."""
    try:
        yield
    except (InterfaceError, OperationalError) as error:
        connection = connections[ledger.alias()]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        raise ProviderError(kind, "sandbox_database", "The sandbox's database did not answer") from error


def _notify_probes(moment: str, call: Call) -> None:
    for probe in tuple(probes):
        probe(moment, call.port, call.operation, call.key)
