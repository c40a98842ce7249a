"""Make sandbox calls fail. The rows of SandboxFault say which calls fail and how."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

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
    """One call to a sandbox. `refused_with` creates the error for a `refuse` fault."""

    port: str
    operation: str
    key: str
    deadline: datetime
    request: Any
    refused_with: Callable[[], ProviderError]

    @property
    def text(self) -> str:
        """The text in which a fault's `match` must occur."""
        return f"{self.key}\n{json.dumps(ledger.as_json(self.request), ensure_ascii=False)}"


def take_fault(call: Call) -> SandboxFault | None:
    """Use the oldest matching fault once and return it, or return None.

    The update is conditional, because only one process may take the last use.
    """
    faults = SandboxFault.objects.using(ledger.alias())
    operations = ("", call.operation, SYNONYMS.get((call.port, call.operation), call.operation))
    matching = faults.filter(port__in=("", call.port), operation__in=operations, remaining__gt=0)
    for fault in matching.order_by("pk"):
        if fault.match not in call.text:
            continue
        if faults.filter(pk=fault.pk, remaining__gt=0).update(remaining=F("remaining") - 1):
            return fault
    return None


def before_effect(call: Call, fault: SandboxFault | None) -> None:
    """Wait for the fault's latency. Then fail if the fault's mode prevents the effect."""
    if datetime.now(UTC) >= call.deadline:
        raise ProviderError(Kind.UNAVAILABLE, "no_time_left", "The deadline passed before anything was sent")
    if fault is None:
        return
    if fault.mode == FaultMode.THROTTLE:
        # A throttled call does not wait. The fault's latency is the `retry_after` of the error.
        seconds = fault.latency_ms / 1000 or THROTTLED_FOR
        raise ProviderError(Kind.THROTTLED, "rate_limit", "The provider asks for fewer requests", retry_after=seconds)
    wait(fault.latency_ms / 1000, call.deadline)
    match fault.mode:
        case FaultMode.FAIL_BEFORE:
            raise ProviderError(Kind.UNAVAILABLE, "unavailable", "The provider cannot be reached")
        case FaultMode.REFUSE:
            raise call.refused_with()
        case FaultMode.KILL_PROCESS_BEFORE:
            os._exit(EXIT_CODE)


def after_effect(call: Call, fault: SandboxFault | None) -> None:
    """Fail after the effect was committed, if the fault's mode says so."""
    match fault.mode if fault else None:
        case FaultMode.EFFECT_THEN_LOSE_REPLY:
            raise ProviderError(Kind.UNKNOWN, "reply_lost", "The connection broke before the provider's answer came")
        case FaultMode.TIMEOUT:
            late = call.deadline + PAST_THE_DEADLINE
            wait((late - datetime.now(UTC)).total_seconds(), late + PAST_THE_DEADLINE)
            raise _no_answer()
        case FaultMode.KILL_PROCESS_AFTER:
            os._exit(EXIT_CODE)


def wait(seconds: float, deadline: datetime) -> None:
    """Wait for `seconds`. Raise ProviderError at the deadline.

    Sleep in short intervals, because an asynchronous StepTimeout cannot interrupt a sleep.
    """
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    while datetime.now(UTC) < end:
        if datetime.now(UTC) >= deadline:
            raise _no_answer()
        time.sleep(POLL_SECONDS)


def _no_answer() -> ProviderError:
    return ProviderError(Kind.UNKNOWN, "timeout", "The provider did not answer in time")
