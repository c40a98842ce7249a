"""Test tools for authors of sagas: a strict fake provider, a fake clock, workers on demand, crash tests and proofs.

Use them in development only, because they fork and kill processes and expire leases. The pytest fixtures are in
`sagas.testing.fixtures`.
"""

from .crash_points import CrashPointCounter, CrashTest, Trial, assert_survives_crashes
from .fake_clock import FakeClock, drain
from .fake_provider import FakeProvider, InvalidCall
from .invariants import violations_of
from .ledger import LedgerEntry
from .proof import ScenarioResult, prove
from .providers import Call, CallListener, Effect, Providers

__all__ = [
    "Call",
    "CallListener",
    "CrashPointCounter",
    "CrashTest",
    "Effect",
    "FakeClock",
    "FakeProvider",
    "InvalidCall",
    "LedgerEntry",
    "Providers",
    "ScenarioResult",
    "Trial",
    "assert_survives_crashes",
    "drain",
    "prove",
    "violations_of",
]
