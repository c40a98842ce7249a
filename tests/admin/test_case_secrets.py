"""The page of an execution hides personal values without the permission, and escapes what others have written."""

import html

import pytest
from django.db.models.expressions import RawSQL

from integrations import sandbox
from integrations.exceptions import Kind, ProviderError
from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
from sagas import StepFailed, operations
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.operations import Actor
from tests.support import new_id, run_saga
from tests.support.bookings import BOOKING
from tests.support.tampering import unguarded

from .cases import ANA, case_url, group, text_of, url, waiting

pytestmark = pytest.mark.django_db

CANARIES = {
    "customer_name": "Zéfira O'Canary",
    "customer_email": "zefira.canary@example.com",
    "customer_phone": "+5511912344711",
    "customer_document": "52998224725",
}
SONGS = ["zéfira", "z\\u00e9fira", "canary", "912344711", "91234-4711", "529.982", "52998224725"]
SCRIPT = "<script>alert(1)</script>"


def songs(response):
    """Return the places of the page at which a personal value is readable, with their context."""
    low = html.unescape(response.content.decode()).lower()
    return [low[max(0, low.index(song) - 80) : low.index(song) + 80] for song in SONGS if song in low]


def test_personal_data_is_shown_once_for_a_reason_that_is_kept(supervisor, plant):
    execution = waiting(plant)
    assert '"customer_document": "52998224725"' not in html.unescape(
        supervisor.get(case_url(execution)).content.decode()
    )

    answer = supervisor.post(url(execution, "reveal"), {"reason": "she asked what we keep"})

    assert '"customer_document": "52998224725"' in html.unescape(answer.content.decode())
    assert "no-store" in answer["Cache-Control"]
    event = execution.events.get()
    assert (event.kind, event.actor_name, event.source) == (SagaEvent.Kind.REVEAL, "vera", "admin")
    assert event.reason == "she asked what we keep"
    again = supervisor.get(case_url(execution))
    assert '"customer_document": "[customer_document]"' in html.unescape(again.content.decode())
    assert "vera looked at the personal data. (admin) she asked what we keep" in text_of(again)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (" ", "Give a reason for showing the personal data."),
        ("x" * 2001, "Ensure this value has at most 2000 characters (it has 2001)."),
    ],
)
def test_without_a_reason_that_can_be_kept_nothing_is_shown(supervisor, plant, why, said):
    execution = waiting(plant)

    answer = supervisor.post(url(execution, "reveal"), {"reason": why})

    assert f"Why you need to see it (kept in the history) {said}" in text_of(answer)
    assert '"customer_document": "52998224725"' not in html.unescape(answer.content.decode())
    assert not execution.events.exists()


def test_who_may_not_see_personal_data_cannot_have_it_shown(support, plant):
    execution = waiting(plant)

    assert "Show personal data" not in text_of(support.get(case_url(execution)))
    assert support.post(url(execution, "reveal"), {"reason": "please"}).status_code == 403
    assert not execution.events.exists()


def quote_the_customer(moment, port, operation, key):
    """Refuse a call with a message that repeats the customer's data, as a provider may."""
    if moment == "before" and (port, operation) in {("calendar", "add"), ("invoices", "cancel")}:
        raise ProviderError(Kind.REFUSED, "invalid", f"Invalid: {CANARIES} CPF 529.982.247-25, +55 11 91234-4711")


def quoted_everywhere():
    """Return a booking with the customer's data in providers' messages, a note, evidence and a reason."""
    sandbox.probes.append(quote_the_customer)
    execution = run_saga(CREATE_BOOKING_SAGA, new_id(), context=BOOKING | CANARIES)
    said = f"{CANARIES['customer_name']} called from {CANARIES['customer_phone']}"
    operations.note(execution.saga_id, said, by=ANA)
    evidence = f"mail to {CANARIES['customer_email']}"
    operations.perform("resolve", execution.saga_id, step="create_nf", outcome="undone", evidence=evidence, reason=said)
    return execution


@pytest.mark.parametrize("what", ["change", "live"])
def test_no_personal_value_is_on_the_page_for_who_may_not_see_it(support, what):
    page = support.get(url(quoted_everywhere(), what))

    assert page.status_code == 200
    assert songs(page) == []
    assert "[customer_email]" in page.content.decode()


STOCK = ["operations/{}", "compensation/{}", "provider/{}", "definition/{}"]
READ_BY_PYTHON = ["sagaexecution/%20{}", "sagaexecution/+{}", "sagaexecution/0_{}"]


@pytest.mark.parametrize("address", [*STOCK, *READ_BY_PYTHON])
def test_djangos_own_pages_of_a_row_answer_404(support, auditor, address):
    page = f"/admin/sagas/{address.format(quoted_everywhere().pk)}/change/"

    assert [client.get(page).status_code for client in (support, auditor)] == [404, 404]


def test_personal_values_are_on_the_page_for_who_may_see_them(supervisor):
    told = text_of(supervisor.get(case_url(quoted_everywhere())))

    assert "Customer name Zéfira O'Canary" in told
    assert "A cancellation was sent to zefira.canary@example.com." in told
    assert "Zéfira O'Canary called from +5511912344711" in told


def test_what_people_and_providers_write_does_nothing(supervisor, stage, registered, orchestrator):
    step = stage.step("pay", StepFailed(f"{SCRIPT} javascript:alert(1)"), undo=None, wording={"refused": "For {name}."})
    saga = registered(
        stage.step("a", {"ref": SCRIPT}, undo=[StepFailed(SCRIPT)]), step, references=["ref"], personal=["name"]
    )
    execution = orchestrator.execute(new_id(), "trip", saga, context={"name": SCRIPT, "deep": {SCRIPT: [SCRIPT]}})
    orchestrator.resolve_step(execution.saga_id, "a", "undone", evidence=SCRIPT, reason=SCRIPT, by=Actor(name=SCRIPT))
    operations.note(execution.saga_id, SCRIPT, by=Actor(name=SCRIPT))

    pages = [
        supervisor.get(case_url(execution)),
        supervisor.get(url(execution, "live")),
        supervisor.post(url(execution, "reveal"), {"reason": SCRIPT}),
    ]

    for page in pages:
        assert "alert(1)" in page.content.decode()
        assert SCRIPT not in page.content.decode()
        assert 'href="javascript:' not in page.content.decode()


@pytest.mark.parametrize("column", ["context", "input", "plan", "steps_completed"])
def test_a_row_that_cannot_be_read_is_shown_without_what_might_be_personal(support, column):
    execution = run_saga(CREATE_BOOKING_SAGA, new_id(), context=BOOKING | CANARIES)
    operations.note(execution.saga_id, f"{CANARIES['customer_name']} called", by=ANA)
    SagaExecution.objects.filter(pk=execution.pk).update(**{column: RawSQL("%s", ["{"])})

    page = support.get(case_url(execution))

    assert execution.saga_id in text_of(page)
    assert f"This execution cannot be read: its column “{column}” is damaged." in text_of(page)
    assert songs(page) == []


@pytest.mark.parametrize(("rows", "column"), [(StepRun, "output"), (StepRun, "changes"), (SagaEvent, "data")])
def test_a_history_that_cannot_be_read_is_told_by_its_column(support, orchestrator, rows, column):
    execution = run_saga(CREATE_BOOKING_SAGA, new_id(), context=BOOKING | CANARIES)
    orchestrator.compensate(execution.saga_id, reason=f"{CANARIES['customer_name']} called", by=ANA)
    with unguarded():
        rows.objects.filter(execution=execution).update(**{column: RawSQL("%s", ["{"])})

    page = support.get(case_url(execution))

    assert f"This execution cannot be read: its column “{column}” is damaged." in text_of(page)
    assert songs(page) == []


def test_a_saga_that_is_not_registered_is_shown_by_its_history(support, supervisor, stage, registered, orchestrator):
    saga = registered(stage.step("a", {"to": "zefira.canary@example.com"}), stage.step("b", StepFailed("no canary")))
    execution = orchestrator.execute(new_id(), "trip", saga, context={"who": "zefira.canary@example.com"})
    operations.note(execution.saga_id, "The canary called", by=ANA)
    registered.forget()

    page = support.get(case_url(execution))

    assert "Ended: Failed. Its saga, trip, is not registered here." in text_of(page)
    assert group(page, "Undone") == ["A is undone."]
    assert songs(page) == []
    assert "The canary called" in text_of(supervisor.get(case_url(execution)))
    revealed = supervisor.post(url(execution, "reveal"), {"reason": "why"}).content.decode()
    assert '"who": "zefira.canary@example.com"' in html.unescape(revealed)
