"""The page of an execution: what it shows, and the notes that users add."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sagas import StepFailed
from sagas.orchestrator import get_saga_orchestrator
from tests.support import html, lost, new_id
from tests.support.bookings import BOOKING
from tests.support.tampering import unguarded

from .cases import ANA, case_url, group, marks, pay, scene, text_of, url, waiting

pytestmark = pytest.mark.django_db


def test_the_page_tells_what_is_not_undone_and_what_to_do(support):
    execution = scene("create_booking", "partial")
    page = support.get(case_url(execution))

    told = text_of(page)
    assert "Create booking demo-create-booking-partial" in told
    assert "Partly undone Could not be undone: “Invoice”." in told
    number = execution.context["invoice_number"]
    assert f"Invoice number {number}" in told
    assert group(page, "Could not be undone") == [
        f"Invoice {number} for R$ 420.00 could not be cancelled and is still valid."
    ]
    assert group(page, "In doubt") == []
    assert group(page, "Done") == []
    assert group(page, "Undone") == [
        "A cancellation was sent to [customer_email].",
        "A cancellation was sent by WhatsApp to [customer_phone].",
    ]
    assert group(page, "Not done") == ["City tour of Sao Paulo could not be added to the calendar."]
    number = execution.context["invoice_number"]
    assert f'<a href="https://portal.invoices.example/nfse/{number}"' in page.content.decode()
    assert "Undo again" in told


def test_the_picture_tells_actions_undos_checks_and_words_of_people_apart(support, stage, registered, orchestrator):
    saga = registered(
        stage.step("a"),
        stage.step("b", lost(), retry_count=0, verify=[lost()], undo=[StepFailed("no")], timeout=0.01),
        stage.step("c"),
    )
    execution = orchestrator.execute(new_id(), "trip", saga)
    orchestrator.resolve_step(execution.saga_id, "b", "undone", evidence="their dashboard", reason="seen", by=ANA)

    assert marks(support.get(case_url(execution))) == [
        ("action", "succeeded"),
        ("action", "uncertain"),
        ("verify", "uncertain"),
        ("compensation", "failed"),
        ("compensation", "succeeded"),
        ("resolved", "succeeded"),
    ]


def test_each_attempt_is_in_the_table_with_its_answer(support, stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("pay", KeyError("id"), StepFailed("declined")))
    page = text_of(support.get(case_url(orchestrator.execute(new_id(), "trip", saga))))

    rows = page[page.index("The attempts of this run Step") :]
    assert re.search(
        r"Pay Action 1 Not done Another attempt was planned for [\d:]+ [\d:]+ [\d.]+ s Show KeyError: 'id'", rows
    )
    assert re.search(r"Pay Action 2 Not done Refused for good [\d:]+ [\d.]+ s Show declined", rows)
    assert re.search(r"A Undo 1 Undone [\d:]+ [\d.]+ s", rows)


def test_earlier_runs_are_folded_away(support, orchestrator):
    execution = pay(payment_method="pm_card_chargeDeclined")
    orchestrator.retry_failed(execution.saga_id, reason="she says that it works", by=ANA)
    page = support.get(case_url(execution))

    told = text_of(page)
    assert "Run 1 The attempts of run 1" in told
    assert "ana retried it. (command line) she says that it works" in told
    assert "State: “Failed” → “Pending”. Run 2 started." in told
    assert len(marks(page)) == 1


def test_events_say_who_when_from_where_why_and_what_changed(support, orchestrator):
    execution = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    orchestrator.hold(execution.saga_id, reason="customer@example.com called", by=ANA)
    changed = BOOKING | {"amount": "400.00", "customer_email": "new@example.com"}
    orchestrator.correct_input(execution.saga_id, changed, reason="a discount", by=ANA)
    at = timezone.localtime(execution.events.latest("pk").at)

    told = text_of(support.get(case_url(execution)))

    assert f"{at:%H:%M:%S} ana corrected the input. (command line) a discount" in told
    assert "Amount: 420.00 → 400.00" in told
    assert "Customer email: [customer_email] → [customer_email]" in told
    assert "ana put it on hold. (command line) [customer_email] called" in told


def test_what_a_person_said_of_a_step_is_told_with_the_evidence(support, orchestrator):
    execution = scene("create_booking", "partial")
    orchestrator.resolve_step(
        execution.saga_id, "create_nf", "undone", evidence="protocol 77", reason="the city did it", by=ANA
    )

    told = text_of(support.get(case_url(execution)))

    assert "ana recorded “Invoice” as undone. (command line) the city did it Evidence: protocol 77" in told
    assert "State: “Partly undone” → “Failed”." in told


def test_the_history_of_a_case_is_read_once(support, plant):
    execution = waiting(plant)

    with CaptureQueriesContext(connection) as asked:
        support.get(case_url(execution))

    from_runs = [query["sql"] for query in asked if ' FROM "sagas_steprun" ' in query["sql"]]
    assert len(from_runs) == 4  # this run's rows, the rows shown, their number, and the message of the last one
    assert len([query for query in asked if ' FROM "sagas_execution" ' in query["sql"]]) == 1


def test_an_event_that_cannot_be_read_is_told_by_its_column(support, stage, registered):
    registered(stage.step("a", pivot=True, undo=None), stage.step("b", StepFailed("no"), undo=None))
    execution = get_saga_orchestrator().execute("x", "trip")
    with unguarded():
        execution.events.update(data=RawSQL("%s", ["{"]))

    page = support.get(case_url(execution))

    assert "This execution cannot be read: its column “data” is damaged." in text_of(page)


def test_a_note_stays_with_the_case(support, plant):
    execution = waiting(plant)

    answer = support.post(url(execution, "note"), {"text": "She calls again at 9"}, follow=True)

    assert answer.redirect_chain == [(case_url(execution), 302)]
    assert "Note added." in answer.content.decode()
    assert re.search(r"Notes She calls again at 9 [\d:]+ · sara", text_of(answer))
    assert execution.events.values_list("kind", "source", "reason").get() == ("note", "admin", "She calls again at 9")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("  ", "The note is empty."),
        ("x" * 2001, "Ensure this value has at most 2000 characters (it has 2001)."),
        ("a\x00b", "Null characters are not allowed."),
    ],
)
def test_an_invalid_note_shows_the_error_at_its_field_and_is_kept(support, plant, written, said):
    execution = waiting(plant)

    answer = support.post(url(execution, "note"), {"text": written})

    assert answer.status_code == 200
    assert f"Add a note for your colleagues {said}" in text_of(answer)
    assert f"{written}</textarea>" in answer.content.decode()
    assert html.page_of(answer).xpath('//textarea[@name="text"]/@autofocus')
    assert not execution.events.exists()


def test_a_line_of_a_note_ends_with_one_character_as_a_browser_counts_it(support, plant):
    execution = waiting(plant)
    note = "she calls\n" * 199 + "at nine o'"

    assert support.post(url(execution, "note"), {"text": note.replace("\n", "\r\n")}).status_code == 302

    assert execution.events.get().reason == note


def test_an_auditor_looks_and_does_not_write(auditor, plant):
    execution = waiting(plant)
    page = auditor.get(case_url(execution))

    assert page.status_code == 200
    assert "Add note" not in text_of(page)
    assert auditor.post(url(execution, "note"), {"text": "seen"}).status_code == 403
    assert not execution.events.exists()


@pytest.mark.parametrize("what", ["note", "reveal"])
def test_nothing_is_written_by_a_get_or_from_elsewhere(supervisor, plant, what):
    execution = waiting(plant)
    stranger = Client(enforce_csrf_checks=True)
    stranger.force_login(supervisor.user)

    assert supervisor.get(url(execution, what), {"text": "x", "reason": "x"}).status_code == 405
    assert stranger.post(url(execution, what), {"text": "x", "reason": "x"}).status_code == 403
    assert not execution.events.exists()


@pytest.mark.parametrize("what", ["change", "live", "note", "reveal"])
def test_who_may_not_see_executions_sees_none(db, plant, what):
    execution = waiting(plant)
    outsider = Client()
    outsider.force_login(get_user_model().objects.create_user("otto", is_staff=True))

    answer = outsider.post(url(execution, what)) if what in ("note", "reveal") else outsider.get(url(execution, what))

    assert answer.status_code == 403


@pytest.mark.parametrize("what", ["change", "live"])
def test_there_is_no_page_of_what_does_not_exist(support, what):
    assert support.get(f"/admin/sagas/sagaexecution/12345/{what}/").status_code == 404


def test_the_page_needs_nothing_inline(support):
    page = support.get(case_url(scene("create_booking", "partial"))).content.decode()
    ours = page[page.index('<div id="content"') :]

    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|data:", ours)
