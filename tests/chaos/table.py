"""Format the soak's result as a table."""

from __future__ import annotations

from collections.abc import Iterator

from .recoveries import percentile
from .soak import Result

LINE = "{:<44} {:>9} {:>9} {:>9}"
MOST = 50


def table(result: Result) -> str:
    """Return the report as lines of text."""
    return "\n".join(line.rstrip() for line in _lines(result))


def _lines(result: Result) -> Iterator[str]:
    options = result.options
    yield f"{options.sagas} sagas, seed {options.seed}, {options.faults:.0%} of the provider's calls faulty"
    yield _head("sagas by final state", "count")
    yield from (_line(state, count) for state, count in sorted(result.states.items()))
    yield _head("faults", "planned", "done")
    yield from (_line(kind, ordered, done) for kind, (ordered, done) in result.faults.items())
    yield _line("supervisors restarted", "", result.restarts)
    yield _head("seconds to recovery", "p50", "p99", "max")
    for whose, times in result.recovered.items():
        figures = (percentile(times, 0.5), percentile(times, 0.99), max(times, default=0.0))
        yield _line(f"{len(times)} whose worker was {whose}", *(f"{seconds:.2f}" for seconds in figures))
    yield _line("from the last fault to the end of all sagas", f"{result.settled_in:.2f}")
    yield _head("what needs attention")
    yield from (_line(f"compensated, all attempts used: {step}", count) for step, count in result.attention.items())
    yield _line("letters after the residual window", result.late_letters)
    yield _line("sagas that need an operator", len(result.needs_operator))
    yield from (f"  {what}" for what in result.needs_operator[:MOST])
    yield _line("violations", len(result.violations))
    yield from (f"  {what}" for what in result.violations[:MOST])
    yield _line("total seconds", f"{result.seconds:.0f}")


def _head(*cells: str) -> str:
    return f"\n{_line(*cells)}\n{'-' * 74}"


def _line(*cells: object) -> str:
    return LINE.format(*cells, *[""] * (4 - len(cells)))
