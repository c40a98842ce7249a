"""Make sandbox calls fail as the rows of SandboxFault say."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from django.db.models import F

from integrations import ledger
from integrations.exceptions import Kind, ProviderError
from integrations.models import FaultMode, SandboxFault

SYNONYMS = {("payments", "confirm"): "charge"}
POLL_SECONDS = 0.02
PAST_THE_DEADLINE = timedelta(milliseconds=250)
THROTTLED_FOR = 1.0
EXIT_CODE = 137


@dataclass(frozen=True)
class Call:
    """One call to a provider. `refused_with` makes the error that a `refuse` fault raises."""

    port: str
    operation: str
    key: str
    deadline: datetime
    request: Any
    refused_with: Callable[[], ProviderError]

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations under which a fault matches this call."""
        return ("", self.operation, SYNONYMS.get((self.port, self.operation), self.operation))

    @property
    def text(self) -> str:
        """The text that a fault's `match` is searched in."""
        return f"{self.key}\n{json.dumps(ledger.as_json(self.request), ensure_ascii=False)}"


def take_fault(call: Call) -> SandboxFault | None:
    """Take one use of the oldest matching fault. A conditional update gives the last use to one process only."""
    faults = SandboxFault.objects.using(ledger.alias())
    matching = faults.filter(port__in=("", call.port), operation__in=call.operations, remaining__gt=0)
    for fault in matching.order_by("pk"):
        if fault.match in call.text and _count_down(fault):
            return fault
    return None


def before_effect(call: Call, fault: SandboxFault | None) -> None:
    """Wait for the fault's latency, and fail if its mode prevents the effect."""
    if datetime.now(UTC) >= call.deadline:
        raise ProviderError(Kind.UNAVAILABLE, "no_time_left", "The deadline passed before anything was sent")
    if fault is None:
        return
    if fault.mode == FaultMode.THROTTLE:
        raise _too_many(fault)
    wait(fault.latency_ms / 1000, call.deadline)
    fail = BEFORE.get(fault.mode)
    if fail:
        fail(call)


def after_effect(call: Call, fault: SandboxFault | None) -> None:
    """Fail if the fault's mode loses the reply of a committed effect."""
    fail = AFTER.get(fault.mode) if fault else None
    if fail:
        fail(call)


def wait(seconds: float, deadline: datetime) -> None:
    """Wait, and raise at the deadline. Short sleeps let an asynchronous StepTimeout reach this thread."""
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    while datetime.now(UTC) < end:
        if datetime.now(UTC) >= deadline:
            raise _no_answer()
        time.sleep(POLL_SECONDS)


def _count_down(fault: SandboxFault) -> bool:
    row = SandboxFault.objects.using(ledger.alias()).filter(pk=fault.pk, remaining__gt=0)
    return bool(row.update(remaining=F("remaining") - 1))


def _too_many(fault: SandboxFault) -> ProviderError:
    """Return the error of a throttled call. It is raised at once; the fault's latency is the `retry_after`."""
    seconds = fault.latency_ms / 1000 or THROTTLED_FOR
    return ProviderError(Kind.THROTTLED, "rate_limit", "The provider asks for fewer requests", retry_after=seconds)


def _fail(_: Call) -> NoReturn:
    raise ProviderError(Kind.UNAVAILABLE, "unavailable", "The provider cannot be reached")


def _refuse(call: Call) -> NoReturn:
    raise call.refused_with()


def _kill_process(_: Call) -> NoReturn:
    os._exit(EXIT_CODE)


def _lose_reply(_: Call) -> NoReturn:
    raise ProviderError(Kind.UNKNOWN, "reply_lost", "The connection broke before the provider's answer came")


def _answer_too_late(call: Call) -> NoReturn:
    late = call.deadline + PAST_THE_DEADLINE
    wait((late - datetime.now(UTC)).total_seconds(), late + PAST_THE_DEADLINE)
    raise _no_answer()


def _no_answer() -> ProviderError:
    return ProviderError(Kind.UNKNOWN, "timeout", "The provider did not answer in time")


BEFORE: dict[str, Callable[[Call], NoReturn]] = {
    FaultMode.FAIL_BEFORE: _fail,
    FaultMode.REFUSE: _refuse,
    FaultMode.KILL_PROCESS_BEFORE: _kill_process,
}
AFTER: dict[str, Callable[[Call], NoReturn]] = {
    FaultMode.EFFECT_THEN_LOSE_REPLY: _lose_reply,
    FaultMode.TIMEOUT: _answer_too_late,
    FaultMode.KILL_PROCESS_AFTER: _kill_process,
}
