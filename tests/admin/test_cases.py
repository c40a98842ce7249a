"""What is said of a case: in each situation a headline, what to do, and each step in the group where it belongs."""

import datetime as dt

import pytest

from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState, StepFailed
from sagas.cases import case_of, moment_in_words
from sagas.conf import get_settings
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.operations import By
from sagas.orchestrator import get_saga_orchestrator
from sagas.registry import all_sagas
from sagas.states import Direction
from sagas.tenure import history_of
from sagas.testing import FakeClock
from tests.bookings.conftest import BOOKING, PAYMENT
from tests.support import lost, new_id, run_saga
from tests.tampering import unguarded

pytestmark = pytest.mark.django_db

ANA = By(name="ana", source="admin")
DECLINED = "pm_card_chargeDeclined"
NOTHING_TO_CLEAN_UP = "There is nothing to clean up. It can be tried again from the start."
BY_ITSELF = "You need not do anything: it goes on by itself."


@pytest.fixture
def orchestrator():
    return get_saga_orchestrator()


@pytest.fixture
def clock():
    """A clock that jumps over whatever a saga waits for."""
    with FakeClock() as clock:
        yield clock


def book(max_seconds=None, **changes):
    return run_saga(CREATE_BOOKING_SAGA, new_id(), context=BOOKING | changes, max_seconds=max_seconds)


def pay(max_seconds=None, **changes):
    return run_saga(COLLECT_PAYMENT_SAGA, new_id(), context=PAYMENT | changes, max_seconds=max_seconds)


def case(execution, *, personal=False):
    execution = SagaExecution.objects.get(pk=execution.pk)
    return case_of(execution, all_sagas().get(execution.saga_name), history_of(execution), personal=personal)


def verdict(execution, **options):
    found = case(execution, **options)
    return found.tone, found.headline, found.advice


def sentences(lines):
    return [line.sentence for line in lines]


def throttled(plant):
    """A provider asks for an hour's patience."""
    plant("invoices", "issue", "throttle", latency_ms=3_600_000)


def test_a_booking_that_stands():
    execution = book()
    found = case(execution, personal=True)

    assert verdict(execution) == ("good", "Everything has been done.", "There is nothing to do.")
    number, event = execution.context["invoice_number"], execution.context["event_id"]
    assert sentences(found.done)[:2] == [
        f"Invoice {number} for R$ 420.00 was issued.",
        "The confirmation was sent to customer@example.com.",
    ]
    assert dict(found.done[0].references)["invoice_number"] == number
    assert found.done[3].references == (("event_id", event),)
    assert (found.undone, found.in_doubt, found.not_undone, found.others) == ((), (), (), ())
    assert [line.at for line in found.done] == [run.finished_at for run in execution.step_executions]


def test_a_payment_that_was_made_without_what_is_optional(plant):
    plant("analytics", "track", "refuse")
    execution = pay()

    optional = "It is optional: nothing else depends on it."
    assert verdict(execution) == ("good", "It has ended well, without “Log analytics”.", optional)
    assert [line.why for line in case(execution).others] == ["The provider refuses the request (refused)"]


def test_a_payment_of_whose_report_nobody_knows(plant, clock):
    plant("analytics", "track", "effect_then_lose_reply", remaining=9)
    execution = pay()

    assert verdict(execution) == (
        "doubt",
        "It has ended well, but nobody knows whether this was done: “Log analytics”.",
        "It is optional: nothing else depends on it.",
    )


def test_a_booking_that_failed_and_is_undone(plant):
    plant("calendar", "add", "refuse")
    execution = book()
    found = case(execution)

    headline = "It failed at “Add calendar”; everything that was done before is undone."
    assert verdict(execution) == ("bad", headline, NOTHING_TO_CLEAN_UP)
    assert sentences(found.undone) == [
        "There is no valid invoice for R$ 420.00 any more.",
        "A cancellation was sent to [customer_email].",
        "A cancellation was sent by WhatsApp to [customer_phone].",
    ]
    assert [(line.sentence, line.why) for line in found.others] == [
        ("City tour could not be put into the calendar.", "The provider refuses the request (refused)")
    ]


def test_a_declined_card_leaves_nothing_to_undo():
    headline = "It failed at “Process payment”; there was nothing to undo."

    assert verdict(pay(payment_method=DECLINED)) == ("bad", headline, NOTHING_TO_CLEAN_UP)


def test_a_failure_that_nobody_has_looked_at_yet(plant, clock):
    plant("invoices", "issue", "fail_before", remaining=9)
    execution = book()

    assert verdict(execution) == (
        "bad",
        "It failed at “Create nf”; there was nothing to undo.",
        "Look at the last answer below. Mend the cause and try again from the start, or acknowledge it.",
    )


def test_what_has_no_undo_stays(stage, registered, orchestrator):
    saga = registered(stage.step("send_letter", undo=None), stage.step("pay", StepFailed("declined")))
    execution = orchestrator.execute(new_id(), "trip", saga)

    headline = "It failed at “Pay”; this has no undo and stays as it is: “Send letter”."
    assert verdict(execution) == ("bad", headline, NOTHING_TO_CLEAN_UP)
    assert sentences(case(execution).done) == ["Send letter is done."]


def test_what_is_in_doubt_and_has_no_undo(stage, registered, orchestrator):
    saga = registered(stage.step("send_letter", lost(), undo=None, retry_count=0))
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert verdict(execution) == (
        "doubt",
        "It has failed, and nobody knows whether this was done: “Send letter”.",
        "There is no undo for it. Find out at the provider what has become of it.",
    )
    assert [line.why for line in case(execution).in_doubt] == ["the answer got lost"]


def test_a_cancelled_booking_tells_by_whom_and_why(plant, orchestrator):
    throttled(plant)
    execution = book(max_seconds=0)
    orchestrator.cancel(execution.saga_id, reason="customer@example.com called", by=ANA)

    headline = "It was cancelled by ana; nothing of it stands."
    assert verdict(execution) == ("bad", headline, "The reason given: [customer_email] called")
    assert verdict(execution, personal=True) == ("bad", headline, "The reason given: customer@example.com called")


def test_a_cancelled_booking_without_a_name_or_a_reason(plant, orchestrator):
    throttled(plant)
    execution = book(max_seconds=0)
    orchestrator.cancel(execution.saga_id)

    assert verdict(execution) == (
        "bad",
        "It was cancelled by somebody; nothing of it stands.",
        "There is nothing to do.",
    )


def test_a_booking_undone_on_request(orchestrator):
    execution = book()
    orchestrator.compensate(execution.saga_id, reason="the wrong day", by=ANA)

    headline = "It was undone, as ana asked; nothing of it stands."
    assert verdict(execution) == ("bad", headline, "The reason given: the wrong day")


def test_a_payment_undone_on_request_tells_what_stays(orchestrator):
    execution = pay()
    orchestrator.compensate(execution.saga_id, reason="the wrong day", by=ANA)

    left = "this has no undo and stays as it is: “Send receipt”, “Log analytics”."
    assert verdict(execution) == ("bad", f"It was undone, as ana asked; {left}", "The reason given: the wrong day")


def test_a_cancel_that_leaves_something(stage, registered, orchestrator):
    retry_at_leisure = {"retry_delay": 60, "max_delay": 60}
    saga = registered(stage.step("send_letter", undo=None), stage.step("pay", KeyError("x"), **retry_at_leisure))
    execution = orchestrator.execute(new_id(), "trip", saga, max_seconds=0)
    while not execution.step_executions.filter(step="pay").exists():
        execution = orchestrator.resume(execution.saga_id, max_seconds=0.05)
    orchestrator.cancel(execution.saga_id, by=ANA)

    headline = "It was cancelled by ana; this has no undo and stays as it is: “Send letter”."
    assert verdict(execution) == ("bad", headline, "There is nothing to do.")


def test_a_charge_whose_reply_was_lost_is_in_doubt(plant):
    plant("payments", "charge", "effect_then_lose_reply")
    execution = pay(max_seconds=0)
    SagaExecution.objects.filter(pk=execution.pk).update(due_at=execution.due_at.replace(year=2099))
    found = case(execution)

    next_at = moment_in_words(execution.due_at.replace(year=2099))
    advice = f"It finds out by itself, next at {next_at}. Do not do it again by another way."
    assert verdict(execution) == ("doubt", "Nobody knows yet whether this was done: “Process payment”.", advice)
    assert [(line.sentence, line.why) for line in found.in_doubt] == [
        (
            "It is not certain yet whether R$ 420.00 was charged.",
            "The connection broke before the provider's answer came (reply_lost)",
        )
    ]
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)
    assert verdict(execution)[2] == "It is finding out by itself. Do not do it again by another way."


def test_a_booking_that_waits_tells_for_which_step_and_until_when(plant):
    throttled(plant)
    execution = book(max_seconds=0)

    headline = f"It waits: the next attempt of “Create nf” is at {moment_in_words(execution.due_at)}."
    assert verdict(execution) == ("busy", headline, BY_ITSELF)
    assert [line.status for line in case(execution).others] == ["doing", "waiting", "waiting", "waiting"]


def test_a_booking_that_runs_tells_how_far_it_is(plant):
    throttled(plant)
    execution = book(max_seconds=0)
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)

    assert verdict(execution) == ("busy", "It is running: 0 of 4 steps are done.", BY_ITSELF)

    SagaExecution.objects.filter(pk=execution.pk).update(wants="cancel")
    then = "As soon as the step under way has ended, what was done is undone."
    assert verdict(execution) == ("busy", "It is about to be cancelled.", then)


def test_a_booking_that_nobody_has_begun(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)

    advice = "A worker takes it up by itself. If that takes minutes, look whether workers are running."
    assert verdict(execution) == ("busy", "It is waiting for a worker; nothing has begun yet.", advice)


def test_a_payment_that_is_being_undone(plant):
    plant("email", "send", "refuse")
    plant("payments", "refund", "throttle", latency_ms=3_600_000)
    execution = pay(max_seconds=0.5)

    headline = (
        f"It is being undone: the next attempt to undo “Process payment” is at {moment_in_words(execution.due_at)}."
    )
    advice = "“Send receipt” failed for good, so what was done before is undone, last step first."
    assert execution.state is SagaState.COMPENSATING
    assert verdict(execution) == ("busy", headline, advice)

    SagaExecution.objects.filter(pk=execution.pk).update(leased=True, failed_step="")
    advice = "Somebody asked for it; what was done is undone, last step first."
    assert verdict(execution) == ("busy", "It is being undone: “Process payment”.", advice)


def test_an_undo_that_is_set_aside_tells_when_and_until_when_it_is_tried(plant, clock):
    plant("email", "send", "refuse")
    plant("payments", "refund", "effect_then_lose_reply", remaining=99)
    execution = pay()
    undos = execution.step_executions.filter(step="process_payment", direction=Direction.COMPENSATION)
    since = undos.order_by("sequence")[3].finished_at
    until = moment_in_words(since + dt.timedelta(seconds=get_settings().COMPENSATION_PATIENCE))
    headline = "The undo of “Process payment” does not get through."

    assert execution.state is SagaState.COMPENSATING
    next_at = moment_in_words(execution.due_at)
    advice = f"It is tried again by itself at {next_at}, and again until {until}; after that a person has to see to it."
    assert verdict(execution) == ("doubt", headline, advice)
    SagaExecution.objects.filter(pk=execution.pk).update(leased=True)
    assert verdict(execution) == (
        "doubt",
        headline,
        f"It is tried again now, and then again and again until {until}.",
    )


def test_an_invoice_that_cannot_be_cancelled_comes_with_what_the_provider_answered(plant):
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")
    execution = book()
    found = case(execution)

    advice = (
        "A person has to see to it: below is what the provider answered, and what can be done there. "
        "When it is done, resolve the step by hand with the evidence; or have the undo tried again."
    )
    headline = "It could not be undone altogether. This stands, or may stand: “Create nf”."
    assert verdict(execution) == ("bad", headline, advice)
    number = execution.context["invoice_number"]
    [line] = found.not_undone
    assert line.sentence == "Create nf could not be undone; a person has to see to it."
    assert dict(line.references)["invoice_number"] == number
    assert f"It is too late to cancel invoice {number} by web service (E523)." in line.why
    assert "Ask the city's tax office to cancel it, in its portal. At the latest on 20" in line.why
    assert line.why.endswith(f" https://portal.invoices.example/nfse/{number}")
    assert sentences(found.undone) == [
        "A cancellation was sent to [customer_email].",
        "A cancellation was sent by WhatsApp to [customer_phone].",
    ]


def test_a_booking_that_a_person_holds(plant, orchestrator):
    throttled(plant)
    execution = book(max_seconds=0)
    orchestrator.hold(execution.saga_id, reason="waiting for +55 11 98765-4321", by=ANA)

    assert verdict(execution) == (
        "bad",
        "It is held by ana: nothing goes on until a person releases it.",
        "Release it when it may go on. The reason given: waiting for [customer_phone]",
    )


def test_a_reason_is_told_without_what_was_a_personal_value_before_it_was_corrected(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    orchestrator.hold(execution.saga_id, reason="customer@example.com is wrong", by=ANA)
    orchestrator.correct_input(execution.saga_id, BOOKING | {"customer_email": "other@example.com"}, by=ANA)

    advice = "Release it when it may go on. The reason given: [customer_email] is wrong"
    assert verdict(execution)[2] == advice


def test_a_booking_held_by_somebody_who_gave_no_reason(orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    orchestrator.hold(execution.saga_id)

    headline = "It is held by somebody: nothing goes on until a person releases it."
    assert verdict(execution) == ("bad", headline, "Release it when it may go on.")


def test_what_the_engine_holds_in_doubt(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("pay", lost(), pivot=True, idempotent=False, undo=None))
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert verdict(execution) == (
        "doubt",
        "It is held, and nobody knows whether this was done: “Pay”.",
        "Find out at the provider, then resolve the step by hand with the evidence.",
    )


MEND = "Mend the cause, then release it; or resolve the step by hand. What the engine said: "


def test_what_failed_after_the_point_of_no_return(stage, registered, orchestrator):
    saga = registered(stage.step("pay", pivot=True, undo=None), stage.step("mail", StepFailed("no"), undo=None))
    execution = orchestrator.execute(new_id(), "trip", saga)

    headline = "It is held: “Mail” failed for good, after the point of no return."
    assert verdict(execution) == ("bad", headline, MEND + execution.held)


def test_what_cannot_be_entered_into_our_own_records(stage, registered, orchestrator):
    def refuse(*_):
        raise ValueError("no such booking")

    saga = registered(stage.step("a"), on_change=refuse)
    execution = orchestrator.execute(new_id(), "trip", saga)

    headline = "It is held: what follows from it could not be entered into our own records."
    assert verdict(execution) == ("bad", headline, MEND + execution.held)


def test_a_step_that_is_not_defined_any_more(stage, registered, orchestrator):
    saga = registered(stage.step("a", KeyError("x"), retry_delay=60, max_delay=60), stage.step("b"))
    execution = orchestrator.execute(new_id(), "trip", saga, max_seconds=0)
    registered(stage.step("a"))
    SagaExecution.objects.filter(pk=execution.pk).update(due_at="2020-01-01T00:00Z")
    execution = orchestrator.resume(execution.saga_id)

    headline = "It is held: it was planned with what does not exist any more, “B”."
    assert verdict(execution) == ("bad", headline, MEND + execution.held)


def test_an_undo_that_keeps_killing_its_worker(stage, registered, orchestrator):
    """The rows that are left when a worker has died of it three times."""
    saga = registered(
        stage.step("a", undo=[KeyError("x")], retry_delay=60, max_delay=60), stage.step("b", StepFailed(""))
    )
    execution = orchestrator.execute(new_id(), "trip", saga, max_seconds=0.3)
    held, kind = "The undo of step 'a' keeps killing its worker.", SagaEvent.Kind.HELD
    with unguarded():
        StepRun.objects.filter(execution=execution, direction=Direction.COMPENSATION).update(ending="poison")
    SagaEvent.objects.create(execution=execution, kind=kind, version=9, data={"held": held, "cause": "engine"})
    SagaExecution.objects.filter(pk=execution.pk).update(held=held)

    assert verdict(execution) == ("bad", "It is held: the undo of “A” keeps breaking down.", MEND + held)


def test_a_saga_that_is_not_registered_here(stage, registered, orchestrator):
    saga = registered(stage.step("a", {"id": 1}), stage.step("b", StepFailed("for ana@example.com")))
    execution = orchestrator.execute(new_id(), "trip", saga)
    registered.forget()
    waiting = SagaExecution.objects.create(saga_id=new_id(), saga_name="trip", plan=["a"])

    advice = "What follows is told from its history alone; personal values cannot be told from others and are left out."
    assert verdict(execution) == ("bad", "It has ended: Failed. Its saga, trip, is not registered here.", advice)
    assert verdict(waiting) == ("bad", "It cannot go on here: its saga, trip, is not registered.", advice)
    assert [line.why for line in case(execution).others] == [""]
    assert [line.why for line in case(execution, personal=True).others] == ["for ana@example.com"]
    assert sentences(case(execution).undone) == ["A is undone."]


def test_what_can_be_said_in_full_takes_few_queries(plant, django_assert_max_num_queries):
    plant("calendar", "add", "refuse")
    execution = SagaExecution.objects.get(pk=book().pk)
    history = history_of(execution)

    with django_assert_max_num_queries(3):
        case_of(execution, CREATE_BOOKING_SAGA, history, personal=False)
