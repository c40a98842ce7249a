"""The page of an execution that continues by itself."""

import datetime as dt

import pytest

from sagas import SagaState
from sagas.conf import get_settings
from sagas.definition.states import Direction
from sagas.models import SagaExecution
from sagas.presentation.labels import format_moment
from tests.support import new_id
from tests.support.bookings import BOOKING

from .cases import case, pay, sentences, verdict, waiting

pytestmark = pytest.mark.django_db

BY_ITSELF = "Nothing to do. It goes on by itself."


def test_a_charge_whose_reply_was_lost_is_in_doubt(plant):
    plant("payments", "charge", "effect_then_lose_reply")
    execution = pay(max_seconds=0)
    SagaExecution.objects.filter(pk=execution.pk).update(due_at=execution.due_at.replace(year=2099))
    found = case(execution)

    next_at = format_moment(execution.due_at.replace(year=2099))
    advice = f"The provider will be asked at {next_at}. Don't do it in another way meanwhile."
    assert verdict(execution) == ("doubt", "In doubt. We don't know yet whether this was done: “Charge”.", advice)
    assert [(line.sentence, line.why) for line in found.in_doubt] == [
        (
            "It is not certain yet whether R$ 420.00 was charged.",
            "The connection broke before the provider's answer came (reply_lost)",
        )
    ]
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)
    assert verdict(execution)[2] == "The provider is being asked. Don't do it in another way meanwhile."


def test_a_booking_that_waits_tells_for_which_step_and_until_when(plant):
    execution = waiting(plant)

    headline = f"Waiting. Next try of “Invoice” at {format_moment(execution.due_at)}."
    assert verdict(execution) == ("busy", headline, BY_ITSELF)
    assert [line.status for line in case(execution).others] == ["running", "waiting", "waiting", "waiting"]


def test_a_booking_that_runs_tells_how_far_it_is(plant):
    execution = waiting(plant)
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)

    assert verdict(execution) == ("busy", "Running. 0 of 4 steps are done.", BY_ITSELF)

    SagaExecution.objects.filter(pk=execution.pk).update(pending_request="cancel")
    then = "What was done will be undone when the current step has ended."
    assert verdict(execution) == ("busy", "Being cancelled.", then)


def test_a_booking_that_nobody_has_begun(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)

    advice = "It starts by itself. If that takes minutes, call whoever runs the system."
    assert verdict(execution) == ("busy", "Waiting to start.", advice)


def test_a_payment_that_is_being_undone(plant):
    plant("email", "send", "refuse")
    plant("payments", "refund", "throttle", latency_ms=3_600_000)
    execution = pay(max_seconds=0.5)

    headline = f"Being undone. Next try of “Charge” at {format_moment(execution.due_at)}."
    advice = "“Receipt by e-mail” failed, so what was done before is being undone, last step first."
    assert execution.state is SagaState.COMPENSATING
    assert verdict(execution) == ("busy", headline, advice)

    SagaExecution.objects.filter(pk=execution.pk).update(leased=True, failed_step="")
    advice = "Somebody asked for it. What was done is being undone, last step first."
    assert verdict(execution) == ("busy", "Being undone: “Charge”.", advice)


def test_an_undo_that_is_set_aside_tells_when_and_until_when_it_is_tried(plant, clock):
    plant("email", "send", "refuse")
    plant("payments", "refund", "effect_then_lose_reply", remaining=99)
    execution = pay()
    undos = execution.step_executions.filter(step="process_payment", direction=Direction.COMPENSATION)
    since = undos.order_by("sequence")[3].finished_at
    until = format_moment(since + dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE))
    headline = "Undoing “Charge” keeps failing."

    assert execution.state is SagaState.COMPENSATING
    assert sentences(case(execution).others)[0] == "It is not certain yet whether R$ 420.00 was refunded."
    next_at = format_moment(execution.due_at)
    advice = f"Next try at {next_at}. It gives up at {until}; then someone must see to it."
    assert verdict(execution) == ("doubt", headline, advice)
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)
    assert verdict(execution) == (
        "doubt",
        headline,
        f"Trying again now, and until {until}.",
    )
