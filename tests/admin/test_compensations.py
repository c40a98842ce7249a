"""The page of open compensations: what each would do, its status, its provider's message, and its operations."""

import datetime as dt
import re

import pytest
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext
from django.utils import formats, timezone

from integrations import sandbox
from integrations.models import FaultMode, SandboxEffect
from sagas import OutcomeUnknown, RetryLater, SagaState, StepFailed
from sagas.definition import registry
from sagas.models import MissingSaga, SagaExecution
from sagas.operations import Actor, Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.admin.conftest import words_of
from tests.support import html, run_saga
from tests.support.bookings import BOOKING, PAYMENT
from tests.support.query_plans import rows_read, scans, statements_of

DESK = "/admin/sagas/compensation/"
ALWAYS = 10_000
QUICK = (
    "sagas_execution USING INDEX sagas_execution_state (state=?",
    "sagas_execution USING COVERING INDEX sagas_execution_state (state=?",
    "sagas_execution USING INTEGER PRIMARY KEY (rowid=?)",
)
CANCEL_INVOICE = "Will do: The invoice for R$ 420.00 will be cancelled."
REFUND = "Will do: R$ 420.00 will be refunded to the customer."
AGAIN_NOT_NOW = "Undo again: It can be retried only after it failed, and it is “Undoing”."
RESOLVE_NOT_NOW = (
    "Mark a step as resolved: A step can be marked as resolved only while the case is on hold or partly undone."
)

pytestmark = pytest.mark.django_db


def booking(saga_id="b-1", **options):
    return get_saga_orchestrator().execute(saga_id, "create_booking", context=BOOKING, **options)


def payment(saga_id="p-1", **options):
    unwritable = PAYMENT | {"customer_email": "refuse@example.com"}
    return get_saga_orchestrator().execute(saga_id, "collect_payment", context=unwritable, **options)


@pytest.fixture
def no_calendar(plant):
    """Refuse calendar events, so that bookings are compensated."""
    plant("calendar", "add", FaultMode.REFUSE, remaining=ALWAYS)


def shown(client, query=""):
    return client.get(DESK + query)


def cards(response):
    """Return the text of each open compensation, in the order of the page."""
    return html.texts(response, '//article[@class="saga-card"]')


def by_hand(execution):
    until = SandboxEffect.objects.get(operation="issue").created_at + dt.timedelta(days=5)
    return (
        f"The city's tax office can cancel invoice {execution.context['invoice_number']} until {moment(until)}; "
        "request it in the office's portal."
    )


def moment(at):
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")


def test_without_any_it_says_so(support):
    assert words_of(shown(support)).endswith("Nothing is waiting to be undone.")


def test_a_failed_compensation_shows_the_answer_and_the_operations(support, plant, no_calendar):
    plant("invoices", "cancel", FaultMode.REFUSE)
    execution = booking()
    response = shown(support)
    refused = execution.step_executions.get(step="create_nf", direction="compensation")

    (told,) = cards(response)
    assert told == (
        f"{CANCEL_INVOICE} Failed It failed. Someone must deal with it. "
        f"The provider's last answer {refused.error_message} "
        f"What you can do {by_hand(execution)} "
        "Customer name [customer_name] Sale id SALE-001 Customer email [customer_email] "
        f"Invoice ref {execution.context['invoice_ref']} Invoice number {execution.context['invoice_number']} "
        f"Attempts 1 Since {moment(first_undo(execution))} Kind Create booking, b-1 "
        "Open case Undo again Mark a step as resolved"
    )
    page = response.content.decode()
    case = f"/admin/sagas/sagaexecution/{execution.pk}/"
    assert f'href="{case}change/"' in page
    assert f'href="{case}operation/retry/"' in page
    assert f'href="{case}operation/resolve/"' in page
    number = execution.context["invoice_number"]
    assert f'<a href="https://portal.invoices.example/nfse/{number}"' in page


def test_a_deferred_compensation_shows_its_next_try_and_its_end(support, plant, no_calendar, clock):
    plant("invoices", "cancel", FaultMode.THROTTLE, remaining=ALWAYS)
    execution = booking()
    undos = execution.step_executions.filter(step="create_nf", direction="compensation")
    deferred, again = undos.last().finished_at, undos.last().retry_at

    (told,) = cards(shown(support))
    assert told.startswith(
        f"{CANCEL_INVOICE} Provider unavailable Provider unavailable. "
        f"Next try: {moment(again)}; gives up: {moment(deferred + dt.timedelta(hours=24))} "
        "The provider's last answer The provider asks for fewer requests (rate_limit) "
    )
    assert "Attempts 4 " in told
    assert told.endswith(f"Open case {AGAIN_NOT_NOW} {RESOLVE_NOT_NOW}")


def test_an_undo_that_nobody_answered_to_is_in_doubt(support, plant, clock, settings):
    settings.SAGAS = settings.SAGAS | {"COMPENSATION_PATIENCE": 2}
    plant("payments", "refund", FaultMode.EFFECT_THEN_LOSE_REPLY, remaining=ALWAYS)
    payment()
    clock.advance(3600)
    get_saga_orchestrator().resume("p-1")

    (told,) = cards(shown(support))
    assert told.startswith(
        f"{REFUND} In doubt Outcome unknown; someone must check. "
        "The provider's last answer The connection broke before the provider's answer came (reply_lost) "
    )


def test_a_compensation_whose_answer_was_lost_is_shown_in_doubt(support, plant, clock):
    plant("payments", "refund", FaultMode.EFFECT_THEN_LOSE_REPLY)
    plant("payments", "refund", FaultMode.THROTTLE, latency_ms=3_600_000)
    execution = payment(max_seconds=60)
    again = execution.step_executions.last().retry_at

    (told,) = cards(shown(support))
    assert told.startswith(
        f"{REFUND} Retrying Next try: {moment(again)} "
        "It is not certain yet whether R$ 420.00 was refunded. The provider's last answer "
    )


def test_one_compensation_is_retried_while_the_others_wait(support, plant, no_calendar, clock):
    plant("email", "send", FaultMode.THROTTLE, match=":undo", latency_ms=3_600_000)
    execution = booking(max_seconds=60)
    again = execution.step_executions.last().retry_at

    mail, invoice = cards(shown(support))
    assert mail.startswith(
        f"Will do: A cancellation will be sent to [customer_email]. Retrying Next try: {moment(again)} "
    )
    assert invoice.startswith(f"{CANCEL_INVOICE} Waiting Waiting for its turn. You need not do anything. Customer name")
    assert "Attempts 0 " in invoice


def test_an_undo_is_told_as_being_made_while_it_is(support, no_calendar, monkeypatch):
    seen = []

    def look(moment, port, operation, key):
        if (moment, port, operation) == ("before", "invoices", "cancel"):
            seen.extend(cards(shown(support)))

    monkeypatch.setattr(sandbox, "probes", [look])
    booking()

    (told,) = seen
    assert told.startswith(f"{CANCEL_INVOICE} Running Being undone now. ")


def test_an_undo_that_the_provider_has_accepted_is_told_so(support, plant, clock):
    plant("invoices", "", FaultMode.PENDING_N, remaining=ALWAYS)
    booking(max_seconds=2)
    get_saga_orchestrator().cancel("b-1")
    execution = booking(max_seconds=2)
    asked = execution.step_executions.last().retry_at

    (told,) = cards(shown(support))
    assert told.startswith(
        f"{CANCEL_INVOICE} Accepted, not finished "
        f"The provider has accepted it but not finished. Next check: {moment(asked)} "
        "It is not certain yet whether the invoice for R$ 420.00 was issued. "
    )


def test_an_undo_of_a_held_saga_waits_for_a_person_and_says_why(support, plant, no_calendar, clock):
    plant("invoices", "cancel", FaultMode.THROTTLE, latency_ms=3_600_000)
    booking(max_seconds=60)
    by = Actor(name="Bia", source="cli")
    get_saga_orchestrator().hold("b-1", reason="Ana Souza called <b>again</b>", by=by)

    (told,) = cards(shown(support))
    assert told.startswith(
        f"{CANCEL_INVOICE} On hold Waiting, because the case is on hold. "
        "Held by Bia: [customer_name] called <b>again</b> The provider's last answer "
    )
    assert told.endswith(f"{AGAIN_NOT_NOW} Mark a step as resolved")


def test_an_auditor_sees_personal_values_and_may_do_nothing(auditor, plant, no_calendar):
    plant("invoices", "cancel", FaultMode.REFUSE)
    booking()

    (told,) = cards(shown(auditor))
    assert "Customer name Ana Souza" in told
    assert "Customer email customer@example.com" in told
    no = "Your role does not allow this. Ask a supervisor."
    assert told.endswith(f"Open case Undo again: {no} Mark a step as resolved: {no}")


def test_who_may_not_see_executions_does_not_see_it(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("guest", is_staff=True))

    assert shown(client).status_code == 403


def test_personal_values_are_redacted_and_markup_is_escaped(support, supervisor, registered, stage):
    canary = "canary <script>alert(1)</script> @example.com"
    answer = StepFailed(f"cannot write to {canary} <img src=x onerror=alert(2)>")
    saga = registered(
        stage.step("write", undo=[answer], wording={"to_compensate": "A letter to {email} is taken back."}),
        stage.step("pay", StepFailed("no")),
        personal=["email"],
        references=["email"],
    )
    run_saga(saga, context={"email": canary})

    hidden, open_to = shown(support).content.decode(), shown(supervisor).content.decode()
    assert "canary" not in hidden
    assert "A letter to [email] is taken back." in hidden
    assert "cannot write to [email] &lt;img src=x onerror=alert(2)&gt;" in hidden
    assert "canary &lt;script&gt;alert(1)&lt;/script&gt;" in open_to
    for page in (hidden, open_to):
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_what_was_personal_before_a_correction_is_not_told_either(support, supervisor, registered, stage):
    saga = registered(
        stage.step("write", undo=[StepFailed("ana.old@example.com is not known")]),
        stage.step("pay", StepFailed("no")),
        personal=["email"],
    )
    execution = run_saga(saga, context={"email": "ana.old@example.com"}, max_seconds=0)
    perform(Operation.HOLD, execution.saga_id)
    perform(Operation.CORRECT, execution.saga_id, context={"email": "ana.new@example.com"})
    perform(Operation.RELEASE, execution.saga_id)
    run_saga(saga, execution.saga_id, context={"email": "ana.old@example.com"})

    assert "[email] is not known" in words_of(shown(support))
    assert "ana.old@example.com is not known" in words_of(shown(supervisor))


def test_a_saga_that_is_not_registered_any_more_is_shown_by_its_step_runs(
    support, supervisor, registered, stage, clock
):
    saga = registered(
        stage.step("pack"),
        stage.step("ship", undo=[RetryLater(5, "the courier of Ana sleeps")]),
        stage.step("pay", StepFailed("no")),
        name="gone",
    )
    run_saga(saga, "g-1")
    run_saga(saga.with_steps([*saga.steps[1:2], stage.step("pay", StepFailed("no"))]), "g-2")
    SagaExecution.objects.filter(saga_id="g-2").update(state="partially_compensated")
    MissingSaga.objects.create(name="gone", since=timezone.now(), seen_at=timezone.now())
    registry.unregister("gone")

    waiting, failed = cards(shown(support, "?saga=gone"))
    assert waiting.startswith(
        "Will do: Ship will be undone. Not registered The saga “gone” is not registered here. "
        "Ask an administrator. "
        "The provider's last answer is hidden, because it may contain personal data. Attempts 4 "
    )
    assert waiting.endswith(f"Kind Gone, g-1 Open case {AGAIN_NOT_NOW} {RESOLVE_NOT_NOW}")
    assert failed.startswith("Will do: Ship will be undone. Failed It failed. Someone must deal with it. ")
    nobody_knows = "No saga named 'gone' is registered here."
    assert failed.endswith(
        f"Kind Gone, g-2 Open case Undo again: {nobody_knows} Mark a step as resolved: {nobody_knows}"
    )
    assert "the courier of Ana sleeps" in cards(shown(supervisor))[0]


def test_a_row_that_cannot_be_read_takes_nothing_with_it(support, plant, no_calendar):
    plant("invoices", "cancel", FaultMode.REFUSE, remaining=2)
    broken = booking("broken")
    booking("fine")
    SagaExecution.objects.filter(pk=broken.pk).update(context=RawSQL("%s", ["{"]))

    said = words_of(shown(support))
    assert "broken (Create booking) cannot be read: its row is damaged. Ask an administrator. Open case" in said
    assert "Kind Create booking, fine" in said


@pytest.fixture
def one_of_each(registered, stage, clock):
    """Create one open compensation of each kind, each in a separate saga."""
    undos = {
        "aside": [RetryLater(5, "not now")],
        "failed": [StepFailed("never")],
        "waits": [RetryLater(3600, "later")],
    }
    for name, undo in undos.items():
        saga = registered(stage.step("ship", undo=undo), stage.step("pay", StepFailed("no")), name=name)
        run_saga(saga, name, max_seconds=60)
    doubtful = stage.step("ship", undo=[OutcomeUnknown("gone"), StepFailed("no more")])
    run_saga(registered(doubtful, stage.step("pay", StepFailed("no")), name="doubt"), "in_doubt")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"aside", "failed", "waits", "in_doubt"}),
        ("?kind=pending", {"waits"}),
        ("?kind=deferred", {"aside"}),
        ("?kind=failed", {"failed"}),
        ("?kind=in_doubt", {"in_doubt"}),
        ("?saga=aside", {"aside"}),
        ("?saga=aside&kind=failed", set()),
        ("?kind=nonsense&saga=%00", {"aside", "failed", "waits", "in_doubt"}),
    ],
)
def test_the_filters_find_what_they_say(support, one_of_each, query, found):
    told = cards(shown(support, query))

    assert {re.search(r"Kind \w+, (\w+)", card)[1] for card in told} == found


def test_pages_start_with_the_oldest_and_take_constant_queries(support, registered, stage):
    saga = registered(stage.step("ship", undo=[StepFailed("never")]), stage.step("pay", StepFailed("no")))
    run_saga(saga, "s-00")
    few = queries_of(support)
    for number in range(1, 30):
        run_saga(saga, f"s-{number:02}")
    first = shown(support, "?kind=failed")
    [following] = html.page_of(first).xpath('//a[@rel="next"]/@href')
    second = shown(support, following)

    assert [re.search(r"s-\d\d", card)[0] for card in cards(first)] == [f"s-{number:02}" for number in range(25)]
    assert [re.search(r"s-\d\d", card)[0] for card in cards(second)] == [f"s-{number:02}" for number in range(25, 30)]
    assert "From the beginning" in second.content.decode()
    assert queries_of(support) == few
    SagaExecution.objects.update(state=SagaState.COMPENSATING, held="the engine's reason")
    assert queries_of(support) == few


def queries_of(client):
    with CaptureQueriesContext(connection) as asked:
        shown(client)
    return len(asked)


@pytest.fixture
def history(db):
    """Create the rows of 10,000 executions; one in fifty is partially compensated."""
    SagaExecution.objects.bulk_create(
        SagaExecution(
            saga_id=f"x-{number}",
            saga_name="create_booking",
            state="succeeded" if number % 50 else "partially_compensated",
            created_at=timezone.now() + dt.timedelta(seconds=number),
        )
        for number in range(10_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.mark.prove
@pytest.mark.parametrize("query", ["", "?after={}", "?saga=create_booking"])
def test_a_page_reads_little_more_than_it_shows(support, history, query):
    query = query.format(SagaExecution.objects.in_state("partially_compensated")[100].pk)

    for sql, parameters in statements_of(lambda: shown(support, query)):
        if connection.vendor == "postgresql":
            assert rows_read(sql, parameters) <= 100, sql
        else:
            assert scans(sql, parameters, QUICK) == [], sql


@pytest.mark.parametrize("place", ["x", "999999", "²", "9" * 30])
def test_a_place_that_is_none_is_not_found(support, place):
    assert shown(support, f"?after={place}").status_code == 404


def first_undo(execution):
    return min(run.started_at for run in execution.step_executions if run.direction == "compensation")
