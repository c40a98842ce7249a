"""Log lines are named events with fields and a fitting level, without personal data."""

import logging

import pytest

from sagas import RetryLater, SagaState, StepFailed, StillPending
from sagas.engine.logs import log
from sagas.operations import Actor
from tests.support import lost, new_id, run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def everything(caplog):
    caplog.set_level(logging.DEBUG, logger="sagas")


def told(caplog, event):
    """Return the level and some fields of each log line of the event."""
    names = ("step", "direction", "outcome", "old", "new")
    return [
        (record.levelname, *(str(record.fields[name]) for name in names if name in record.fields))
        for record in caplog.records
        if record.name == "sagas" and record.event == event
    ]


def test_a_step_is_debug_and_a_transition_info(caplog, stage):
    run(stage.step("a"))

    assert told(caplog, "attempt.started") == [("DEBUG", "a", "action")]
    assert told(caplog, "attempt.ended") == [("DEBUG", "a", "action", "succeeded")]
    assert told(caplog, "saga.state") == [("INFO", "in_progress", "succeeded")]


def test_a_failure_that_is_retried_is_a_warning_and_the_final_one_an_error(caplog, stage):
    run(stage.step("a", ValueError(), RetryLater(0), lost(), retry_count=2))

    assert told(caplog, "attempt.ended") == [
        ("WARNING", "a", "action", "failed"),
        ("WARNING", "a", "action", "failed"),
        ("ERROR", "a", "action", "uncertain"),
        ("INFO", "a", "compensation", "succeeded"),
    ]
    assert told(caplog, "saga.state") == [("INFO", "in_progress", "compensating"), ("INFO", "compensating", "failed")]


def test_an_undo_is_info_and_a_failed_one_an_error(caplog, stage):
    run(stage.step("a", undo=[StillPending(0), ValueError(), StepFailed("no")]), stage.step("b", StepFailed("no")))

    assert told(caplog, "attempt.ended")[2:] == [
        ("INFO", "a", "compensation", "pending"),
        ("WARNING", "a", "compensation", "failed"),
        ("ERROR", "a", "compensation", "failed"),
    ]


def test_a_hold_is_an_error(caplog, stage):
    run(stage.step("a", pivot=True), stage.step("b", StepFailed("no"), undo=None))

    assert told(caplog, "saga.held") == [("ERROR",)]


def test_an_act_is_info(caplog, stage, registered, orchestrator):
    registered(stage.step("a"))
    saga_id = orchestrator.start(new_id(), "trip").saga_id
    orchestrator.cancel(saga_id, reason="Ana Souza called")

    assert [record.getMessage() for record in caplog.records if record.name == "sagas"] == [
        f"operation.performed operation=cancel saga_id={saga_id} saga=trip source=python"
    ]


def test_a_line_is_one_line_whatever_is_in_it(caplog):
    log(logging.INFO, "event.name", evil="a\nERROR forged", spaced="a b", empty="", nothing=None, number=1.23456)

    assert caplog.records[-1].getMessage() == "event.name evil='a\\nERROR forged' spaced='a b' number=1.235"


@pytest.mark.parametrize("sign", ["\n", "\r", "\v", "\f", "\x1b[2K", "\x85", "\u2028", "\u2029"], ids=repr)
def test_each_event_of_a_saga_is_one_line_whatever_names_the_world_gives(caplog, stage, registered, orchestrator, sign):
    """The class name of an exception and the operator's name come from outside and may contain line breaks."""
    forged = f"{sign}2026-12-01 CRITICAL sagas forged"
    strange = type(f"Strange{forged}", (Exception,), {})
    registered(stage.step("a", strange(forged), retry_count=0))
    orchestrator.execute("s1", "trip", context={"sale": forged})
    orchestrator.retry_failed("s1", by=Actor(name=forged, source="cli"))

    lines = [record.getMessage() for record in caplog.records if record.name == "sagas"]
    assert len(lines) > 5
    assert all(len(line.splitlines()) == 1 and "\x1b" not in line for line in lines)
    assert [line for line in lines if line.startswith("2026")] == []


CANARY = "canary-4711"


def test_nothing_personal_reaches_a_log(caplog, stage, registered, orchestrator):
    """The canary is in the input, outputs, errors, reasons and evidence."""
    no = StepFailed(f"no such customer {CANARY}")
    follower_broken = [True]

    def follow(execution, old, new):
        if follower_broken:
            raise ValueError(f"no booking of {CANARY}")

    saga = registered(
        stage.step("a", {"name": CANARY}, undo=[ValueError(CANARY), StillPending(0, {"n": CANARY}), no]),
        stage.step("b", lost(), ValueError(CANARY), {"mail": CANARY}),
        stage.step("c", no),
        references=["name", "mail"],
        personal=["name", "mail"],
        on_change=follow,
    )
    saga_id = orchestrator.execute(new_id(), "trip", saga, context={"customer": CANARY}).saga_id
    follower_broken.clear()
    orchestrator.release(saga_id, reason=CANARY)
    execution = orchestrator.resume(saga_id)
    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    orchestrator.resolve_step(saga_id, "a", "undone", evidence=CANARY, reason=CANARY)
    orchestrator.correct_input(saga_id, {"customer": f"{CANARY}2"}, reason=CANARY)
    orchestrator.retry_failed(saga_id, reason=CANARY)

    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sagas")]
    assert len(lines) > 20
    assert [line for line in lines if CANARY in line] == []
    assert [
        record for record in caplog.records if CANARY in str(getattr(record, "fields", "")) or record.exc_info
    ] == []
