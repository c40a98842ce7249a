"""Promise 4: retries, and how a step controls them."""

import pytest

from sagas import RetryLater, SagaState, StepFailed, StillPending
from sagas.definition.states import Ending, Outcome
from tests.support import finish, let_wait_pass, lost, new_id, run, story

pytestmark = pytest.mark.django_db


def test_three_retries_are_four_attempts_under_one_key(stage):
    execution = run(stage.step("charge", ValueError("no"), retry_count=3), saga_id="four-attempts")

    assert execution.state is SagaState.FAILED
    assert [call.attempt for call in stage.calls] == [1, 2, 3, 4]
    assert set(stage.keys) == {"four-attempts:1:charge"}
    assert story(execution) == [f"charge action {n} failed" for n in (1, 2, 3, 4)]
    assert execution.step_executions.last().ending == Ending.SPENT
    assert execution.step_executions.last().error_type == "ValueError"
    assert execution.step_executions.last().error_message == "no"


def test_an_attempt_in_doubt_is_made_again_and_its_success_ends_the_doubt(stage):
    execution = run(stage.step("charge", lost(), {"id": 7}), stage.step("mail", StepFailed("no")))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["charge", "charge", "mail", "charge.undo"]
    assert story(execution)[:2] == ["charge action 1 uncertain", "charge action 2 succeeded"]


def test_step_failed_is_final_at_once(stage):
    execution = run(stage.step("charge", StepFailed("card declined")))

    assert stage.told == ["charge"]
    assert execution.step_executions.get().ending == Ending.REFUSED
    assert execution.step_executions.get().error_message == "card declined"


def test_a_refusal_after_an_unknown_outcome_is_still_undone(stage):
    execution = run(stage.step("charge", lost(), StepFailed("duplicate")))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["charge", "charge", "charge.undo"]
    assert execution.compensation_performed


def test_waits_grow_exponentially_up_to_the_most(stage):
    step = stage.step("charge", ValueError(), retry_count=4, retry_delay=10, max_delay=35)
    execution = finish(step, saga_id=new_id())

    runs = list(execution.step_executions)
    assert [round((run.retry_at - run.finished_at).total_seconds()) for run in runs[:-1]] == [10, 20, 35, 35]


def test_jitter_keeps_a_wait_in_its_upper_half(stage):
    step = stage.step("charge", retry_delay=8, max_delay=300, jitter=True)

    assert (step.delay(1, 0.0), step.delay(1, 1.0), step.delay(2, 0.5)) == (4.0, 8.0, 12.0)
    assert step.delay(10_000, 1.0) == 300


def test_retry_later_waits_as_long_as_it_says_and_spends_a_retry(stage):
    step = stage.step("charge", RetryLater(60), RetryLater(0), retry_count=1)
    execution = run(step, saga_id="later", max_seconds=0)

    last = execution.step_executions.last()
    assert round((last.retry_at - last.finished_at).total_seconds()) == 60
    assert last.outcome == Outcome.FAILED

    let_wait_pass(execution)
    assert run(step, saga_id="later").state is SagaState.FAILED
    assert stage.told == ["charge", "charge"]


def test_still_pending_asks_again_under_the_same_key_and_spends_nothing(stage):
    again = [StillPending(0, {"status": "processing"})] * 5
    execution = run(stage.step("issue", *again, {"number": 9}, retry_count=0, idempotent=False), saga_id="pending")

    assert execution.state is SagaState.SUCCEEDED
    assert set(stage.keys) == {"pending:1:issue"}
    assert [call.output for call in stage.calls] == [None] + [{"status": "processing"}] * 5
    assert story(execution) == ["issue action 1 pending", "issue action 2 succeeded"]


def test_a_step_run_is_written_for_each_news_of_a_pending_step(stage):
    news = [StillPending(0, {"queue": place}) for place in (3, 3, 2, 2, 1)]
    execution = run(stage.step("issue", *news, {}))

    outputs = [run.output for run in execution.step_executions]
    assert outputs == [{"queue": 3}, {"queue": 2}, {"queue": 1}, {}]


def test_a_step_that_stays_pending_beyond_its_patience_ends_in_doubt(stage):
    step = stage.step("issue", StillPending(50, {"status": "processing"}), patience=100)
    execution = finish(step, saga_id=new_id())

    assert execution.state is SagaState.FAILED
    assert stage.told == ["issue", "issue", "issue", "issue.undo"]
    assert story(execution)[:2] == ["issue action 1 pending", "issue action 2 uncertain"]
    assert execution.step_executions[1].ending == Ending.IMPATIENT


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ({"price": float("nan")}, "price: is nan, which JSON cannot hold"),
        (["processing"], "a step returns a mapping or None, not a list"),
    ],
)
def test_a_pending_step_that_reports_what_cannot_be_stored_is_in_doubt(stage, output, sentence):
    execution = run(stage.step("issue", StillPending(0, output), {}))

    assert story(execution) == ["issue action 1 uncertain", "issue action 2 succeeded"]
    first = execution.step_executions.first()
    assert (first.error_type, first.error_message, first.output) == ("InvalidInput", sentence, None)


def test_a_pending_step_is_undone_when_the_saga_is_cancelled(stage, registered, orchestrator):
    saga = registered(stage.step("issue", StillPending(3600)))
    saga_id = new_id()
    orchestrator.execute(saga_id, "trip", saga, max_seconds=0)

    orchestrator.cancel(saga_id)
    execution = orchestrator.resume(saga_id)

    assert execution.state is SagaState.FAILED
    assert stage.told == ["issue", "issue.undo"]


def test_an_attempt_in_doubt_of_a_non_idempotent_step_is_never_repeated(stage):
    execution = run(stage.step("mail", lost(), idempotent=False, retry_count=5))

    assert stage.told == ["mail", "mail.undo"]
    assert execution.state is SagaState.FAILED


def test_a_failed_attempt_of_a_step_that_is_not_idempotent_is_made_again(stage):
    execution = run(stage.step("mail", ValueError(), {}, idempotent=False))

    assert stage.told == ["mail", "mail"]
    assert execution.state is SagaState.SUCCEEDED


def test_an_optional_steps_failure_is_recorded_and_the_saga_goes_on(stage):
    execution = run(stage.step("track", StepFailed("off"), optional=True), stage.step("mail"))

    assert execution.state is SagaState.SUCCEEDED
    assert execution.steps_completed == ["mail"]
    assert execution.failed_step == ""
    assert execution.success_rate() == 0.5
    assert not execution.needs_attention


def test_an_optional_step_in_doubt_is_undone_with_the_others(stage):
    run(stage.step("track", lost(), optional=True, retry_count=0), stage.step("mail", StepFailed("no")))

    assert stage.told == ["track", "mail", "track.undo"]


def test_a_release_does_not_take_the_saga_back_to_an_optional_step(stage, registered, orchestrator):
    saga = registered(
        stage.step("pay", pivot=True, undo=None),
        stage.step("track", StepFailed("off"), optional=True, undo=None),
        stage.step("mail", StepFailed("no"), {}, undo=None),
    )
    execution = orchestrator.execute(new_id(), "trip", saga)
    assert execution.held

    orchestrator.release(execution.saga_id)
    execution = orchestrator.resume(execution.saga_id)

    assert stage.told == ["pay", "track", "mail", "mail"]
    assert execution.state is SagaState.SUCCEEDED


def test_what_a_failed_attempt_wrote_is_gone_in_the_next(stage):
    def scribble(context):
        context["half"] = "done"
        del context["sale"]
        context["list"].append(2)
        raise ValueError

    execution = run(stage.step("charge", scribble, {}), context={"sale": 1, "list": [1]})

    assert stage.calls[1].context == {"sale": 1, "list": [1]}
    assert execution.context == {"sale": 1, "list": [1]}
