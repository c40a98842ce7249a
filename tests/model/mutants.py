"""The rules that the engine needs, and the promises that break without each rule."""

from .tlc import END, Question

# Five faults and three workers. Engine.tla describes the other bounds.
ENGINE = Question(faults=5, reduced=True)
TO_THE_END = Question(promises=[END], workers=2, faults=1)

BREACHES = [
    # A paused worker trusts its own clock and believes that it still has the lease. It overwrites the work of another
    # worker, an end or a rollback.
    ("the version check", "NoStaleWrite"),
    ("the version check", "OneEnd"),
    ("the version check", "NothingIsLeftBehind"),
    # Each attempt charges the card again.
    ("the key", "NothingHappensTwice"),
    ("the key", "SuccessIsWhole"),
    # A step in doubt counts as failed and is not compensated.
    ("doubt", "NothingIsLeftBehind"),
    # The refusal of a second attempt clears the doubt about the first one.
    ("lasting doubt", "NothingIsLeftBehind"),
    # The compensation finds no effect, and then the late request arrives.
    ("the dead key", "NothingIsLeftBehind"),
    ("the dead key", "WhatIsLeftIsReported"),
    # A lost lease is read as "no action was called".
    ("the mark", "NothingHappensTwice"),
    # A worker with a fast clock claims a row although its owner has renewed the lease.
    ("the database's clock", "OneOwner"),
    ("the database's clock", "OwnerKeepsItsRow"),
    # An operator's request raises the version of a leased row, and the owner loses the result of its attempt.
    ("quiet requests", "OwnerKeepsItsRow"),
    # The last checkpoint ends the execution and ignores a cancel that was accepted.
    ("the guard of requests", "CancelIsKept"),
    # The first step is compensated first.
    ("the reverse order", "UndoneInReverse"),
    # A crashed owner keeps the row forever.
    ("the end of leases", END),
]


def without(rule: str, promise: str) -> Question:
    """Return the question whether the promise holds in an engine without the rule."""
    if promise == END:
        return Question(promises=[END], without=rule, workers=TO_THE_END.workers, faults=TO_THE_END.faults)
    return Question(promises=[promise], without=rule)
