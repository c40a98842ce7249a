"""What is said of a case that goes on by itself."""

import datetime as dt

import pytest

from sagas import SagaState
from sagas.conf import get_settings
from sagas.definition.states import Direction
from sagas.models import SagaExecution
from sagas.presentation.time_format import format_moment
from tests.support import new_id
from tests.support.bookings import BOOKING

from .cases import case, pay, sentences, verdict, waiting

pytestmark = pytest.mark.django_db

BY_ITSELF = "You need not do anything: it goes on by itself."


def test_a_charge_whose_reply_was_lost_is_in_doubt(plant):
    plant("payments", "charge", "effect_then_lose_reply")
    execution = pay(max_seconds=0)
    SagaExecution.objects.filter(pk=execution.pk).update(due_at=execution.due_at.replace(year=2099))
    found = case(execution)

    next_at = format_moment(execution.due_at.replace(year=2099))
    advice = f"It finds out by itself, next at {next_at}. Do not do it again by another way."
    assert verdict(execution) == ("doubt", "Nobody knows yet whether this was done: “Charge”.", advice)
    assert [(line.sentence, line.why) for line in found.in_doubt] == [
        (
            "It is not certain yet whether R$ 420.00 was charged.",
            "The connection broke before the provider's answer came (reply_lost)",
        )
    ]
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)
    assert verdict(execution)[2] == "It is finding out by itself. Do not do it again by another way."


def test_a_booking_that_waits_tells_for_which_step_and_until_when(plant):
    execution = waiting(plant)

    headline = f"It waits: the next attempt of “Invoice” is at {format_moment(execution.due_at)}."
    assert verdict(execution) == ("busy", headline, BY_ITSELF)
    assert [line.status for line in case(execution).others] == ["running", "waiting", "waiting", "waiting"]


def test_a_booking_that_runs_tells_how_far_it_is(plant):
    execution = waiting(plant)
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)

    assert verdict(execution) == ("busy", "It is running: 0 of 4 steps are done.", BY_ITSELF)

    SagaExecution.objects.filter(pk=execution.pk).update(pending_request="cancel")
    then = "As soon as the step under way has ended, what was done is undone."
    assert verdict(execution) == ("busy", "It is about to be cancelled.", then)


def test_a_booking_that_nobody_has_begun(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)

    advice = "It begins by itself. If that takes minutes, call whoever looks after the system."
    assert verdict(execution) == ("busy", "It waits for its turn; nothing has begun yet.", advice)


def test_a_payment_that_is_being_undone(plant):
    plant("email", "send", "refuse")
    plant("payments", "refund", "throttle", latency_ms=3_600_000)
    execution = pay(max_seconds=0.5)

    headline = f"It is being undone: the next attempt to undo “Charge” is at {format_moment(execution.due_at)}."
    advice = "“Receipt by e-mail” failed for good, so what was done before is undone, last step first."
    assert execution.state is SagaState.COMPENSATING
    assert verdict(execution) == ("busy", headline, advice)

    SagaExecution.objects.filter(pk=execution.pk).update(leased=True, failed_step="")
    advice = "Somebody asked for it; what was done is undone, last step first."
    assert verdict(execution) == ("busy", "It is being undone: “Charge”.", advice)


def test_an_undo_that_is_set_aside_tells_when_and_until_when_it_is_tried(plant, clock):
    plant("email", "send", "refuse")
    plant("payments", "refund", "effect_then_lose_reply", remaining=99)
    execution = pay()
    undos = execution.step_executions.filter(step="process_payment", direction=Direction.COMPENSATION)
    since = undos.order_by("sequence")[3].finished_at
    until = format_moment(since + dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE))
    headline = "The undo of “Charge” does not get through."

    assert execution.state is SagaState.COMPENSATING
    assert sentences(case(execution).others)[0] == "It is not certain yet whether R$ 420.00 was refunded."
    next_at = format_moment(execution.due_at)
    advice = f"It is tried again by itself at {next_at}, and again until {until}; after that a person has to see to it."
    assert verdict(execution) == ("doubt", headline, advice)
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)
    assert verdict(execution) == (
        "doubt",
        headline,
        f"It is tried again now, and then again and again until {until}.",
    )
