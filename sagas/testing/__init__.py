"""For the tests of those who write sagas: a world that objects, a clock, workers on demand, crash points, proofs.

For development only: parts of it fork, kill what they forked, and make leases run out. The fixtures are in
`sagas.testing.fixtures`.
"""

from .calls import Call, Tell
from .clocks import FakeClock, drain
from .crash_points import Boundaries, CrashPoints, Outside, Trial, assert_survives_crashes
from .invariants import Effect, violations_of
from .ledger import Happened
from .proof import Shown, prove
from .world import World, WorldObjects

__all__ = [
    "Boundaries",
    "Call",
    "CrashPoints",
    "Effect",
    "FakeClock",
    "Happened",
    "Outside",
    "Shown",
    "Tell",
    "Trial",
    "World",
    "WorldObjects",
    "assert_survives_crashes",
    "drain",
    "prove",
    "violations_of",
]
