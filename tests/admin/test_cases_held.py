"""The page of an execution on hold: who put it on hold, why, and what to do."""

import pytest

from sagas import StepFailed
from sagas.definition.states import Direction
from sagas.models import SagaEvent, SagaExecution, StepRun
from tests.support import lost, new_id
from tests.support.bookings import BOOKING
from tests.support.tampering import unguarded

from .cases import ANA, verdict, waiting

pytestmark = pytest.mark.django_db

MEND = "Fix the cause, then release it; or mark the step as resolved. The system says: "


def test_a_booking_that_a_person_holds(plant, orchestrator):
    execution = waiting(plant)
    orchestrator.hold(execution.saga_id, reason="waiting for +55 11 98765-4321", by=ANA)

    assert verdict(execution) == (
        "bad",
        "On hold, by ana. Nothing goes on until someone releases it.",
        "Release it when it may go on. Reason: waiting for [customer_phone]",
    )


def test_a_reason_hides_personal_values_that_were_corrected(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    orchestrator.hold(execution.saga_id, reason="customer@example.com is wrong", by=ANA)
    orchestrator.correct_input(execution.saga_id, BOOKING | {"customer_email": "other@example.com"}, by=ANA)

    advice = "Release it when it may go on. Reason: [customer_email] is wrong"
    assert verdict(execution)[2] == advice


def test_a_booking_held_by_somebody_who_gave_no_reason(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    orchestrator.hold(execution.saga_id)

    headline = "On hold, by somebody. Nothing goes on until someone releases it."
    assert verdict(execution) == ("bad", headline, "Release it when it may go on.")


def test_what_the_engine_holds_in_doubt(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("pay", lost(), pivot=True, idempotent=False, undo=None))
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert verdict(execution) == (
        "doubt",
        "On hold. We don't know whether this was done: “Pay”.",
        "Check with the provider, then mark the step as resolved, with evidence.",
    )


def test_what_failed_after_the_point_of_no_return(stage, registered, orchestrator):
    steps = stage.step("mail", StepFailed("no"), undo=None), stage.step("never_begun", undo=None)
    execution = orchestrator.execute(new_id(), "trip", registered(stage.step("pay", pivot=True, undo=None), *steps))

    headline = "On hold: “Mail” failed after the point of no return."
    assert verdict(execution) == ("bad", headline, MEND + execution.held)


def test_what_cannot_be_entered_into_our_own_records(stage, registered, orchestrator):
    def refuse(*_):
        raise ValueError("no such booking")

    saga = registered(stage.step("a"), on_change=refuse)
    execution = orchestrator.execute(new_id(), "trip", saga)

    headline = "On hold: its result could not be written to our own records."
    assert verdict(execution) == ("bad", headline, MEND + execution.held)


def test_a_step_that_is_not_defined_any_more(stage, registered, orchestrator):
    saga = registered(stage.step("a", KeyError("x"), retry_delay=60, max_delay=60), stage.step("b"))
    execution = orchestrator.execute(new_id(), "trip", saga, max_seconds=0)
    registered(stage.step("a"))
    SagaExecution.objects.filter(pk=execution.pk).update(due_at="2020-01-01T00:00Z")
    execution = orchestrator.resume(execution.saga_id)

    headline = "On hold: these steps are no longer defined: “B”."
    assert verdict(execution) == ("bad", headline, MEND + execution.held)


def test_an_undo_that_keeps_killing_its_worker(stage, registered, orchestrator):
    """Create the rows that a step leaves when it has crashed its worker three times."""
    saga = registered(
        stage.step("a", undo=[KeyError("x")], retry_delay=60, max_delay=60), stage.step("b", StepFailed(""))
    )
    execution = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.3)
    held, kind = "The compensation of step 'a' keeps crashing its worker.", SagaEvent.Kind.HELD
    with unguarded():
        StepRun.objects.filter(execution=execution, direction=Direction.COMPENSATION).update(ending="poison")
    SagaEvent.objects.create(execution=execution, kind=kind, version=9, data={"held": held, "cause": "engine"})
    SagaExecution.objects.filter(pk=execution.pk).update(held=held)

    assert verdict(execution) == ("bad", "On hold: undoing “A” keeps crashing the worker.", MEND + held)
