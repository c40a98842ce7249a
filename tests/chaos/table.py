"""The soak's verdict for people."""

from __future__ import annotations

from collections.abc import Iterator

from .recoveries import percentile
from .soak import Verdict

LINE = "{:<44} {:>9} {:>9} {:>9}"
MOST = 50


def table(verdict: Verdict) -> str:
    """All of it, a line each."""
    return "\n".join(line.rstrip() for line in _lines(verdict))


def _lines(verdict: Verdict) -> Iterator[str]:
    options = verdict.options
    yield f"{options.sagas} sagas, seed {options.seed}, {options.faults:.0%} of the provider's calls faulty"
    yield _head("sagas by final state", "count")
    yield from (_line(state, count) for state, count in sorted(verdict.states.items()))
    yield _head("faults", "ordered", "done")
    yield from (_line(kind, ordered, done) for kind, (ordered, done) in verdict.faults.items())
    yield _line("supervisors started again", "", verdict.started_again)
    yield _head("seconds to recovery", "p50", "p99", "max")
    for whose, times in verdict.recovered.items():
        figures = (percentile(times, 0.5), percentile(times, 0.99), max(times, default=0.0))
        yield _line(f"{len(times)} whose worker was {whose}", *(f"{seconds:.2f}" for seconds in figures))
    yield _line("from the last fault to the end of all", f"{verdict.settled_in:.2f}")
    yield _head("what is left for people")
    yield from (_line(f"failed and undone, budget spent: {step}", count) for step, count in verdict.attention.items())
    yield _line("letters that came after the window", verdict.late_letters)
    yield _line("manual steps", len(verdict.by_hand))
    yield from (f"  {what}" for what in verdict.by_hand[:MOST])
    yield _line("violations", len(verdict.violations))
    yield from (f"  {what}" for what in verdict.violations[:MOST])
    yield _line("seconds in all", f"{verdict.seconds:.0f}")


def _head(*cells: str) -> str:
    return f"\n{_line(*cells)}\n{'-' * 74}"


def _line(*cells: object) -> str:
    return LINE.format(*cells, *[""] * (4 - len(cells)))
