"""The rules that the engine cannot do without, and the promises that break where one is left out."""

from .tlc import END, Question

# Five faults, and three workers to have them. The rest of the bounds is told at the top of Engine.tla.
ENGINE = Question(faults=5, reduced=True)
TO_THE_END = Question(promises=[END], workers=2, faults=1)

BREACHES = [
    # A worker that was paused, and believes its own clock that its lease runs on, writes: over another's work, over
    # an end, over a rollback.
    ("the version check", "NoStaleWrite"),
    ("the version check", "OneEnd"),
    ("the version check", "NothingIsLeftBehind"),
    # Each attempt charges the card anew.
    ("the key", "NothingHappensTwice"),
    ("the key", "SuccessIsWhole"),
    # What may have happened counts as what did not, and is not undone.
    ("doubt", "NothingIsLeftBehind"),
    # The refusal of a second attempt makes the first one forgotten.
    ("lasting doubt", "NothingIsLeftBehind"),
    # The undo finds nothing to undo, and then the request arrives.
    ("the dead key", "NothingIsLeftBehind"),
    ("the dead key", "WhatIsLeftIsReported"),
    # A lost lease is taken to mean that nothing was called.
    ("the mark", "NothingHappensTwice"),
    # A worker whose own clock is fast takes a row from an owner that has renewed it.
    ("the database's clock", "OneOwner"),
    ("the database's clock", "OwnerKeepsItsRow"),
    # An operator's request raises the version of a leased row, and its owner's success is lost.
    ("quiet requests", "OwnerKeepsItsRow"),
    # The last checkpoint settles over a cancel that was accepted.
    ("the guard of requests", "CancelIsKept"),
    # What came first is undone first.
    ("the reverse order", "UndoneInReverse"),
    # A dead owner keeps the row for good.
    ("the end of leases", END),
]


def without(rule: str, promise: str) -> Question:
    """Whether this promise holds in an engine that lacks the rule."""
    if promise == END:
        return Question(promises=[END], without=rule, workers=TO_THE_END.workers, faults=TO_THE_END.faults)
    return Question(promises=[promise], without=rule)
