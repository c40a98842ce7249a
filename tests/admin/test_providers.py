"""The page of providers: how their recent calls ended, and which executions wait for them."""

import datetime as dt
import re

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import formats, timezone

from integrations.models import FaultMode
from sagas import OutcomeUnknown
from sagas.models import SagaExecution, StepRun, first_uuid_at
from sagas.orchestrator import get_saga_orchestrator
from tests.admin.conftest import words_of
from tests.support import html, run_saga
from tests.support.bookings import BOOKING, PAYMENT
from tests.support.query_plans import rows_read, scans, statements_of

from .pages import LIST, ids_in

DESK = "/admin/sagas/provider/"
QUICK = (
    "sagas_execution USING COVERING INDEX sagas_execution_due (priority=? AND due_at>?)",
    "sagas_steprun USING INDEX sqlite_autoindex_sagas_steprun_1 (id>?)",
    "U0 USING INTEGER PRIMARY KEY (rowid=?)",
)
NONE = "None in the last 24 hours."

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nobody_has_looked_yet(db):
    cache.clear()


def book(saga_id="b-1", **options):
    return get_saga_orchestrator().execute(saga_id, "create_booking", context=BOOKING, **options)


def pay(saga_id="p-1", **differs):
    return get_saga_orchestrator().execute(saga_id, "collect_payment", context=PAYMENT | differs)


def providers(client):
    """Return the text of each provider's section by the provider's name."""
    page = client.get(DESK)
    names, sections = (
        html.texts(page, '//section[@class="saga-card"]/h2'),
        html.texts(page, '//section[@class="saga-card"]'),
    )
    return {name: text.removeprefix(f"{name} ") for name, text in zip(names, sections, strict=True)}


def spoken(text):
    """Replace the times and durations, which differ from run to run."""
    return re.sub(
        r"p95: [\d.]+ s", "p95: N s", re.sub(r"(success|error) \w+\.? \d+, \d+, [^A-Z]*[ap]\.m\.", r"\1 AT", text)
    )


def test_each_step_has_a_card_unless_it_works_in_our_own_database(support):
    told = providers(support)

    assert list(told) == [
        "Entry in the statistics",
        "Charge",
        "Receipt by e-mail",
        "Calendar entry",
        "Invoice",
        "Confirmation by e-mail",
        "Confirmation by WhatsApp",
    ]
    assert told["Receipt by e-mail"] == (
        f"The last hour No calls. The last 24 hours No calls. Last success {NONE} Last error {NONE} "
        "Waiting for it now 0 executions Steps that call it; executions that failed there: "
        "Collect payment: Receipt by e-mail"
    )


def test_a_step_of_any_saga_has_a_card(support, registered, stage):
    run_saga(registered(stage.step("ask_the_oracle"), name="quest"))

    assert "1 call. " in providers(support)["Ask the oracle"]


def test_calls_are_counted_by_how_they_went(support, plant, clock):
    plant("payments", "create", FaultMode.FAIL_BEFORE)
    plant("payments", "confirm", FaultMode.EFFECT_THEN_LOSE_REPLY, match="p-1")
    pay("p-1")
    pay("p-2", payment_method="pm_card_chargeDeclined")
    one_in_four = "Refused: 1. Failed: 1. In doubt: 1. 50.0 % errors."

    assert spoken(providers(support)["Charge"]) == (
        f"The last hour 4 calls. {one_in_four} Slowest: Charge (p95: N s). "
        f"The last 24 hours 4 calls. {one_in_four} Slowest: Charge (p95: N s). "
        "Last success AT Last error AT, OutcomeUnknown Waiting for it now 0 executions "
        "Steps that call it; executions that failed there: Collect payment: Charge"
    )


def test_calls_count_for_the_last_hour_and_the_last_day(support):
    now = timezone.now()
    execution = book()
    made = execution.step_runs.get(step="create_nf")
    for number, ago in enumerate((dt.timedelta(hours=2), dt.timedelta(hours=25)), start=1):
        at = now - ago
        made.pk, made.sequence, made.started_at, made.finished_at = first_uuid_at(at), 100 + number, at, at
        made.save(force_insert=True)

    told = providers(support)["Invoice"]
    assert "The last hour 1 call. " in told
    assert "The last 24 hours 2 calls. " in told


def test_a_verify_that_finds_nothing_is_an_answer_and_no_error(support, registered, stage, clock):
    doubtful = stage.step("ask", OutcomeUnknown("no answer"), verify=[None], retry_count=0, timeout=1, undo=None)
    run_saga(registered(doubtful, name="quest"))

    assert "2 calls. Refused: 0. Failed: 0. In doubt: 1. 50.0 % errors. " in providers(support)["Ask"]


def test_what_waits_for_a_provider_is_counted_there(support, plant, clock):
    plant("invoices", "issue", FaultMode.THROTTLE, latency_ms=3_600_000)
    plant("calendar", "add", FaultMode.THROTTLE, latency_ms=3_600_000)
    book("b-1", max_seconds=60)
    book("b-2", max_seconds=60)
    get_saga_orchestrator().start("b-3", "create_booking", context=BOOKING)
    get_saga_orchestrator().start("b-4", "create_booking", context=BOOKING)
    get_saga_orchestrator().hold("b-4", reason="the customer called")

    told = providers(support)
    assert "Waiting for it now 2 executions " in told["Invoice"]
    assert "Waiting for it now 1 execution " in told["Calendar entry"]
    assert "Waiting for it now 0 executions " in told["Confirmation by e-mail"]
    page = support.get(DESK).content.decode()
    assert f'<a href="{LIST}?waits_for=create_booking.create_nf">2 executions</a>' in page
    assert ids_in(support.get(f"{LIST}?waits_for=create_booking.create_nf")) == ["b-3", "b-1"]
    assert ids_in(support.get(f"{LIST}?waits_for=create_booking.add_calendar")) == ["b-2"]
    assert f"{LIST}?waits_for=create_booking.send_email" not in page
    assert ids_in(support.get(f"{LIST}?waits_for=create_booking.send_email")) == []


def test_who_waits_for_what_is_no_provider_is_not_everybody(support):
    assert support.get(f"{LIST}?waits_for=nobody")["Location"] == f"{LIST}?e=1"


def test_of_very_many_waiting_it_says_that_there_may_be_more(support):
    due = timezone.now()
    SagaExecution.objects.bulk_create(
        SagaExecution(saga_id=f"x-{number}", saga_name="create_booking", plan=["create_nf"], due_at=due)
        for number in range(101)
    )

    assert "Waiting for it now 100 executions or more " in providers(support)["Invoice"]


def test_a_row_that_cannot_be_read_takes_nothing_with_it(support):
    get_saga_orchestrator().start("b-1", "create_booking", context=BOOKING)
    broken = get_saga_orchestrator().start("b-2", "create_booking", context=BOOKING)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_execution SET plan = '{' WHERE id = %s", [broken.pk])

    assert "Waiting for it now 1 execution " in providers(support)["Invoice"]


def test_the_numbers_are_a_minute_old_at_most_and_say_from_when_they_are(support):
    before = words_of(support.get(DESK))
    book()
    after = words_of(support.get(DESK))

    assert after == before
    at = re.match(r".*?As of (.*?); updated once a minute\.", after)[1]
    moments = [timezone.localtime() - dt.timedelta(minutes=ago) for ago in (0, 1)]
    assert at in [formats.date_format(moment, "DATETIME_FORMAT") for moment in moments]


def test_an_error_is_shown_by_its_type_with_a_link_to_its_executions(support, registered, stage):
    canary = "canary@example.com"
    failing = stage.step("ask", RuntimeError(f"nothing for {canary}"), retry_count=0)
    run_saga(registered(failing, name="quest", personal=["email"]), "q-1", context={"email": canary})
    response = support.get(DESK)

    assert "RuntimeError" in response.content.decode()
    assert canary not in response.content.decode()
    url = "/admin/sagas/sagaexecution/?saga=quest&amp;failed_step=ask"
    assert f'href="{url}"' in response.content.decode()
    assert "q-1" in support.get(url.replace("&amp;", "&")).content.decode()


def test_who_may_not_see_executions_does_not_see_it(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("guest", is_staff=True))

    assert client.get(DESK).status_code == 403


def test_calls_that_went_before_a_saga_was_forgotten_are_left_out(support, registered, stage):
    run_saga(registered(stage.step("ask"), name="quest"))
    registered.forget()

    assert "Ask" not in providers(support)


@pytest.fixture
def history(db):
    """Create executions, and step runs over six weeks; only a few are from the last day."""
    now = timezone.now()
    executions = SagaExecution.objects.bulk_create(
        SagaExecution(saga_id=f"x-{number}", saga_name="create_booking", state="succeeded") for number in range(2_000)
    )
    moments = [now - dt.timedelta(minutes=30) * number for number in range(len(executions))]
    StepRun.objects.bulk_create(
        StepRun(
            pk=first_uuid_at(at),
            execution=execution,
            step="create_nf",
            direction="action",
            run=1,
            attempt=1,
            outcome="succeeded",
            idempotency_key="k",
            started_at=at,
            finished_at=at,
            sequence=2,
        )
        for execution, at in zip(executions, moments, strict=True)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def test_a_look_reads_what_was_made_in_the_last_day_and_no_more(support, history):
    for sql, parameters in statements_of(lambda: support.get(DESK)):
        if connection.vendor == "postgresql":
            read = [rows_read(sql, parameters, table) for table in ("sagas_execution", "sagas_steprun")]
            assert max(read) <= 100, sql
        else:
            # Django names executions U0 in a subquery.
            assert scans(sql, parameters, QUICK, ["sagas_execution", "sagas_steprun", "U0"]) == [], sql
    assert "The last 24 hours 48 calls. " in providers(support)["Invoice"]
