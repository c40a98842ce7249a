"""Proof that a saga survives: crash points, and the invariants that must hold after each of them.

For development only: it forks, kills what it forked, and makes leases run out.
"""

from .crash_points import Boundaries, CrashPoints, Trial, World, assert_survives_crashes
from .invariants import Effect, violations_of

__all__ = ["Boundaries", "CrashPoints", "Effect", "Trial", "World", "assert_survives_crashes", "violations_of"]
