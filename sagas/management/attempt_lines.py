"""Describe each attempt in one line, for the terminal."""

from __future__ import annotations

from sagas.definition.saga import Saga
from sagas.definition.states import Direction, Ending, Outcome
from sagas.models import SagaExecution, StepRun
from sagas.presentation.overview import error_text
from sagas.presentation.redactor import Redactor

LONGEST_MESSAGE = 300

LINES: dict[tuple[Direction, Outcome], str] = {
    (Direction.ACTION, Outcome.SUCCEEDED): "✓ {place} {step}",
    (Direction.ACTION, Outcome.FAILED): "✗ {place} {step}: {error}{next}",
    (Direction.ACTION, Outcome.UNCERTAIN): "? in doubt {place} {step}: {error}{next}",
    (Direction.ACTION, Outcome.PENDING): "… {place} {step}: accepted, not finished{next}",
    (Direction.COMPENSATION, Outcome.SUCCEEDED): "↶ undo {step}",
    (Direction.COMPENSATION, Outcome.FAILED): "✗ undo {step}: {error}{next}",
    (Direction.COMPENSATION, Outcome.UNCERTAIN): "? in doubt undo {step}: {error}{next}",
    (Direction.COMPENSATION, Outcome.PENDING): "… undo {step}: accepted, not finished{next}",
    (Direction.VERIFY, Outcome.SUCCEEDED): "✓ {place} {step}: the provider says that it happened",
    (Direction.VERIFY, Outcome.FAILED): "✗ {place} {step}: the provider says that it did not happen",
    (Direction.VERIFY, Outcome.UNCERTAIN): "? in doubt {place} {step}, the provider was asked: {error}{next}",
    (Direction.RESOLVED, Outcome.SUCCEEDED): "✓ {place} {step}: resolved by hand as {resolution}",
    (Direction.RESOLVED, Outcome.FAILED): "✓ {place} {step}: resolved by hand as {resolution}",
}
ENDINGS = {
    Ending.NONE: "",
    Ending.REFUSED: "",
    Ending.SPENT: " (no retry is left)",
    Ending.IMPATIENT: " (it was waited for long enough)",
    Ending.POISON: " (it keeps crashing its worker)",
}


def line_of(run: StepRun, execution: SagaExecution, saga: Saga | None, redactor: Redactor) -> str:
    """Return one line with the result of the attempt, why the step was skipped, and when the next attempt starts."""
    template, plan = LINES[Direction(run.direction), Outcome(run.outcome)], execution.plan
    line = template.format(
        place=f"{plan.index(run.step) + 1 if run.step in plan else '-'}/{len(plan)}",
        step=run.step,
        error=error_of(run),
        next=_next(run, saga),
        resolution=run.resolution.replace("_", " "),
    )
    reason = skipped(run, redactor)
    return f"{line}: skipped, {one_line(reason)}" if reason else line


def skipped(run: StepRun, redactor: Redactor) -> str:
    """Return why the step was skipped, or ""."""
    reason = (run.output or {}).get("skipped")
    return redactor(str(reason)) if reason else ""


def error_of(run: StepRun) -> str:
    """Return the attempt's error on one line."""
    return error_text(run.error_type, one_line(run.error_message))


def one_line(text: str) -> str:
    """Put a text on one line, replace its control characters and shorten it."""
    words = " ".join(text.split())
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)
    return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[:LONGEST_MESSAGE]}…"


def _next(run: StepRun, saga: Saga | None) -> str:
    if run.retry_at:
        seconds = max(0.0, (run.retry_at - run.finished_at).total_seconds())
        return f" (attempt {run.attempt + 1} in {seconds:.1f} s)"
    step = saga.step(run.step) if saga else None
    final = run.ending and run.direction == Direction.ACTION
    optional = " (optional, so the saga goes on)" if final and step and step.optional else ""
    return ENDINGS[Ending(run.ending)] + optional
