"""Traps 11 and 25: two operators, or an operator and a worker, change one execution at the same time.

Exactly one side wins. The other side gets a refusal, and each accepted request is kept.
"""

import logging
import time
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from sagas import ActRefused, RetryLater, SagaConflict, SagaState, StepFailed, storage
from sagas.engine import runner
from sagas.engine.leased_execution import LeasedExecution
from sagas.models import SagaEvent, SagaExecution
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import Effect, violations_of
from tests.crash.racing import Race
from tests.support import Registered, Stage

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]

TOO_LATE = "it has reached its point of no return."


@pytest.fixture
def track(caplog):
    caplog.set_level(logging.CRITICAL, logger="sagas")  # thousands of sagas would fill the log
    track = Track()
    yield track
    track.registered.forget()


class Track:
    """Run one saga per round and check it at the end of the round."""

    def __init__(self):
        self.registered, self.orchestrator = Registered(), get_saga_orchestrator()

    def lay(self, *steps):
        """Define the saga of the next round. Each step is a tuple: name, what its calls do, options."""
        self.stage, self.took_effect = Stage(), Counter()
        scripted = [self.stage.step(name, *does, **options) for name, does, options in steps]
        self.saga = self.registered(*map(self.counted, scripted))

    def counted(self, step):
        """Return the step with functions that also count their effects by idempotency key."""
        functions = {"action": step.action, "compensation": step.compensation}
        return replace(step, **{name: partial(self.count, function) for name, function in functions.items()})

    def count(self, function, context):
        output = function(context)
        self.took_effect[context.idempotency_key] += 1
        return output

    def start(self, saga_id):
        return self.orchestrator.start(saga_id, "trip")

    def execute(self, saga_id):
        return self.orchestrator.execute(saga_id, "trip")

    def effects(self, execution):
        """Return the effects of this run's steps. No duplicate is removed by key: each doubled call is counted."""
        keys = {name: f"{execution.saga_id}:{execution.run}:{name}" for name in execution.plan}
        counts = {name: (self.took_effect[key], self.took_effect[f"{key}:undo"]) for name, key in keys.items()}
        return {name: Effect(done, undone, remains=done > undone) for name, (done, undone) in counts.items()}

    def ends(self, saga_id, state, *events):
        """Assert that the execution ended in `state` with these events and no violations; return the execution."""
        execution = SagaExecution.objects.get(saga_id=saga_id)
        kinds = list(execution.events.order_by("id").values_list("kind", flat=True))
        wrong = violations_of(self.saga, saga_id, self.effects(execution))
        assert (execution.state, wrong, kinds) == (state, [], list(events))
        assert (execution.leased, execution.pending_request, execution.due_at) == (False, None, None)
        return execution


def plain(name, *does, **options):
    return name, does, options


def accepted(result, *sentences):
    """Return whether the operation was accepted. A refusal must be one of these sentences."""
    if isinstance(result, ActRefused):
        assert result.sentence in sentences
        return False
    return True


def at(race, side, outcome=None):
    """Return a step function that waits for the other side and then returns or raises `outcome`."""

    def function(_):
        race.go(side)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return function


def begins(race, side, function, *arguments, **options):
    """Return a function that waits for the other side and then calls `function`."""

    def begin():
        race.go(side)
        return function(*arguments, **options)

    return begin


def asks(race, operation, saga_id, side="operator"):
    return begins(race, side, perform, operation, saga_id, reason=side)


# An operator cancels while the worker works.


def obeyed(saga_id):
    """Return the events of an accepted cancel: done at once, or requested and then obeyed by the owner."""
    requested = SagaEvent.objects.get(execution__saga_id=saga_id, kind="cancel").data.get("requested")
    return ["cancel", "cancelled"] if requested else ["cancel"]


def check_cancelled(track, saga_id, result, *sentences):
    """Check the end of the execution and return who came first: the operator's cancel or the worker."""
    if not accepted(result, *sentences):
        track.ends(saga_id, SagaState.SUCCEEDED)
        return "worker"
    execution = track.ends(saga_id, SagaState.FAILED, *obeyed(saga_id))
    assert (execution.failed_step, execution.needs_attention) == ("", False)
    return "operator"


def test_cancel_against_advance(track):
    race = Race("operator", "worker", spread=0.02)

    def play(saga_id):
        track.lay(plain("a"), plain("b", RetryLater(0.002), {}), plain("c", idempotent=False))
        track.start(saga_id)
        worker = begins(race, "worker", track.orchestrator.resume, saga_id)
        result, _ = race.between(asks(race, Operation.CANCEL, saga_id), worker)
        return check_cancelled(track, saga_id, result, "it is too late to cancel: it is “Succeeded”.")

    race.run(play)


def test_cancel_in_the_instant_of_the_last_checkpoint(track):
    race = Race("operator", "worker")

    def play(saga_id):
        track.lay(plain("a"), plain("b", at(race, "worker")))
        result, ended = race.between(asks(race, Operation.CANCEL, saga_id), partial(track.execute, saga_id))
        winner = check_cancelled(track, saga_id, result, "it is too late to cancel: it is “Succeeded”.")
        assert track.stage.told == ["a", "b", *(["b.undo", "a.undo"] if winner == "operator" else [])]
        assert ended.state is SagaExecution.objects.get(saga_id=saga_id).state
        return winner

    race.run(play)


def test_cancel_as_the_pivot_begins_after_another_step(track):
    race = Race("operator", "worker")

    def play(saga_id):
        track.lay(plain("a", at(race, "worker")), plain("b", pivot=True))
        result, _ = race.between(asks(race, Operation.CANCEL, saga_id), partial(track.execute, saga_id))
        winner = check_cancelled(track, saga_id, result, TOO_LATE, "it is too late to cancel: it is “Succeeded”.")
        assert track.stage.told == (["a", "a.undo"] if winner == "operator" else ["a", "b"])
        return winner

    race.run(play)


def test_cancel_as_a_pivot_that_is_the_first_step_begins(track):
    race = Race("operator", "worker")

    def play(saga_id):
        track.lay(plain("a", pivot=True))
        track.start(saga_id)
        worker = begins(race, "worker", track.orchestrator.resume, saga_id)
        result, _ = race.between(asks(race, Operation.CANCEL, saga_id), worker)
        winner = check_cancelled(track, saga_id, result, TOO_LATE, "it is too late to cancel: it is “Succeeded”.")
        assert track.stage.told == ([] if winner == "operator" else ["a"])
        return winner

    race.run(play)


# An operator retries or compensates against a worker or another operator.


def wrong_state(condition: str, *states: str) -> tuple[str, ...]:
    """Return the refusals of an operation that needs `condition`, one for each of these states."""
    return tuple(f"it can be {condition}, and it is “{state}”." for state in states)


NOT_FAILED = wrong_state("retried only after it failed", "In progress", "Undoing", "Pending")
NOT_FINISHED = wrong_state("undone only after it succeeded", "In progress")


def test_retry_against_advance(track):
    race = Race("operator", "worker")

    def play(saga_id):
        track.lay(plain("a"), plain("b", at(race, "worker", StepFailed("no")), {}))
        result, failed = race.between(asks(race, Operation.RETRY, saga_id), partial(track.execute, saga_id))
        assert (failed.state, failed.run) == (SagaState.FAILED, 1)
        if not accepted(result, *NOT_FAILED):
            assert track.ends(saga_id, SagaState.FAILED).run == 1
            return "operator"
        assert track.orchestrator.resume(saga_id).run == 2
        track.ends(saga_id, SagaState.SUCCEEDED, "retry")
        return "worker"

    race.run(play)


def test_retry_against_retry(track):
    race = Race("first", "second")

    def play(saga_id):
        track.lay(plain("a"), plain("b", StepFailed("no"), {}))
        track.execute(saga_id)
        results = race.between(*(asks(race, Operation.RETRY, saga_id, side) for side in race.sides))
        winners = [side for side, result in zip(race.sides, results, strict=True) if accepted(result, *NOT_FAILED)]
        assert len(winners) == 1
        assert track.orchestrator.resume(saga_id).run == 2
        execution = track.ends(saga_id, SagaState.SUCCEEDED, "retry")
        assert execution.events.get().reason == winners[0]
        return winners[0]

    race.run(play)


def test_compensate_against_success(track):
    race = Race("operator", "worker")

    def play(saga_id):
        track.lay(plain("a"), plain("b", at(race, "worker")))
        result, ended = race.between(asks(race, Operation.COMPENSATE, saga_id), partial(track.execute, saga_id))
        assert ended.state is SagaState.SUCCEEDED
        if not accepted(result, *NOT_FINISHED):
            track.ends(saga_id, SagaState.SUCCEEDED)
            return "operator"
        track.orchestrator.resume(saga_id)
        assert track.ends(saga_id, SagaState.FAILED, "compensate").compensation_performed
        return "worker"

    race.run(play)


# Two workers claim one execution, or two clients start it.


def by_id(saga_id, worker):
    return storage.claim(saga_id, worker=worker, lease=60, priority=1)


def by_rank(saga_id, worker):
    return next(iter(storage.claim_due(1, ["trip"], worker=worker, lease=60)), None)


@pytest.mark.parametrize("dies", [False, True], ids=["queued", "left by a dead owner"])
@pytest.mark.parametrize(
    "claims", [(by_id, by_id), (by_rank, by_rank), (by_id, by_rank)], ids=["ids", "ranks", "id and rank"]
)
def test_two_claims(track, claims, dies):
    race = Race("first", "second")

    def play(saga_id):
        track.lay(plain("a"))
        track.start(saga_id)
        if dies:
            assert storage.claim(saga_id, worker="the dead one", lease=0, priority=1)
        sent = time.monotonic()
        tries = [begins(race, side, claim, saga_id, side) for side, claim in zip(race.sides, claims, strict=True)]
        (claimed,) = [result for result in race.between(*tries) if result is not None]
        runner.run(LeasedExecution(claimed, track.saga, sent=sent, moment=claimed.claimed_at))
        execution = track.ends(saga_id, SagaState.SUCCEEDED, *(["lost_lease"] if dies else []))
        assert track.stage.told == ["a"]
        assert execution.worker == claimed.worker
        return claimed.worker

    race.run(play)


def test_two_starts_of_one_id_with_different_inputs(track):
    race = Race("first", "second")

    def play(saga_id):
        track.lay(plain("a"))
        starts = [begins(race, side, starts_or_conflicts, track, saga_id, side) for side in race.sides]
        results = race.between(*starts)
        (conflict,) = [result for result in results if isinstance(result, SagaConflict)]
        (started,) = [result for result in results if result is not conflict]
        assert str(conflict) == str(SagaConflict(saga_id, "trip"))
        track.orchestrator.resume(saga_id)
        execution = track.ends(saga_id, SagaState.SUCCEEDED)
        assert execution.pk == started.pk
        return execution.context["side"]

    race.run(play)


def starts_or_conflicts(track, saga_id, side):
    try:
        return track.orchestrator.start(saga_id, "trip", context={"side": side})
    except SagaConflict as conflict:
        return conflict
