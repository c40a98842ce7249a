"""The list as a CSV file: who may export it, what it contains, and the event that records the export."""

import csv
import io
import logging

import pytest
from django.contrib.auth.models import Permission

from sagas.models import SagaExecution
from sagas.operations import Operation, perform
from tests.support import run_saga

from .pages import LIST, PERSONAL, book, count_questions, fill, text_of

EXPORT = f"{LIST}export/"


def rows_of(response):
    """Return the file's rows as dicts, with the names of its first line as keys."""
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = response.getvalue().decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def select(client, *saga_ids, action="export_selected"):
    pks = SagaExecution.objects.filter(saga_id__in=saga_ids).values_list("pk", flat=True)
    return client.post(LIST, {"action": action, "index": "0", "_selected_action": list(pks)})


def test_the_whole_list_is_exported_with_all_it_says(supervisor):
    booked = book()
    (row,) = rows_of(supervisor.get(EXPORT))
    context = booked.context

    assert {name: row[name] for name in list(row)[:11]} == {
        "saga_id": "b-1",
        "saga": "create_booking",
        "what": "Your booking of City tour on Dec. 1, 2030, 10 a.m. is confirmed.",
        "references": "; ".join(
            f"{key}: {context[key]}"
            for key in ("sale_id", "customer_email", "invoice_ref", "invoice_number", "event_id")
        ),
        "state": "succeeded",
        "held": "",
        "needs_attention": "no",
        "priority": "normal",
        "steps_done": "4",
        "steps": "4",
        "failed_step": "",
    }
    assert list(row)[11:] == ["created_at", "started_at", "finished_at", "duration_seconds", "next_attempt_at"]
    assert row["created_at"].endswith("-03:00")
    assert float(row["duration_seconds"]) == pytest.approx(booked.duration(), abs=0.001)
    assert row["next_attempt_at"] == ""


@pytest.mark.usefixtures("every_kind")
def test_the_export_is_of_the_list_as_it_is_narrowed_down(supervisor):
    rows = rows_of(supervisor.get(f"{EXPORT}?state=failed&state=partially_compensated"))

    assert [row["saga_id"] for row in rows] == ["undone-in-part", "failed-unexpectedly", "failed"]
    assert f'href="{EXPORT}?state=failed"' in supervisor.get(f"{LIST}?state=failed").content.decode()


@pytest.mark.usefixtures("every_kind")
def test_a_selection_is_exported(supervisor):
    assert [row["saga_id"] for row in rows_of(select(supervisor, "held", "failed"))] == ["held", "failed"]


@pytest.mark.usefixtures("every_kind")
def test_who_may_not_export_is_offered_nothing_and_refused(support):
    assert "export" not in support.get(LIST).content.decode().lower()
    assert support.get(EXPORT).status_code == 403
    assert select(support, "held").status_code == 403


def test_what_is_personal_is_not_in_the_file_of_who_may_not_see_it(support):
    support.user.user_permissions.add(Permission.objects.get(codename="export_saga"))
    book()
    text = support.get(EXPORT).getvalue().decode()

    assert "customer_email: [customer_email]" in text
    assert [value for value in PERSONAL if value.lower() in text.lower()] == []


def test_why_it_is_held_does_not_quote_what_was_corrected(support, stage, registered):
    support.user.user_permissions.add(Permission.objects.get(codename="export_saga"))
    saga = registered(stage.step("a"), stage.step("b"), personal=["email"])
    execution = run_saga(saga, context={"email": "ana.old@example.com"}, max_seconds=0)
    perform(Operation.HOLD, execution.saga_id)
    perform(Operation.CORRECT, execution.saga_id, context={"email": "ana.new@example.com"})
    perform(Operation.RELEASE, execution.saga_id)
    perform(Operation.HOLD, execution.saga_id, reason="it was ana.old@example.com")

    assert rows_of(support.get(EXPORT))[0]["held"] == "Held by an operator: it was [email]"


@pytest.mark.parametrize(
    "begins",
    [
        *("=", "+", "-", "@", "\t", "\r", "\n"),
        *(" =", "\n=", "\t \r@", "\u00a0+", "\u3000="),
        *("\uff1d", "\uff0b", "\uff0d", "\uff20", " \uff1d"),
    ],
)
def test_a_value_that_a_spreadsheet_would_take_for_a_formula_becomes_text(supervisor, begins):
    book()
    SagaExecution.objects.update(held=f"{begins}cmd|' /C calc'!A0", needs_attention=True)

    assert rows_of(supervisor.get(EXPORT))[0]["held"] == f"'{begins}cmd|' /C calc'!A0"


@pytest.mark.parametrize("begins", ["=", " -", "\t@"])
def test_a_semicolon_which_begins_a_cell_in_brazil_begins_no_formula(supervisor, begins):
    book(sale_id="SALE;=1+1")
    SagaExecution.objects.update(held=f"no; really;{begins}cmd|' /C calc'!A0", needs_attention=True)
    (row,) = rows_of(supervisor.get(EXPORT))

    assert row["held"] == f"no; really;'{begins}cmd|' /C calc'!A0"
    assert row["references"].startswith("sale_id: SALE;'=1+1; customer_email: ")


def test_what_cannot_be_a_list_is_no_file_of_everything(supervisor):
    book()

    assert supervisor.get(f"{EXPORT}?state=gone").status_code == 400


def test_an_export_is_logged_with_who_and_how_many(auditor, caplog):
    book()
    with caplog.at_level(logging.INFO, logger="sagas"):
        auditor.get(EXPORT).getvalue()

    assert [record.getMessage() for record in caplog.records if "export" in record.getMessage()] == [
        "export.made by=aldo rows=1 personal=True"
    ]


def test_a_download_that_breaks_off_is_logged_too(auditor, caplog):
    fill(3)
    with caplog.at_level(logging.INFO, logger="sagas"):
        response = auditor.get(EXPORT)
        lines = iter(response.streaming_content)
        for _ in range(3):
            next(lines)
        response.close()

    assert caplog.records[-1].getMessage() == "export.made by=aldo rows=2 personal=True"


def test_rows_are_fetched_a_few_at_a_time_each_of_them_once(supervisor):
    fill(1201)
    SagaExecution.objects.update(created_at="2026-01-01T00:00:00Z")
    rows = [row["saga_id"] for row in rows_of(supervisor.get(EXPORT))]

    assert sorted(rows) == sorted(f"x-{n}" for n in range(1201))


def test_the_file_is_made_while_it_is_read(supervisor):
    fill(1201)

    assert count_questions(supervisor, EXPORT) < 30
    assert supervisor.get(EXPORT).streaming


def test_the_columns_are_explained_beside_the_link(supervisor):
    page = text_of(supervisor.get(LIST))

    assert "Export this list as CSV Export all rows of this list, on all its pages" in page
    assert "next_attempt_at When its next attempt is due." in page
