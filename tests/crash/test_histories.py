"""The execution's row follows from its history alone, whatever operators do."""

import pytest

from sagas import SagaState, StepFailed
from sagas.definition.states import Outcome
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import Effect, violations_of
from tests.support import lost
from tests.support.tampering import unguarded

pytestmark = pytest.mark.django_db

NO = StepFailed("no")


@pytest.fixture
def does():
    return get_saga_orchestrator()


def stands(saga, state, **columns):
    """Assert the state and the columns of execution `s1`, and that its row agrees with its history."""
    execution = get_saga_orchestrator().get_status("s1")
    assert violations_of(saga, "s1") == []
    assert execution.state is state
    assert {name: getattr(execution, name) for name in columns} == columns


def test_an_undo_tried_again(registered, stage, does):
    saga = registered(stage.step("a", {"x": 1}, undo=[NO, {}]), stage.step("b", NO))
    does.execute("s1", "trip")
    stands(saga, SagaState.PARTIALLY_COMPENSATED, failed_step="b", compensation_performed=False)

    does.retry_failed("s1")
    stands(saga, SagaState.FAILED, failed_step="b", compensation_performed=True, context={"x": 1})


def test_an_undo_resolved_by_hand(registered, stage, does):
    saga = registered(stage.step("a", undo=[NO]), stage.step("b", undo=[NO]), stage.step("c", NO))
    does.execute("s1", "trip")

    does.resolve_step("s1", "b", "undone", evidence="seen")
    stands(saga, SagaState.PARTIALLY_COMPENSATED, steps_completed=["a", "b"])
    does.resolve_step("s1", "a", "done", evidence="it may stay")
    stands(saga, SagaState.FAILED, steps_completed=["a", "b"])


def test_a_step_after_the_pivot_released_and_resolved(registered, stage, does):
    saga = registered(
        stage.step("a", undo=None, pivot=True), stage.step("b", NO, undo=None), stage.step("c", undo=None)
    )
    does.execute("s1", "trip")
    stands(saga, SagaState.IN_PROGRESS, steps_completed=["a"])

    does.release("s1")
    stands(saga, SagaState.IN_PROGRESS, held="")
    does.resume("s1")
    does.resolve_step("s1", "b", "done", {"by": "hand"}, evidence="seen")
    does.resume("s1")
    stands(saga, SagaState.SUCCEEDED, steps_completed=["a", "b", "c"], context={"by": "hand"})


class Follower:
    """An `on_change` callback that raises an error while the test wants it to."""

    def __init__(self):
        self.raises = True

    def __call__(self, execution, old, new):
        if self.raises:
            raise ValueError("not now")


@pytest.mark.parametrize(
    ("last", "meanwhile", "end"),
    [({}, SagaState.IN_PROGRESS, SagaState.SUCCEEDED), (NO, SagaState.COMPENSATING, SagaState.FAILED)],
)
def test_an_end_that_could_not_be_told(registered, stage, does, last, meanwhile, end):
    follower = Follower()
    saga = registered(stage.step("a"), stage.step("b", last), on_change=follower)
    does.execute("s1", "trip")
    stands(saga, meanwhile)

    follower.raises = False
    does.release("s1")
    does.resume("s1")
    stands(saga, end, held="")


def test_a_failure_with_nothing_to_undo_that_could_not_be_told(registered, stage, does):
    follower = Follower()
    saga = registered(stage.step("a", NO), on_change=follower)
    does.execute("s1", "trip")
    stands(saga, SagaState.COMPENSATING, failed_step="a")

    follower.raises = False
    does.release("s1")
    does.resume("s1")
    stands(saga, SagaState.FAILED, failed_step="a")


def test_input_corrected_while_held(registered, stage, does):
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", undo=None))
    does.execute("s1", "trip", context={"city": "Rio", "old": 1}, max_seconds=0)
    does.hold("s1", reason="wrong city")

    does.correct_input("s1", {"city": "Recife"})
    stands(saga, SagaState.IN_PROGRESS, input={"city": "Recife"}, context={"city": "Recife", "x": 1})
    does.release("s1")
    does.resume("s1")
    stands(saga, SagaState.SUCCEEDED, context={"city": "Recife", "x": 1})


def test_input_corrected_after_the_failure(registered, stage, does):
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", NO))
    does.execute("s1", "trip", context={"city": "Rio", "old": 1})
    stands(saga, SagaState.FAILED, context={"city": "Rio", "old": 1, "x": 1})

    does.correct_input("s1", {"city": "Recife"})
    stands(saga, SagaState.FAILED, input={"city": "Recife"}, context={"city": "Rio", "old": 1, "x": 1})
    does.retry_failed("s1")
    stands(saga, SagaState.FAILED, run=2, context={"city": "Recife", "x": 1})


def test_a_cancelled_queue(registered, stage, does):
    saga = registered(stage.step("a"))
    does.start("s1", "trip")
    does.cancel("s1")

    stands(saga, SagaState.FAILED, failed_step="", steps_completed=[])


def test_a_provider_asked_after_the_end(registered, stage, does):
    step = stage.step(
        "a", lost(), undo=None, idempotent=False, verify=[lost(), lost(), {"found": 1}], timeout=0.1, retry_count=1
    )
    saga = registered(stage.step("z"), step)
    does.execute("s1", "trip")
    stands(saga, SagaState.FAILED, failed_step="a", steps_completed=["z"])

    does.verify("s1")
    stands(saga, SagaState.FAILED, failed_step="a", steps_completed=["z", "a"])


def test_a_finished_saga_undone_and_run_again(registered, stage, does):
    saga = registered(stage.step("a", {"x": 1}), stage.step("b"))
    does.execute("s1", "trip")

    does.compensate("s1")
    stands(saga, SagaState.FAILED, compensation_performed=True)
    does.retry_failed("s1")
    stands(saga, SagaState.SUCCEEDED, run=2, compensation_performed=False)


def test_the_checker_notices_a_row_that_its_history_does_not_give(registered, stage, does):
    saga = registered(stage.step("a", {"x": 1}), stage.step("b"))
    execution = does.execute("s1", "trip")
    type(execution).objects.update(
        state=SagaState.COMPENSATING, steps_completed=["b"], context={"x": 2}, failed_step="b", held="why"
    )

    assert violations_of(saga, "s1") == [
        "the history gives state 'succeeded', the row has 'compensating'",
        "the history gives steps_completed ['a', 'b'], the row has ['b']",
        "the history gives failed_step '', the row has 'b'",
        "the history says that it is not held, the row does not",
        "the history gives other values of x than the row's context",
    ]


def test_the_checker_notices_step_runs_that_cannot_have_been(registered, stage, does):
    saga = registered(stage.step("a", undo=[{}]), stage.step("b", undo=[{}]), stage.step("c", NO))
    execution = does.execute("s1", "trip")
    undone = {run.step: run for run in execution.step_executions if run.direction == "compensation"}
    swapped = undone["a"].sequence, undone["b"].sequence
    with unguarded():
        execution.step_runs.filter(pk=undone["a"].pk).update(sequence=1000)
        execution.step_runs.filter(pk=undone["b"].pk).update(sequence=swapped[0])
        execution.step_runs.filter(pk=undone["a"].pk).update(sequence=swapped[1])
        execution.step_runs.filter(step="c").update(attempt=7)

    assert violations_of(saga, "s1") == [
        "the attempts of c (action) in run 1 are numbered [7]",
        "the compensations began in the order a, b",
    ]


def test_the_checker_compares_the_reported_remaining_with_the_ledger(registered, stage, does):
    saga = registered(stage.step("a", undo=[NO]), stage.step("b"), stage.step("c", NO))
    does.execute("s1", "trip")

    assert violations_of(saga, "s1", {"a": Effect(1, 0, remains=True), "b": Effect(1, 1)}) == []
    assert violations_of(saga, "s1", {"a": Effect(1, 1), "b": Effect(1, 0, remains=True)}) == [
        "I3: a is reported as remaining, but is not there",
        "I3: the effect of b remains, but is not reported",
    ]


def test_the_checker_minds_what_people_were_told(registered, stage, does):
    saga = registered(stage.step("mail"), stage.step("b", NO))
    execution = does.execute("s1", "trip")
    assert execution.step_runs.filter(outcome=Outcome.UNCERTAIN).count() == 0

    assert violations_of(saga, "s1", {"mail": Effect(0, 1, repeats=True)}) == [
        "I2: mail never happened, but it was compensated"
    ]
