"""Promise 10, trap 5: the server carries out a command, but the connection breaks before the answer arrives.

Nothing is doubled or lost, and no conflict or lost lease is reported.
"""

import itertools

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from sagas import SagaState, StepFailed, storage
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.support import new_id, story
from tests.support.lossy_wire import wired

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no connection that could be cut"),
]

START = "INSERT INTO sagas_execution"
CLAIM = "lost = leased"
MARK = "SET action_started ="
CHECKPOINT = "INSERT INTO sagas_steprun"
COMMIT = "COMMIT"


@pytest.fixture
def wire(tmp_path, transactional_db):
    """Return the database connection, which can lose answers."""
    with wired(tmp_path) as wire:
        yield wire


def enters(context):
    Group.objects.create(name="books")
    return {"entered": True}


def groups():
    return list(Group.objects.values_list("name", flat=True))


@pytest.mark.parametrize(
    ("options", "statement"),
    [({}, START), ({"references": ["sale"]}, START), ({"references": ["sale"]}, COMMIT)],
    ids=["alone", "with a reference", "commit"],
)
def test_an_execution_whose_insert_got_lost_is_ours_and_runs_at_once(
    stage, registered, orchestrator, wire, options, statement
):
    saga = registered(stage.step("a"), stage.step("b"), **options)
    wire.lose_answer_to(statement)

    execution = orchestrator.execute("x", "trip", saga, {"sale": "S-1"}, max_seconds=10)

    assert wire.lost == 1
    assert execution.state is SagaState.SUCCEEDED
    assert SagaExecution.objects.get().pk == execution.pk
    assert story(execution) == ["a action 1 succeeded", "b action 1 succeeded"]
    assert [run.sequence for run in execution.step_executions] == [2, 3]
    assert [reference.value for reference in execution.references.all()] == ["s-1"] * len(options)
    assert not execution.events.exists()


@pytest.mark.parametrize("saga_id", ["x", None])
def test_a_start_whose_insert_got_lost_has_started_one(stage, registered, orchestrator, wire, saga_id):
    registered(stage.step("a"))
    wire.lose_answer_to(START)

    execution = orchestrator.start(saga_id, "trip", context={"n": 1})

    assert wire.lost == 1
    stored = SagaExecution.objects.get()
    assert (stored.pk, stored.saga_id, stored.created_at) == (execution.pk, execution.saga_id, execution.created_at)
    assert (execution.state, execution.version, execution.leased) == (SagaState.PENDING, 1, False)
    assert orchestrator.resume(execution.saga_id).state is SagaState.SUCCEEDED
    assert stage.told == ["a"]


def test_a_start_with_a_lost_answer_does_not_conflict_with_its_worker(stage, registered, orchestrator, wire):
    registered(stage.step("a"))
    wire.lose_answer_to(START, meanwhile=lambda: storage.claim("x", worker="another", lease=60, priority=1))

    execution = orchestrator.start("x", "trip", context={"n": 1})

    assert (wire.lost, execution.worker, execution.version) == (1, "another", 2)
    assert SagaExecution.objects.count() == 1


def test_a_claim_that_got_lost_is_ours_and_no_lease_is_lost(stage, registered, orchestrator, wire):
    registered(stage.step("a"), stage.step("b"))
    orchestrator.start("x", "trip")
    wire.lose_answer_to(CLAIM)

    execution = orchestrator.resume("x", max_seconds=10)

    assert wire.lost == 1
    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 succeeded", "b action 1 succeeded"]
    assert [run.sequence for run in execution.step_executions] == [3, 4]
    assert execution.recoveries == 0
    assert not execution.events.exists()


def test_a_claim_that_got_lost_takes_over_from_a_dead_owner_once(stage, registered, orchestrator, wire):
    registered(stage.step("a"))
    orchestrator.start("x", "trip")
    assert storage.claim("x", worker="the dead one", lease=0, priority=1)
    wire.lose_answer_to(CLAIM)

    execution = orchestrator.resume("x", max_seconds=10)

    assert wire.lost == 1
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]
    assert [event.data for event in execution.events.all()] == [{"recoveries": 1}]


def test_a_mark_that_got_lost_does_not_keep_the_step_from_being_called(stage, registered, orchestrator, wire):
    saga = registered(stage.step("a", idempotent=False), stage.step("b", idempotent=False, pivot=True))
    wire.lose_answer_to(MARK)

    execution = orchestrator.execute("x", "trip", saga, max_seconds=10)

    assert wire.lost == 1
    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 succeeded", "b action 1 succeeded"]


def follows(execution, old, new):
    Group.objects.get_or_create(name=f"{old} {new}")


@pytest.mark.parametrize(
    ("options", "statement"),
    [({}, CHECKPOINT), ({"references": ["id"]}, COMMIT), ({"on_change": follows}, COMMIT)],
    ids=["alone", "with a reference", "with an on_change"],
)
def test_a_checkpoint_that_got_lost_is_not_written_twice(stage, registered, orchestrator, wire, options, statement):
    saga = registered(stage.step("a", {"id": 1}), **options)
    wire.lose_answer_to(statement)

    execution = orchestrator.execute("x", "trip", saga, max_seconds=10)

    assert wire.lost == 1
    assert (execution.state, execution.context) == (SagaState.SUCCEEDED, {"id": 1})
    assert story(execution) == ["a action 1 succeeded"]
    assert execution.finished_at
    assert not execution.events.exists()
    assert groups() == (["in_progress succeeded"] if "on_change" in options else [])


def test_a_lost_answer_to_a_checkpoint_between_steps_keeps_the_lease(stage, registered, orchestrator, wire):
    saga = registered(stage.step("a"), stage.step("b"))
    wire.lose_answer_to(CHECKPOINT)

    execution = orchestrator.execute("x", "trip", saga, max_seconds=10)

    assert wire.lost == 1
    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 succeeded", "b action 1 succeeded"]
    assert not execution.events.exists()


@pytest.mark.parametrize("names", ["ab", "a"])
def test_a_transactional_step_whose_commit_got_lost_is_done_once(stage, registered, orchestrator, wire, names):
    steps = {"a": stage.step("a", enters, transactional=True), "b": stage.step("b")}
    saga = registered(*[steps[name] for name in names])
    wire.lose_answer_to(COMMIT)

    execution = orchestrator.execute("x", "trip", saga, max_seconds=10)

    assert wire.lost == 1
    assert groups() == ["books"]
    assert stage.told == list(names)
    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"entered": True}
    assert story(execution) == [f"{name} action 1 succeeded" for name in names]
    assert not execution.events.exists()


def test_a_transactional_step_with_a_lost_commit_leaves_the_row_alone(stage, registered, orchestrator, wire):
    """The step's time ended with that commit, and another worker claimed the row before our next read."""
    saga = registered(stage.step("a", enters, transactional=True), stage.step("b"))
    wire.lose_answer_to(COMMIT, meanwhile=lambda: storage.claim("x", worker="another", lease=60, priority=1))

    execution = orchestrator.execute("x", "trip", saga, max_seconds=0)

    assert wire.lost == 1
    assert groups() == ["books"]
    assert stage.told == ["a"]
    assert (execution.worker, execution.leased, execution.steps_completed) == ("another", True, ["a"])
    assert story(execution) == ["a action 1 succeeded"]


# Lose each answer in turn.


class Scene:
    """A saga that runs many times, and its expected outcome."""

    def __init__(self, stage, orchestrator, saga, ends):
        self.stage, self.orchestrator, self.saga, self.ends = stage, orchestrator, saga, ends

    def prepare(self):
        """Reset the database and the recorded calls."""
        SagaExecution.objects.all().delete()
        Group.objects.all().delete()
        self.stage.calls.clear()

    def play(self, *, queue):
        """Run the saga to its end; if `queue`, start it for the workers first."""
        saga_id = new_id()
        if queue:
            self.orchestrator.start(saga_id, "trip")
        self.orchestrator.execute(saga_id, "trip", self.saga, max_seconds=10)

    def outcome(self):
        """Return how the saga ended, without the calls of transactional steps.

        A lost answer may roll back the first call of a transactional step and cause a second one."""
        execution = SagaExecution.objects.get()
        calls = [word for word in self.stage.told if not word.startswith("enter")]
        return execution.state.value, calls, groups(), execution.events.count(), execution.leased


@pytest.fixture
def succeeding(stage, registered, orchestrator):
    saga = registered(
        stage.step("book", {"id": 1}),
        stage.step("mail", idempotent=False),
        stage.step("enter", enters, transactional=True),
        stage.step("pay", pivot=True),
    )
    return Scene(stage, orchestrator, saga, ("succeeded", ["book", "mail", "pay"], ["books"], 0, False))


def leaves(context):
    Group.objects.all().delete()


@pytest.fixture
def failing(stage, registered, orchestrator):
    saga = registered(
        stage.step("book"),
        stage.step("enter", enters, undo=[leaves], transactional=True),
        stage.step("mail", StepFailed("no"), idempotent=False),
    )
    return Scene(stage, orchestrator, saga, ("failed", ["book", "mail", "book.undo"], [], 0, False))


@pytest.mark.parametrize("queue", [False, True], ids=["executed", "queued"])
@pytest.mark.parametrize("scene", ["succeeding", "failing"])
def test_whichever_answer_gets_lost_it_makes_no_difference(wire, request, scene, queue):
    scene = request.getfixturevalue(scene)
    for number in itertools.count():
        scene.prepare()
        wire.lose_answer_number(number)
        scene.play(queue=queue)
        wire.lose_nothing()
        assert (number, scene.outcome()) == (number, scene.ends)
        if wire.lost == number:  # the play ended before this answer
            break

    assert number > 8


def test_a_lost_lease_is_told_once_although_the_answer_to_that_got_lost(stage, registered, orchestrator, wire):
    registered(stage.step("a", idempotent=False))
    orchestrator.start("x", "trip")
    assert storage.claim("x", worker="the dead one", lease=0, priority=1)
    wire.lose_answer_to('INSERT INTO "sagas_event"')

    execution = orchestrator.resume("x", max_seconds=10)

    assert execution.state is SagaState.SUCCEEDED
    assert [event.kind for event in execution.events.all()] == ["lost_lease"]


def test_a_hold_whose_reason_could_not_be_read_at_once_is_obeyed(stage, registered, orchestrator, wire):
    def holds(context):
        get_saga_orchestrator().hold(context.saga_id, reason="look")
        wire.lose_answer_to('FROM "sagas_event"')

    saga = registered(stage.step("a", holds), stage.step("b"))

    execution = orchestrator.execute("x", "trip", saga, max_seconds=10)

    assert execution.held == "Held by an operator: look"
