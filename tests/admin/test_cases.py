"""The page of an execution that has ended: its headline, its advice, and the group of each step."""

import datetime as dt

import pytest
from django.utils import formats, timezone
from django.utils.translation import override

from integrations.models import SandboxEffect
from sagas import StepFailed
from sagas.models import SagaExecution
from sagas.presentation.execution_view import view_of
from sagas.presentation.overview import overview_of
from sagas.presentation.redactor import redactor_for
from tests.support import lost, new_id

from .cases import ANA, book, case, pay, scene, sentences, verdict, waiting

pytestmark = pytest.mark.django_db

DECLINED = "pm_card_chargeDeclined"
NOTHING_TO_CLEAN_UP = "Nothing to clean up. It can be retried."


def test_a_booking_that_stands():
    execution = book()
    found = case(execution, personal=True)

    assert verdict(execution) == ("good", "Everything is done.", "Nothing to do.")
    number, event = execution.context["invoice_number"], execution.context["event_id"]
    assert sentences(found.done)[:2] == [
        f"Invoice {number} for R$ 420.00 was issued.",
        "The confirmation was sent to customer@example.com.",
    ]
    assert dict(found.done[0].references)["invoice_number"] == number
    assert found.done[3].references == (("event_id", event),)
    assert (found.compensated, found.in_doubt, found.not_compensated, found.others) == ((), (), (), ())
    assert [line.at for line in found.done] == [run.finished_at for run in execution.step_executions]


def test_a_payment_that_was_made_without_what_is_optional(plant):
    plant("analytics", "track", "refuse")
    execution = pay()

    optional = "It is optional: nothing else depends on it."
    assert verdict(execution) == ("good", "Done, without “Entry in the statistics”.", optional)
    assert [line.why for line in case(execution).others] == ["The provider refuses the request (refused)"]


def test_a_payment_of_whose_report_nobody_knows(plant, clock):
    plant("analytics", "track", "effect_then_lose_reply", remaining=9)
    execution = pay()

    assert verdict(execution) == (
        "doubt",
        "Done, but we don't know whether this was done: “Entry in the statistics”.",
        "It is optional: nothing else depends on it.",
    )


def test_a_booking_that_failed_and_is_undone(plant):
    plant("calendar", "add", "refuse")
    execution = book()
    found = case(execution)

    headline = "Failed at “Calendar entry”. Everything that was done before is undone."
    assert verdict(execution) == ("bad", headline, NOTHING_TO_CLEAN_UP)
    assert sentences(found.compensated) == [
        "The invoice for R$ 420.00 was cancelled.",
        "A cancellation was sent to [customer_email].",
        "A cancellation was sent by WhatsApp to [customer_phone].",
    ]
    assert [(line.sentence, line.why) for line in found.others] == [
        ("City tour could not be added to the calendar.", "The provider refuses the request (refused)")
    ]


def test_a_declined_card_leaves_nothing_to_undo():
    headline = "Failed at “Charge”. There was nothing to undo."

    assert verdict(pay(payment_method=DECLINED)) == ("bad", headline, NOTHING_TO_CLEAN_UP)


def test_a_failure_that_nobody_has_looked_at_yet(plant, clock):
    plant("invoices", "issue", "fail_before", remaining=9)
    execution = book()

    assert verdict(execution) == (
        "bad",
        "Failed at “Invoice”. There was nothing to undo.",
        "Look at the last answer below. Fix the cause and retry, or acknowledge it.",
    )


def test_what_has_no_undo_stays(stage, registered, orchestrator):
    saga = registered(stage.step("send_letter", undo=None), stage.step("pay", StepFailed("declined")))
    execution = orchestrator.execute(new_id(), "trip", saga)

    headline = "Failed at “Pay”. This cannot be undone and stays: “Send letter”."
    assert verdict(execution) == ("bad", headline, NOTHING_TO_CLEAN_UP)
    assert sentences(case(execution).done) == ["Send letter is done."]


def test_what_is_in_doubt_and_has_no_undo(stage, registered, orchestrator):
    saga = registered(stage.step("send_letter", lost(), undo=None, retry_count=0))
    execution = orchestrator.execute(new_id(), "trip", saga)

    assert verdict(execution) == (
        "doubt",
        "Failed, and we don't know whether this was done: “Send letter”.",
        "It cannot be undone. Check with the provider whether it was done.",
    )
    assert [line.why for line in case(execution).in_doubt] == ["the answer got lost"]


def test_a_cancelled_booking_tells_by_whom_and_why(plant, orchestrator):
    execution = waiting(plant)
    orchestrator.cancel(execution.saga_id, reason="customer@example.com called", by=ANA)

    headline = "Cancelled by ana. Nothing is left."
    assert verdict(execution) == ("bad", headline, "Reason: [customer_email] called")
    assert verdict(execution, personal=True) == ("bad", headline, "Reason: customer@example.com called")


def test_a_cancelled_booking_without_a_name_or_a_reason(plant, orchestrator):
    execution = waiting(plant)
    orchestrator.cancel(execution.saga_id)

    assert verdict(execution) == (
        "bad",
        "Cancelled by somebody. Nothing is left.",
        "Nothing to do.",
    )


def test_a_booking_undone_on_request(orchestrator):
    execution = book()
    orchestrator.compensate(execution.saga_id, reason="the wrong day", by=ANA)

    headline = "Undone by ana. Nothing is left."
    assert verdict(execution) == ("bad", headline, "Reason: the wrong day")


def test_a_payment_undone_on_request_tells_what_stays(orchestrator):
    execution = pay()
    orchestrator.compensate(execution.saga_id, reason="the wrong day", by=ANA)

    left = "This cannot be undone and stays: “Receipt by e-mail”, “Entry in the statistics”."
    assert verdict(execution) == ("bad", f"Undone by ana. {left}", "Reason: the wrong day")


def test_a_cancel_that_leaves_something(stage, registered, orchestrator):
    retry_at_leisure = {"retry_delay": 60, "max_delay": 60}
    saga = registered(stage.step("send_letter", undo=None), stage.step("pay", KeyError("x"), **retry_at_leisure))
    execution = orchestrator.execute(new_id(), "trip", saga, max_seconds=0)
    while not execution.step_executions.filter(step="pay").exists():
        execution = orchestrator.resume(execution.saga_id, max_seconds=0.05)
    orchestrator.cancel(execution.saga_id, by=ANA)

    headline = "Cancelled by ana. This cannot be undone and stays: “Send letter”."
    assert verdict(execution) == ("bad", headline, "Nothing to do.")


def test_an_invoice_that_cannot_be_cancelled_shows_the_providers_answer(plant):
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")
    execution = book()
    found = case(execution)

    advice = "Below is what the provider answered. Undo it there and mark the step as resolved, or retry."
    headline = "Could not be undone: “Invoice”."
    assert verdict(execution) == ("bad", headline, advice)
    number = execution.context["invoice_number"]
    [line] = found.not_compensated
    assert line.sentence == f"Invoice {number} for R$ 420.00 could not be cancelled and is still valid."
    assert dict(line.references)["invoice_number"] == number
    assert f"It is too late to cancel invoice {number} by web service (E523)." in line.why
    asked = "Ask the city's tax office to cancel it, in its portal."
    assert line.why.endswith(f"{asked} https://portal.invoices.example/nfse/{number}")
    assert sentences(found.compensated) == [
        "A cancellation was sent to [customer_email].",
        "A cancellation was sent by WhatsApp to [customer_phone].",
    ]


BY_HAND = {
    "en": "The city's tax office can cancel invoice {number} until {until}; request it in the office's portal.",
    "pt-br": "A prefeitura pode cancelar a nota fiscal {number} até {until}; faça o pedido no portal dela.",
}


@pytest.mark.parametrize("language", BY_HAND)
def test_a_deadline_is_shown_in_the_readers_time_zone_and_language(language):
    execution = scene("create_booking", "too-late")
    issued = SandboxEffect.objects.get(operation="issue").created_at

    with override(language), timezone.override("Asia/Tokyo"):
        until = formats.date_format(timezone.localtime(issued + dt.timedelta(days=5)), "DATETIME_FORMAT")
        [line] = case(execution).not_compensated

    assert line.by_hand == BY_HAND[language].format(number=execution.context["invoice_number"], until=until)


def test_what_a_person_can_do_is_told_only_of_an_undo_that_was_refused(plant, orchestrator, clock, settings):
    refused = scene("collect_payment", "partial")
    plant("email", "send", "refuse")
    plant("payments", "refund", "effect_then_lose_reply", remaining=10_000)
    settings.SAGAS = settings.SAGAS | {"COMPENSATION_PATIENCE": 2}
    in_doubt = pay()
    clock.advance(3600)
    orchestrator.resume(in_doubt.saga_id)

    [doubtful], [line] = case(in_doubt).not_compensated, case(refused).not_compensated
    assert doubtful.by_hand == ""
    assert line.by_hand == "Refund R$ 420.00 in the payment gateway's dashboard, or by bank transfer."


def test_a_saga_that_is_not_registered_here(stage, registered, orchestrator):
    saga = registered(stage.step("a", {"id": 1}), stage.step("b", StepFailed("for ana@example.com")))
    execution = orchestrator.execute(new_id(), "trip", saga)
    registered.forget()
    waiting = SagaExecution.objects.create(saga_id=new_id(), saga_name="trip", plan=["a"])

    advice = "Only its history can be shown. Texts that may have personal values are left out."
    assert verdict(execution) == ("bad", "Ended: Failed. Its saga, trip, is not registered here.", advice)
    assert verdict(waiting) == ("bad", "It cannot go on here: its saga, trip, is not registered.", advice)
    assert [line.why for line in case(execution).others] == [""]
    assert [line.why for line in case(execution, personal=True).others] == ["for ana@example.com"]
    assert sentences(case(execution).compensated) == ["A is undone."]


def test_what_can_be_said_in_full_takes_few_queries(plant, django_assert_max_num_queries):
    plant("calendar", "add", "refuse")
    execution = SagaExecution.objects.get(pk=book().pk)
    view = view_of(execution)

    with django_assert_max_num_queries(3):
        overview_of(view, redactor_for(execution, view.saga, personal=False))
