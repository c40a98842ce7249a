"""The list of executions: its rows, its filters, and its search box."""

import datetime as dt
import re

import pytest
from django.db.models.expressions import RawSQL

from sagas import OutcomeUnknown, SagaState, StepFailed
from sagas.engine import history
from sagas.engine.leased_execution import load_history
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.support import html, run

from .pages import LIST, PERSONAL, book, count_questions, fill, ids_in, line_of, text_of


def test_a_line_tells_in_words_what_it_is_whose_it_is_and_how_it_stands(supervisor):
    book()
    response = supervisor.get(LIST)

    assert line_of(response, "b-1") == [
        "Your booking of City tour on Dec. 1, 2030, 10 a.m. is confirmed. Create booking",
        "Succeeded 4 of 4 done",
        f"SALE-001 Ana.Souza@example.com {' '.join(references('b-1'))}",
        "0 minutes ago",
    ]


def references(saga_id):
    """Return the providers' references from the booking's context."""
    context = SagaExecution.objects.get(saga_id=saga_id).context
    return [str(context[key]) for key in ("invoice_ref", "invoice_number", "event_id")]


def test_what_is_personal_is_not_on_the_page_of_who_may_not_see_it(support, supervisor):
    book()
    shown, told = supervisor.get(LIST).content.decode(), support.get(LIST).content.decode()

    assert "Ana.Souza@example.com" in shown
    assert "[customer_email]" in told
    assert [value for value in PERSONAL if value.lower() in told.lower()] == []


@pytest.mark.usefixtures("every_kind", "known")
def test_each_line_tells_how_far_it_is_and_when_it_goes_on(supervisor):
    response = supervisor.get(LIST)

    lines = {
        saga_id: line_of(response, saga_id) for saga_id in ("failed", "waiting", "held", "in-hand", "compensating")
    }
    told = {saga_id: [line[1], line[3]] for saga_id, line in lines.items()}
    assert told == {
        "failed": ["Failed 1 of 2 done Failed: B", "0 minutes ago"],
        "waiting": ["In progress step 1 of 1", "0 minutes ago Next attempt in 59 minutes"],
        "held": ["On hold Needs attention step 1 of 1", "0 minutes ago"],
        "in-hand": ["In progress step 1 of 1", "0 minutes ago Running"],
        "compensating": ["Undoing 1 of 2 done Failed: B", "0 minutes ago Next attempt in 59 minutes"],
    }


FILTERS = {
    "state=failed": {"failed", "failed-unexpectedly"},
    "state=failed&state=partially_compensated": {"failed", "failed-unexpectedly", "undone-in-part"},
    "needs_attention=yes": {"failed-unexpectedly", "undone-in-part", "held"},
    "needs_attention=no": {"succeeded", "old", "failed", "waiting", "compensating", "in-hand"},
    "now=compensating": {"compensating"},
    "now=waiting": {"waiting"},
    "now=running": {"in-hand"},
    "now=in_doubt": set(),
    "saga=tour": {"failed-unexpectedly"},
    "saga=no_such_saga": set(),
    "failed_step=b": {"failed", "undone-in-part", "compensating"},
    "failed_step=b&state=failed": {"failed"},
    "error=StepFailed": {"failed", "undone-in-part", "compensating"},
    "error=KeyError": {"failed-unexpectedly"},
    "error=NoSuchError": set(),
    "held=yes": {"held"},
    "priority=2": {"waiting"},
    "ended=day": {"succeeded", "failed", "failed-unexpectedly", "undone-in-part"},
}


@pytest.mark.usefixtures("every_kind", "known")
@pytest.mark.parametrize("query", FILTERS)
def test_the_list_is_narrowed_down(supervisor, query):
    assert set(ids_in(supervisor.get(f"{LIST}?{query}"))) == FILTERS[query]


@pytest.mark.usefixtures("every_kind", "known")
def test_the_choices_are_those_that_there_are(supervisor):
    page = supervisor.get(LIST).content.decode()

    assert re.findall(r"\?error=(\w+)", page) == ["KeyError", "StepFailed"]
    assert re.findall(r"\?failed_step=(\w+)", page) == ["a", "b"]
    assert re.findall(r"\?saga=(\w+)", page) == ["collect_payment", "create_booking", "tour", "trip"]


HEADINGS = {
    "en": ["State", "Needs attention", "Activity", "Kind", "Failed step", "Error", "On hold", "Priority", "Finished"],
    "pt-br": [
        "Estado",
        "Precisa de atenção",
        "Atividade",
        "Tipo",
        "Etapa que falhou",
        "Erro",
        "Pausado",
        "Prioridade",
        "Terminada",
    ],
}


@pytest.mark.usefixtures("every_kind", "known")
@pytest.mark.parametrize("language", HEADINGS)
def test_each_filter_has_a_heading_that_reads_well(supervisor, language):
    page = supervisor.get(LIST, headers={"accept-language": language})

    assert html.texts(page, "//details[@data-filter-title]/summary") == HEADINGS[language]


def test_a_state_is_added_to_those_chosen_and_taken_away_again(supervisor):
    page = supervisor.get(f"{LIST}?state=failed").content.decode()

    assert '<a href="?state=failed&amp;state=succeeded">Succeeded</a>' in page
    assert '<a href="?">Failed</a>' in page


@pytest.mark.parametrize(
    "query", ["state=gone", "needs_attention=perhaps", "now=later", "priority=9", "p=0", "p=201", "error=%00",
              "created_at__year=x", "created_at__year=9999", "created_at__year=99999999999999999999",
              "created_at__year=2026&created_at__month=13",
              "created_at__month=5", "created_at__year=2026&created_at__day=5"],
)  # fmt: skip
def test_what_is_no_filter_shows_the_whole_list_and_says_so(supervisor, query):
    response = supervisor.get(f"{LIST}?{query}")

    assert (response.status_code, response.url) == (302, f"{LIST}?e=1")


@pytest.mark.parametrize("lookup", ["context__contains", "input__icontains", "references__value", "owner__password"])
def test_no_other_column_can_be_asked_for(support, lookup):
    assert support.get(LIST, {lookup: "ana"}).status_code == 400


def test_an_error_that_an_earlier_run_ended_with_does_not_count_any_more(supervisor, registered, stage):
    step = stage.step("a", KeyError("x"), {}, retry_count=0)
    registered(step, name="trip")
    run(step, saga_id="mended")
    get_saga_orchestrator().retry_failed("mended")

    assert ids_in(supervisor.get(f"{LIST}?error=KeyError")) == []


@pytest.mark.parametrize(
    "wanted",
    ["b-1", "  B-1 ", "sale-001", "Sale-001", "ana.souza@EXAMPLE.com", "\tAna.Souza@example.com\n", "{invoice}"],
)
def test_one_hit_leads_to_its_case(supervisor, wanted):
    booked = book()
    book("b-2", sale_id="SALE-002", customer_email="bia@example.com")
    response = supervisor.get(LIST, {"q": wanted.format(invoice=booked.context["invoice_ref"])})

    assert (response.status_code, response.url) == (302, f"{LIST}{booked.pk}/change/")


def test_a_customer_with_two_bookings_is_shown_both_newest_first(supervisor):
    book()
    book("b-2", sale_id="SALE-002")

    assert ids_in(supervisor.get(LIST, {"q": "ana.souza@example.com"})) == ["b-2", "b-1"]


def test_a_search_that_a_filter_spoils_offers_to_search_everywhere(supervisor):
    book()
    page = supervisor.get(LIST, {"q": "SALE-001", "state": "failed"})

    assert "Nothing was found among these. Search among all executions." in text_of(page)
    assert '<a href="?q=SALE-001">' in page.content.decode()


def test_the_search_keeps_the_filters(supervisor):
    page = supervisor.get(f"{LIST}?state=failed&state=succeeded").content.decode()

    assert (
        '<input type="hidden" name="state" value="failed"><input type="hidden" name="state" value="succeeded">' in page
    )


def test_the_link_to_a_case_keeps_the_filters_for_the_way_back(supervisor):
    booked = book()
    page = supervisor.get(f"{LIST}?state=succeeded").content.decode()

    assert f'href="{LIST}{booked.pk}/change/?_changelist_filters=state%3Dsucceeded"' in page


def test_the_number_of_questions_does_not_grow_with_the_rows(supervisor):
    book()
    supervisor.get(LIST)
    few = count_questions(supervisor, LIST)
    for number in range(2, 8):
        book(f"b-{number}", sale_id=f"SALE-{number}")

    assert count_questions(supervisor, LIST) == few


def test_pages_are_turned_one_by_one_and_the_other_end_is_one_step_away(supervisor):
    fill(120)
    first, second, third = (supervisor.get(f"{LIST}?p={number}") for number in (1, 2, 3))
    last = supervisor.get(f"{LIST}?o=4")

    assert ids_in(first) + ids_in(second) + ids_in(third) == [f"x-{n}" for n in range(120)]
    assert "Executions 1 to 50 of 120 Next page Oldest first" in text_of(first)
    assert "Executions 51 to 100 of 120 Previous page Next page Oldest first" in text_of(second)
    assert "Executions 101 to 120 of 120 Previous page Oldest first" in text_of(third)
    assert ids_in(last) == [f"x-{n}" for n in range(119, 69, -1)]
    assert "Executions 1 to 50 of 120 Next page Newest first" in text_of(last)
    assert '<a href="?o=4">Oldest first</a>' in first.content.decode()


def test_at_most_a_thousand_rows_are_counted_and_one_page_selected(supervisor):
    fill(1001)
    page = supervisor.get(LIST)

    assert "Executions 1 to 50 of more than 1,000" in text_of(page)
    assert "Select all" not in text_of(page).replace("Select all objects on this page for an action", "")


def test_the_way_down_to_a_day_leads_over_the_months_that_there_are(supervisor):
    fill(2)
    SagaExecution.objects.filter(saga_id="x-0").update(created_at=dt.datetime(2026, 3, 1, 2, 59, tzinfo=dt.UTC))
    SagaExecution.objects.filter(saga_id="x-1").update(created_at=dt.datetime(2025, 12, 30, 12, tzinfo=dt.UTC))

    def days(query):
        page = supervisor.get(f"{LIST}?{query}").content.decode()
        nav = page[page.index("saga-days") :].partition("</nav>")[0]
        return html.text_of("<nav>" + nav.partition(">")[2])

    assert days("") == "Started 2025 2026"
    assert days("created_at__year=2026") == "Started ‹ All dates January 2026 February 2026"
    assert days("created_at__year=2025&created_at__month=12") == "Started ‹ 2025 December 30 December 31"
    assert days("created_at__year=2026&created_at__month=2&created_at__day=28") == "Started ‹ February 2026 February 28"
    # At 2:59 UTC on March 1 it is still February 28 in the local time zone.
    on_that_day = supervisor.get(f"{LIST}?created_at__year=2026&created_at__month=2&created_at__day=28")
    assert ids_in(on_that_day) == ["x-0"]


def test_an_unregistered_saga_is_listed_without_personal_values(support, supervisor, stage):
    run(stage.step("a", {"email": "ana@example.com"}), saga_id="gone", name="former")
    SagaExecution.objects.get(saga_id="gone").references.create(key="email", value="ana@example.com")

    assert line_of(supervisor.get(LIST), "gone")[:3] == [
        "Your request has been carried out. Former",
        "Succeeded 1 of 1 done",
        "ana@example.com",
    ]
    assert line_of(support.get(LIST), "gone")[2] == "–"
    assert "ana@" not in support.get(LIST).content.decode()


def test_a_row_that_cannot_be_read_is_listed_without_what_may_be_personal(support):
    book()
    book("b-2", sale_id="SALE-002")
    SagaExecution.objects.filter(saga_id="b-1").update(context=RawSQL("%s", ["{"]), plan=RawSQL("%s", ["7"]))
    response = support.get(LIST)

    assert line_of(response, "b-1")[1:3] == ["Succeeded", "–"]
    assert line_of(response, "b-2")[1] == "Succeeded 4 of 4 done"
    assert [value for value in PERSONAL if value.lower() in response.content.decode().lower()] == []


def test_nothing_in_a_row_becomes_markup(supervisor):
    book(description="<script>alert(1)</script>", sale_id="<b>SALE</b>")
    page = supervisor.get(LIST).content.decode()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;SALE&lt;/b&gt;" in page


def test_who_may_not_see_executions_sees_no_list(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))

    assert client.get(LIST).status_code == 403
    assert client.get("/admin/sagas/operations/").status_code == 403


DOUBTS = {
    "held-pivot": True,
    "undo-unknown": True,
    "left-in-doubt": True,
    "undone": False,
    "refused": False,
}


def test_in_doubt_are_those_that_stopped_with_a_step_of_which_nobody_knows(supervisor, stage):
    lost = OutcomeUnknown("lost")
    stuck = {"retry_count": 0, "compensation_retry_count": 0}
    run(stage.step("a", lost, undo=None, pivot=True, retry_count=0), saga_id="held-pivot")
    run(stage.step("a", lost, undo=None, retry_count=0), saga_id="left-in-doubt")
    run(stage.step("a", lost, **stuck), saga_id="undone")
    run(stage.step("a", StepFailed("no")), saga_id="refused")
    run(stage.step("a", undo=[lost, StepFailed("no")], compensation_retry_count=1, retry_count=0),
        stage.step("b", StepFailed("no")), saga_id="undo-unknown")  # fmt: skip

    found = set(ids_in(supervisor.get(f"{LIST}?now=in_doubt")))
    rows = SagaExecution.objects.filter(saga_id__in=DOUBTS)
    assert {row.saga_id: row.state for row in rows} == {
        "held-pivot": SagaState.IN_PROGRESS,
        "left-in-doubt": SagaState.FAILED,
        "undone": SagaState.FAILED,
        "refused": SagaState.FAILED,
        "undo-unknown": SagaState.PARTIALLY_COMPENSATED,
    }
    assert found == {saga_id for saga_id, doubt in DOUBTS.items() if doubt}
    assert {row.saga_id for row in rows if history.in_doubt(load_history(row))} <= found
