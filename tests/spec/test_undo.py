"""Promise 5: which steps are compensated, in which order, and what happens after a failed compensation."""

import datetime as dt

import pytest

from sagas import ActRefused, RetryLater, SagaState, StepFailed, StillPending
from sagas.operations import allowed
from tests.support import finish, let_wait_pass, lost, new_id, run, story

pytestmark = pytest.mark.django_db


def test_a_failure_of_the_first_step_undoes_nothing(stage):
    execution = run(stage.step("a", StepFailed("no")), stage.step("b"))

    assert stage.told == ["a"]
    assert execution.state is SagaState.FAILED
    assert execution.failed_step == "a"
    assert not execution.compensation_performed


def test_a_failure_of_the_last_step_undoes_all_in_reverse(stage):
    execution = run(stage.step("a"), stage.step("b"), stage.step("c"), stage.step("d", StepFailed("no")))

    assert stage.told == ["a", "b", "c", "d", "c.undo", "b.undo", "a.undo"]
    assert execution.state is SagaState.FAILED
    assert execution.failed_step == "d"
    assert execution.compensation_performed
    assert execution.steps_completed == ["a", "b", "c"]


def test_a_step_without_compensation_is_passed_over(stage):
    run(stage.step("a"), stage.step("b", undo=None), stage.step("c", StepFailed("no")))

    assert stage.told == ["a", "b", "c", "a.undo"]


def test_an_undo_has_at_least_three_retries_and_a_key_of_its_own(stage):
    execution = run(
        stage.step("a", undo=[ValueError(), ValueError(), ValueError(), {}], retry_count=0),
        stage.step("b", StepFailed("no")),
        saga_id="own-key",
    )

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "b", *["a.undo"] * 4]
    assert set(stage.keys[2:]) == {"own-key:1:a:undo"}
    assert [call.attempt for call in stage.calls[2:]] == [1, 2, 3, 4]


def test_an_undos_retries_are_waited_out_before_the_next_undo(stage):
    steps = [
        stage.step("a"),
        stage.step("b", undo=[ValueError(), {}], retry_delay=30, max_delay=30),
        stage.step("c", StepFailed("no")),
    ]
    execution = run(*steps, max_seconds=0.5)
    assert stage.told == ["a", "b", "c", "b.undo"]
    finish(*steps, saga_id=execution.saga_id)

    assert stage.told == ["a", "b", "c", "b.undo", "b.undo", "a.undo"]


@pytest.mark.parametrize(("undo", "calls"), [(StepFailed("too late"), 1), (ValueError("broken"), 4)], ids=repr)
def test_an_undo_that_fails_for_good_leaves_the_saga_partially_compensated(stage, undo, calls):
    execution = run(stage.step("a"), stage.step("b", undo=[undo]), stage.step("c", StepFailed("no")))

    assert stage.told == ["a", "b", "c", *["b.undo"] * calls, "a.undo"]
    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert execution.failed_step == "c"
    assert execution.compensation_performed
    assert execution.needs_attention


@pytest.mark.parametrize("undo", [RetryLater(0), lost(), TimeoutError()], ids=repr)
def test_a_compensation_with_an_unavailable_provider_is_deferred(stage, undo):
    steps = [
        stage.step("a"),
        stage.step("b", undo=[undo] * 2 + [{}], compensation_retry_count=0, max_delay=300),
        stage.step("c", StepFailed("no")),
    ]
    execution = run(*steps)

    assert execution.state is SagaState.COMPENSATING
    assert stage.told == ["a", "b", "c", "b.undo", "a.undo"]
    assert not execution.needs_attention
    assert 290 < (execution.due_at - dt.datetime.now(dt.UTC)).total_seconds() <= 300

    for _ in range(2):
        let_wait_pass(execution)
        execution = run(*steps, saga_id=execution.saga_id)
    assert execution.state is SagaState.FAILED
    assert stage.told[5:] == ["b.undo", "b.undo"]


@pytest.mark.parametrize("call", ["execute", "resume"])
def test_nobody_is_kept_waiting_for_undos_that_are_set_aside(stage, registered, orchestrator, call):
    saga = registered(
        stage.step("a", undo=[RetryLater(0)], compensation_retry_count=0, max_delay=300),
        stage.step("b", StepFailed("no")),
    )
    first = orchestrator.execute("aside", "trip", saga)

    again = orchestrator.execute("aside", "trip", saga) if call == "execute" else orchestrator.resume("aside")

    assert again.state is SagaState.COMPENSATING
    assert (again.version, again.due_at) == (first.version, first.due_at)
    assert stage.told == ["a", "b", "a.undo"]


def test_an_undo_set_aside_for_an_hour_needs_attention(stage):
    steps = [
        stage.step("a", undo=[RetryLater(0)], compensation_retry_count=0, max_delay=7200),
        stage.step("b", StepFailed("no")),
    ]
    execution = run(*steps, saga_id="an-hour")
    assert not execution.needs_attention
    assert round((execution.due_at - dt.datetime.now(dt.UTC)).total_seconds()) == 3600

    execution = run(*steps, saga_id=let_wait_pass(execution).saga_id)

    assert execution.needs_attention
    assert stage.told == ["a", "b", "a.undo"]
    assert execution.state is SagaState.COMPENSATING
    assert round((execution.due_at - dt.datetime.now(dt.UTC)).total_seconds()) == 3600


def test_an_undo_set_aside_beyond_the_patience_has_failed_for_good(stage, settings):
    settings.SAGAS = {"COMPENSATION_PATIENCE": 1000}
    steps = [
        stage.step("a", undo=[RetryLater(0)], compensation_retry_count=0, max_delay=600),
        stage.step("b", StepFailed("no")),
    ]
    execution = run(*steps, saga_id="out-of-patience")
    for _ in range(2):
        assert execution.state is SagaState.COMPENSATING
        execution = run(*steps, saga_id=let_wait_pass(execution).saga_id)

    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert stage.told == ["a", "b", "a.undo", "a.undo", "a.undo"]


def test_an_outage_of_hours_ends_by_itself(stage):
    steps = [
        stage.step("a", undo=[*[RetryLater(0)] * 20, {}], compensation_retry_count=0, max_delay=1800),
        stage.step("b", StepFailed("no")),
    ]
    execution = run(*steps, saga_id="outage")
    turns = 0
    while execution.state is SagaState.COMPENSATING and turns < 60:
        execution = run(*steps, saga_id=let_wait_pass(execution).saga_id)
        turns += 1

    assert execution.state is SagaState.FAILED
    assert stage.told.count("a.undo") == 21


def test_an_undo_may_be_pending(stage):
    execution = run(
        stage.step("a", undo=[StillPending(0, {"refund": "processing"}), {}]), stage.step("b", StepFailed("no"))
    )

    assert execution.state is SagaState.FAILED
    assert stage.calls[-1].output == {"refund": "processing"}
    assert story(execution)[2:] == ["a compensation 1 pending", "a compensation 2 succeeded"]


def test_an_undo_that_is_set_aside_and_pending_takes_turns_with_the_others(stage):
    """A compensation that stays pending for hours does not delay the other one, and people are alerted in time."""
    deferred = {"compensation_retry_count": 0, "max_delay": 600}
    steps = [
        stage.step("a", undo=[RetryLater(0)] * 8 + [{}], **deferred),
        stage.step("b", undo=[RetryLater(0), StillPending(1, {"refund": "processing"})], **deferred),
        stage.step("c", StepFailed("no")),
    ]
    execution = run(*steps)
    turns = 0
    while not execution.needs_attention and turns < 30:
        execution = run(*steps, saga_id=let_wait_pass(execution).saga_id)
        turns += 1

    assert execution.state is SagaState.COMPENSATING
    assert stage.told[:9] == ["a", "b", "c", "b.undo", "a.undo", "b.undo", "a.undo", "b.undo", "a.undo"]
    assert execution.needs_attention


def test_an_undo_knows_what_the_action_reported_and_whether_it_is_in_doubt(stage):
    seen = {}

    def undo(context):
        seen[context.step] = (context.output, context.uncertain, context.action_key, context["sale"])

    run(
        stage.step("a", {"id": 1}, undo=[undo]),
        stage.step("b", StillPending(0, {"id": 2}), StepFailed("no"), undo=[undo]),
        context={"sale": "S1"},
        saga_id="knows",
    )

    assert seen == {
        "a": ({"id": 1}, False, "knows:1:a", "S1"),
        "b": ({"id": 2}, True, "knows:1:b", "S1"),
    }


def test_in_an_action_there_is_nothing_to_know_of_an_action_before(stage):
    errors = []

    def action(context):
        for name in ("action_key", "action_uuid", "uncertain"):
            with pytest.raises(AttributeError) as error:
                getattr(context, name)
            errors.append(str(error.value))

    run(stage.step("a", action))

    assert errors == [
        "action_key is only available in a compensation and in verify, not in an action",
        "action_uuid is only available in a compensation and in verify, not in an action",
        "uncertain is only available in a compensation and in verify, not in an action",
    ]


# Which executions need attention.


@pytest.mark.parametrize(
    ("error", "needs_attention"),
    [(StepFailed("declined"), False), (ValueError("a bug"), True), (RetryLater(0), True), (lost(), True)],
    ids=repr,
)
def test_a_failed_saga_needs_attention_unless_a_step_refused(stage, error, needs_attention):
    assert run(stage.step("a", error, retry_count=1)).needs_attention is needs_attention


def test_acknowledging_takes_it_off_the_list(stage, registered, orchestrator):
    saga = registered(stage.step("a", ValueError(), retry_count=0))
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert not orchestrator.acknowledge(execution.saga_id, reason="seen").needs_attention
    with pytest.raises(ActRefused) as refused:
        orchestrator.acknowledge(execution.saga_id)
    assert str(refused.value) == (
        f"acknowledge of {execution.saga_id!r} is not possible: it does not need attention. "
        "Possible now: retry, correct."
    )


# A succeeded saga, compensated by an operator.


def test_a_finished_saga_can_be_undone_and_needs_no_attention(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("b", undo=None), stage.step("c"))
    execution = orchestrator.execute(new_id(), "trip", saga)

    execution = orchestrator.compensate(execution.saga_id, reason="the customer changed her mind")

    assert stage.told == ["a", "b", "c", "c.undo", "a.undo"]
    assert execution.state is SagaState.FAILED
    assert execution.failed_step == ""
    assert execution.steps_completed == ["a", "b", "c"]
    assert not execution.needs_attention


def test_after_the_pivot_a_finished_saga_stays_as_it_is(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("b", pivot=True))
    execution = orchestrator.execute(new_id(), "trip", saga)

    with pytest.raises(ActRefused) as refused:
        orchestrator.compensate(execution.saga_id)

    assert str(refused.value) == (
        f"compensate of {execution.saga_id!r} is not possible: it has reached its point of no return."
    )
    assert allowed(execution.saga_id) == ()


def test_a_finished_saga_without_any_undo_stays_as_it_is(stage, registered, orchestrator):
    execution = orchestrator.execute(new_id(), "trip", registered(stage.step("a", undo=None)))

    with pytest.raises(ActRefused) as refused:
        orchestrator.compensate(execution.saga_id)

    assert refused.value.sentence == "none of its steps can be undone."


# Effects that could not be compensated, resolved by an operator.


def test_retrying_what_is_not_undone_leaves_the_rest_alone(stage, registered, orchestrator):
    saga = registered(
        stage.step("a", undo=[StepFailed("too late"), {}]), stage.step("b"), stage.step("c", StepFailed("no"))
    )
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert execution.state is SagaState.PARTIALLY_COMPENSATED

    execution = orchestrator.retry_failed(execution.saga_id, reason="they opened the gate")

    assert stage.told == ["a", "b", "c", "b.undo", "a.undo", "a.undo"]
    assert execution.state is SagaState.FAILED
    assert execution.run == 1


def test_resolving_the_last_open_step_by_hand_ends_it(stage, registered, orchestrator):
    no = [StepFailed("too late")]
    saga = registered(stage.step("a", undo=no), stage.step("b", undo=no), stage.step("c", StepFailed("no")))
    saga_id = orchestrator.execute(new_id(), "trip", saga).saga_id

    execution = orchestrator.resolve_step(saga_id, "a", "undone", evidence="refunded by bank transfer")
    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert execution.needs_attention

    execution = orchestrator.resolve_step(saga_id, "b", "done", evidence="the customer keeps it")
    assert execution.state is SagaState.FAILED
    assert not execution.needs_attention
    assert execution.finished_at
    event = execution.events.last()
    assert event.data["evidence"] == "the customer keeps it"
    assert execution.step_executions.last().direction == "resolved"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"step": "z", "outcome": "done"}, "it has no step 'z'; its steps are a, b."),
        ({"step": "a", "outcome": "maybe"}, "outcome must be one of done, not_done, undone, not 'maybe'."),
        ({"step": "b", "outcome": "undone"}, "step 'b' has nothing to undo."),
        ({"step": "b", "outcome": "done"}, "step 'b' has nothing to undo."),
    ],
)
def test_a_resolution_that_makes_no_sense_is_refused(stage, registered, orchestrator, parameters, sentence):
    saga = registered(stage.step("a", undo=[StepFailed("too late")]), stage.step("b", StepFailed("no")))
    execution = orchestrator.execute(new_id(), "trip", saga)

    with pytest.raises(ActRefused) as refused:
        orchestrator.resolve_step(execution.saga_id, **parameters)

    assert refused.value.sentence == sentence
    assert not execution.events.exists()


def test_nothing_is_resolved_while_a_saga_is_on_its_way(stage, registered, orchestrator):
    execution = orchestrator.execute(new_id(), "trip", registered(stage.step("a", RetryLater(9))), max_seconds=0)

    with pytest.raises(ActRefused) as refused:
        orchestrator.resolve_step(execution.saga_id, "a", "done")

    assert refused.value.sentence == "a step can be marked as resolved only while the case is on hold or partly undone."
