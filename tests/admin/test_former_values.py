"""Superseded values of personal fields are redacted like current ones, in every sentence with a step's values."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext

from sagas import RetryLater, StepFailed
from sagas.models import SagaEvent
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.support.tampering import unguarded

from .cases import act_url, case_url, group, items, text_of, url
from .conftest import words_of
from .test_corrections import correct

pytestmark = pytest.mark.django_db

LIST = "/admin/sagas/sagaexecution/"
DESK = "/admin/sagas/compensation/"
OLD, NEW = "ana.old@example.com", "ana.new@example.com"
WORDING = {
    "done": "A letter went to {to}.",
    "to_compensate": "The letter to {to} is taken back.",
    "refused": "No letter went to {to}.",
    "compensated": "The letter to {to} was taken back.",
    "by_hand": "Ring {to}.",
}
SAGA = {"processing": "Letters go to {to}.", "checking": "Letters to {to} are looked into."}


def writes(context):
    """Hold the execution after this step; return the customer's address in a field with another name."""
    perform(Operation.HOLD, context.saga_id, reason="look")
    return {"to": context["customer_email"]}


@pytest.fixture
def saga(registered, stage):
    """A saga that writes to the customer; its compensation first asks to retry later, then fails for good."""
    undo = [RetryLater(3600), StepFailed("never")]
    write = stage.step("write", writes, undo=undo, wording=WORDING)
    return registered(write, stage.step("ship"), wording=SAGA, personal=["customer_email"], references=["to"])


@pytest.fixture
def corrected(saga):
    """Return a function that runs the saga and then corrects the address that a step has used."""

    def corrected(saga_id="x", times=1):
        get_saga_orchestrator().execute(saga_id, "trip", saga, context={"customer_email": OLD})
        for _ in range(times):
            execution = perform(Operation.CORRECT, saga_id, context={"customer_email": NEW})
        return execution

    return corrected


@pytest.fixture
def clerk(support):
    """Return the client of a user who may do all these operations but not see personal values."""
    codes = ["cancel_saga", "hold_saga", "resolve_step", "edit_context", "export_saga", "compensate_saga"]
    support.user.user_permissions.add(*Permission.objects.filter(codename__in=codes))
    return support


def cancelled(execution):
    """Cancel the execution, and run it until its compensation waits for the next attempt."""
    perform(Operation.CANCEL, execution.saga_id)
    get_saga_orchestrator().resume(execution.saga_id, max_seconds=0)
    return execution


def not_undone(execution, clock):
    """Cancel the execution, and run it until its compensation has failed for good."""
    perform(Operation.CANCEL, execution.saga_id)
    return get_saga_orchestrator().resume(execution.saga_id)


@pytest.mark.parametrize("what", ["change", "live"])
def test_the_page_of_the_case_tells_of_no_former_value(clerk, corrected, what):
    page = clerk.get(url(corrected(), what))

    assert OLD not in page.content.decode()
    assert group(page, "Done") == ["A letter went to [customer_email]."]


def test_who_may_see_what_is_personal_is_told_of_it(supervisor, corrected):
    assert group(supervisor.get(case_url(corrected())), "Done") == [f"A letter went to {OLD}."]


def test_what_an_act_would_do_tells_of_no_former_value(clerk, corrected):
    execution = corrected()
    cancel, release = (clerk.get(act_url(execution, operation)) for operation in ("cancel", "release"))

    assert OLD not in cancel.content.decode() + release.content.decode()
    assert items(cancel, "What will happen, in this order") == ["The letter to [customer_email] is taken back."]
    assert "A letter went to [customer_email]." in text_of(release)


def test_what_a_correction_would_change_tells_of_none_before_it_is_made(clerk, saga):
    execution = get_saga_orchestrator().execute("x", "trip", saga, context={"customer_email": OLD})
    page = correct(clerk, execution, json=f'{{"customer_email": "{NEW}"}}')

    assert "A letter went to [customer_email]." in text_of(page)
    assert OLD not in page.content.decode()


def test_the_form_of_a_correction_leaves_out_what_quotes_one(clerk, registered, stage):
    saga = registered(stage.step("a", writes), stage.step("b"), personal=["customer_email"])
    context = {"customer_email": OLD, "note": f"for {OLD}", "size": "small"}
    execution = get_saga_orchestrator().execute("x", "trip", saga, context=context)
    perform(Operation.CORRECT, "x", context=context | {"customer_email": NEW})

    page = clerk.get(act_url(execution, "correct"))

    assert OLD not in page.content.decode()
    assert "small" in page.content.decode()


def test_a_word_on_a_step_tells_of_none(clerk, corrected, clock):
    execution = not_undone(corrected(), clock)
    page = clerk.get(act_url(execution, "resolve"))

    assert OLD not in page.content.decode()
    assert "The letter to [customer_email] was taken back." in text_of(page)
    assert "Ring [customer_email]." in text_of(clerk.get(case_url(execution)))


def test_the_desk_of_undos_tells_of_none(clerk, corrected, clock):
    cancelled(corrected("waits"))
    not_undone(corrected("failed"), clock)
    page = clerk.get(DESK)

    assert OLD not in page.content.decode()
    assert words_of(page).count("The letter to [customer_email] is taken back.") == 2
    assert "Ring [customer_email]." in words_of(page)


def test_the_list_and_its_file_tell_of_none(clerk, corrected):
    corrected()
    page, exported = clerk.get(LIST).content.decode(), clerk.get(f"{LIST}export/").getvalue().decode()

    assert OLD not in page + exported
    assert "Letters to [customer_email] are looked into." in page
    assert "Letters to [customer_email] are looked into.,to: [customer_email]," in exported


def test_pages_of_many_ask_for_all_that_was_corrected_at_once(clerk, corrected):
    for number in range(2):
        corrected(f"x-{number}")
    few = [asked_for_corrections(clerk, page) for page in (LIST, f"{LIST}export/")]
    # An export needs one more query, because it first looks up the list.
    for number in range(2, 12):
        corrected(f"x-{number}", times=2)

    assert [asked_for_corrections(clerk, page) for page in (LIST, f"{LIST}export/")] == few == [1, 2]
    assert asked_for_corrections(clerk, case_url(corrected("y"))) == 1


def test_who_may_see_what_is_personal_costs_no_question(supervisor, corrected):
    execution = corrected()

    assert asked_for_corrections(supervisor, LIST) == 0
    assert asked_for_corrections(supervisor, act_url(execution, "release")) == 0


def test_an_unreadable_correction_reveals_nothing(clerk, supervisor, corrected):
    readable, execution = corrected("y"), corrected("x")
    with unguarded():
        SagaEvent.objects.filter(execution=execution, kind="correct").update(data=RawSQL("%s", ["{"]))
    page, listed = clerk.get(case_url(execution)), clerk.get(LIST).content.decode()

    assert OLD not in page.content.decode() + listed
    assert "This execution cannot be read: its column “data” is damaged." in page.content.decode()
    assert "Your request is being checked." in listed
    assert listed.count("Letters to [customer_email] are looked into.") == 1
    assert "ana.old" not in clerk.get(act_url(execution, "cancel")).content.decode()
    assert group(clerk.get(case_url(readable)), "Done") == ["A letter went to [customer_email]."]


def asked_for_corrections(client, page):
    """Return the number of queries that read only corrections."""
    with CaptureQueriesContext(connection) as asked:
        response = client.get(page)
        b"".join(response) if response.streaming else response.content
    return sum(bool(re.search(r"\"kind\" = '?correct", query["sql"])) for query in asked)
