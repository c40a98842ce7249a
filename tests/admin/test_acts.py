"""Each operation through its page: the result for the execution, and the event that is recorded."""

import re
from itertools import count

import pytest
from django.db.models.expressions import RawSQL
from django.db.models.signals import post_init
from django.test import Client

from sagas import RetryLater, SagaState, StepFailed
from sagas.models import SagaEvent, SagaExecution
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.support import html, let_wait_pass, lost, run

from .cases import act_url, case_url, do, message, scene, text_of, what_was_done

MOVED = "The case has changed since you opened this page, so nothing was done. Check it, then decide again."


def offered(client, execution):
    """Return the choices that the page offers for the outcome of a step, with # for numbers."""
    labels = html.texts(client.get(act_url(execution, "resolve")), '//label[input[@type="radio"]]')
    return [re.sub(r"\d{9}", "#", label) for label in labels]


def go_on(execution):
    """Run the execution, as workers would."""
    return get_saga_orchestrator().resume(execution.saga_id, max_seconds=5)


def test_a_payment_is_tried_again_from_the_start(support):
    execution = scene("collect_payment", "declined")

    response = do(support, execution, "retry", "she has another card now")

    assert (response.status_code, response["Location"]) == (302, case_url(execution))
    assert message(support, execution) == "Retrying from the first step. This page updates itself."
    assert what_was_done(execution) == ("retry", "sara", "admin", "she has another card now")
    event = execution.events.get()
    assert (event.actor, event.data["from"], event.data["to"], event.data["run"]) == (
        support.user, "failed", "pending", 2,
    )  # fmt: skip
    assert go_on(execution).state is SagaState.FAILED
    assert execution.step_runs.filter(run=2).exists()


def test_a_refund_that_failed_is_tried_again(support):
    execution = scene("collect_payment", "partial")

    do(support, execution, "retry", amount="R$ 420,00")

    assert message(support, execution) == "Undoing again. This page updates itself."
    assert what_was_done(execution) == ("retry", "sara", "admin", "she called")
    assert go_on(execution).state is SagaState.FAILED


@pytest.mark.parametrize(
    "typed", ["420,00", "420.00", "R$ 420,00", "R$420.00", " r$ 420.00 ", "BRL 420.00", "R$\xa0420,00"]
)
def test_a_refund_is_confirmed_by_its_amount_in_any_notation(supervisor, typed):
    execution = scene("collect_payment", "succeeded")

    assert do(supervisor, execution, "compensate", "a double sale", amount=typed).status_code == 302

    assert message(supervisor, execution) == "Undoing everything, last step first. This page updates itself."
    assert what_was_done(execution) == ("compensate", "vera", "admin", "a double sale")
    assert go_on(execution).state is SagaState.FAILED


@pytest.mark.parametrize("typed", ["42,00", "420", "yes", "R$", "US$ 420.00", "-420.00", "4.20,00"])
def test_another_amount_than_the_one_that_goes_back_undoes_nothing(supervisor, typed):
    execution = scene("collect_payment", "succeeded")

    page = do(supervisor, execution, "compensate", amount=typed)

    assert page.status_code == 200
    assert "The refund is R$ 420.00. Type this amount." in text_of(page)
    assert not SagaEvent.objects.exists()


@pytest.mark.parametrize("price", ["a lot", "10.00"])
def test_an_unknown_or_hidden_refund_is_confirmed_by_the_case_id(support, stage, registered, price):
    saga = registered(
        stage.step("pay", undo=[StepFailed("no"), {}], money="price"),
        stage.step("b", StepFailed("no")),
        personal=["price"],
    )
    execution = get_saga_orchestrator().execute("case-7", "trip", saga, context={"price": price})

    page = do(support, execution, "retry")
    asked = "Type case-7 to confirm the refund; its amount is not known, or hidden from you"
    assert asked in text_of(page)
    assert "Type case-7." in text_of(do(support, execution, "retry", amount=price))
    assert not execution.events.exists()

    do(support, execution, "retry", amount=" case-7 ")
    assert message(support, execution) == "Undoing again. This page updates itself."


def test_an_undo_that_moves_no_money_asks_for_no_amount(supervisor):
    execution = scene("create_booking", "succeeded")

    assert do(supervisor, execution, "compensate").status_code == 302
    assert go_on(execution).state is SagaState.FAILED


def test_a_waiting_payment_is_cancelled(supervisor):
    execution = scene("collect_payment", "waiting")

    do(supervisor, execution, "cancel", "she changed her mind")

    assert message(supervisor, execution) == "Cancelled. There was nothing to undo."
    assert what_was_done(execution) == ("cancel", "vera", "admin", "she changed her mind")
    execution.refresh_from_db()
    assert execution.state is SagaState.FAILED


def test_a_cancel_undoes_what_was_done(supervisor, stage, registered):
    saga = registered(stage.step("a"), stage.step("b", lost(), idempotent=False, verify=[{}]))
    execution = get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0.3)

    do(supervisor, execution, "cancel")

    assert message(supervisor, execution) == "Cancelled. What was done is being undone; this page updates itself."
    assert go_on(execution).state is SagaState.FAILED
    assert stage.told == ["a", "b", "b.undo", "a.undo"]


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("hold", "It will be put on hold when the running step finishes."),
        ("cancel", "It will be cancelled when the running step finishes. This page updates itself."),
    ],
)
def test_what_a_worker_has_in_hand_ends_its_step_first(supervisor, stage, registered, operation, said):
    heard = []

    def running(context):
        execution = get_saga_orchestrator().get_status("x")
        do(supervisor, execution, operation)
        heard.append(message(supervisor, execution))

    execution = get_saga_orchestrator().execute("x", "trip", registered(stage.step("a", running), stage.step("b")))

    assert heard == [said]
    assert execution.held == ("Held by vera: she called" if operation == "hold" else "")
    assert stage.told == ["a"] if operation == "hold" else ["a", "a.undo"]


def test_a_booking_is_held_and_released(support):
    execution = scene("create_booking", "waiting")

    do(support, execution, "hold", "the address is wrong")

    assert message(support, execution) == "On hold. Nothing continues until someone releases it."
    assert what_was_done(execution) == ("hold", "sara", "admin", "the address is wrong")
    execution.refresh_from_db()
    assert execution.held == "Held by sara: the address is wrong"

    do(support, execution, "release", "it is right now")

    assert message(support, execution) == "Released. It continues from where it stopped; this page updates itself."
    assert what_was_done(execution) == ("release", "sara", "admin", "it is right now")
    get_saga_orchestrator().resume(execution.saga_id, max_seconds=0.3)
    let_wait_pass(execution)  # the issuer asked to wait for an hour
    assert go_on(execution).state is SagaState.SUCCEEDED


def test_a_provider_is_asked_with_one_click_on_the_case(support, stage, registered):
    saga = registered(stage.step("pay", lost(), idempotent=False, verify=[{"id": 7}]))
    execution = get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0)

    do(support, execution, "verify", "To find out what really happened")

    assert message(support, execution) == ("Checking with the provider. This page updates itself.")
    assert what_was_done(execution) == ("verify", "sara", "admin", "To find out what really happened")
    let_wait_pass(execution)
    assert go_on(execution).state is SagaState.SUCCEEDED


def test_what_needs_attention_is_acknowledged(support, stage, registered):
    saga = registered(stage.step("a", ValueError("odd"), retry_count=0))
    execution = get_saga_orchestrator().execute("x", "trip", saga)

    do(support, execution, "acknowledge", "known, and mended")

    assert message(support, execution) == "Acknowledged. It no longer needs attention."
    assert what_was_done(execution) == ("acknowledge", "sara", "admin", "known, and mended")
    execution.refresh_from_db()
    assert not execution.needs_attention


# Resolving a step by hand.


def test_an_invoice_that_was_cancelled_by_hand_is_put_down(support):
    execution = scene("create_booking", "partial")

    page = support.get(act_url(execution, "resolve"))
    assert "Invoice" in text_of(page)
    assert "The invoice for R$ 420.00 was cancelled." in text_of(page)
    assert "Confirmation by e-mail" not in text_of(page)

    do(
        support,
        execution,
        "resolve",
        "the city hall cancelled it",
        resolution="create_nf:undone",
        evidence="protocol 77",
    )

    assert message(support, execution) == "Recorded. Nothing is left to undo."
    assert what_was_done(execution) == ("resolve", "sara", "admin", "the city hall cancelled it")
    data = execution.events.get().data
    assert (data["step"], data["outcome"], data["evidence"]) == ("create_nf", "undone", "protocol 77")
    execution.refresh_from_db()
    assert execution.state is SagaState.FAILED


def test_what_only_a_technician_can_fill_in_is_folded_away(support):
    page = support.get(act_url(scene("create_booking", "in-doubt"), "resolve")).content.decode()
    folded = page[page.index("<details", page.index('name="evidence"')) : page.index('name="reason"')]

    assert "<summary>Technical view</summary>" in folded
    assert 'name="output"' in folded.partition("</details>")[0]


def test_a_word_with_what_the_step_would_have_reported(support, stage, registered):
    saga = registered(stage.step("pay", pivot=True, undo=None), stage.step("mail", StepFailed("no"), undo=None))
    execution = get_saga_orchestrator().execute("x", "trip", saga)
    word = {"resolution": "mail:done", "evidence": "she showed it to me"}

    for output, said in [
        ("{", "This is not JSON."),
        ("[" * 50_000, "This is nested too deeply."),
        ("[1]", "must be a mapping, and is allowed only with the outcome done"),
        ("[]", "must be a mapping, and is allowed only with the outcome done"),
    ]:
        page = do(support, execution, "resolve", output=output, **word)
        assert said in text_of(page)
    refused = [
        ('{"note": {"cvv": "123"}}', "note.cvv: secrets do not belong in a context; pass a token or a reference"),
        ('{"reason": "\\u0000"}', "reason: contains a NUL character, which cannot be stored"),
        ('{"reason": "\\ud800"}', "reason: contains a lone surrogate, which cannot be stored"),
    ]
    for output, said in refused:
        page = do(support, execution, "resolve", output=output, **word)
        assert f"Output of the step: {said}" in text_of(page)
    assert not execution.events.filter(kind="resolve").exists()

    do(support, execution, "resolve", output='{"message": "m-1"}', **word)

    assert message(support, execution) == "Recorded. The case continues; this page updates itself."
    execution = go_on(execution)
    assert (execution.state, execution.context) == (SagaState.SUCCEEDED, {"message": "m-1"})


def test_a_word_that_nobody_offered_is_not_taken(support):
    execution = scene("create_booking", "partial")

    page = do(support, execution, "resolve", resolution="send_email:undone", evidence="none")

    assert page.status_code == 200
    assert "Select a valid choice. send_email:undone is not one of the available choices." in text_of(page)
    assert not execution.events.exists()


def test_nobody_says_of_what_was_done_that_it_never_was(support):
    execution = scene("create_booking", "partial")

    page = do(support, execution, "resolve", resolution="create_nf:not_done", evidence="none")

    assert "Select a valid choice. create_nf:not_done is not one of the available choices." in text_of(page)
    assert not execution.events.exists()


def test_a_word_needs_evidence(support):
    execution = scene("create_booking", "partial")

    page = do(support, execution, "resolve", resolution="create_nf:undone", evidence=" ")

    assert "This field is required." in text_of(page)
    assert not execution.events.exists()


OFFERED = {
    ("create_booking", "too-late"): [
        "Invoice # for R$ 420.00 was issued. It will not be undone.",
        "The invoice for R$ 420.00 was cancelled.",
    ],
    ("collect_payment", "partial"): [
        "R$ 420.00 was charged. It will not be undone.",
        "The payment of R$ 420.00 was reversed; nothing stays charged.",
    ],
    ("create_booking", "in-doubt"): [
        "Invoice was done. The case stays on hold.",
        "The invoice for R$ 420.00 could not be issued. The case stays on hold.",
    ],
}


@pytest.mark.parametrize("of", OFFERED, ids="-".join)
def test_only_what_can_have_become_of_a_step_is_offered_and_in_its_words(support, of):
    assert offered(support, scene(*of)) == OFFERED[of]


def test_of_what_nobody_has_tried_nobody_says_that_it_could_not_be_done(support, stage, registered):
    registered(stage.step("a", RetryLater(0)), stage.step("b", wording={"refused": "B could not be done."}))
    execution = get_saga_orchestrator().start("x", "trip")
    get_saga_orchestrator().hold("x")
    do(support, execution, "resolve", resolution="a:done", evidence="seen")

    assert offered(support, execution) == [
        "B was done. The case stays on hold.",
        "B was not done. The case stays on hold.",
    ]


def test_what_was_in_doubt_may_also_never_have_happened(support, stage, registered):
    words = {"done": "Paid {ref}.", "refused": "Nothing was paid.", "compensated": "Nothing is paid any more."}
    saga = registered(stage.step("a", lost(), undo=[StepFailed("no")], retry_count=0, wording=words))
    execution = get_saga_orchestrator().execute("x", "trip", saga)

    assert offered(support, execution) == [
        "A was done. It will not be undone.",
        "Nothing was paid.",
        "Nothing is paid any more.",
    ]


def test_each_word_says_what_follows_from_it_and_the_money_that_moves(support, stage, registered):
    unsure = {"pivot": True, "undo": None, "idempotent": False, "retry_count": 0}
    saga = registered(
        stage.step("deposit", money="price"),
        stage.step("book", lost(), **unsure),
        stage.step("extras", undo=None, money="price"),
    )
    execution = get_saga_orchestrator().execute("x", "trip", saga, context={"price": "10.00"})
    assert execution.held

    page = text_of(support.get(act_url(execution, "resolve")))

    assert "Book was done. The case continues, and the customer will be charged R$ 10.00." in page
    undone = "What was done will be undone, last step first, and the customer will be refunded R$ 10.00."
    assert f"Book was not done. {undone}" in page
    do(support, execution, "resolve", resolution="book:not_done", evidence="none there", amount="R$ 10.00")
    assert go_on(execution).state is SagaState.FAILED
    assert stage.told == ["deposit", "book", "deposit.undo"]


def in_doubt_after_a_charge(stage, registered, **options):
    """Return an execution that is held because the outcome of its pivot is in doubt."""
    unsure = {"pivot": True, "undo": None, "idempotent": False, "retry_count": 0}
    saga = registered(stage.step("deposit", money="price"), stage.step("book", lost(), **unsure), **options)
    return get_saga_orchestrator().execute("case-7", "trip", saga, context={"price": "10.00"})


@pytest.mark.parametrize("typed", ["", "1.00", "case-7"])
def test_a_word_that_gives_money_back_takes_the_amount_too(support, stage, registered, typed):
    execution = in_doubt_after_a_charge(stage, registered)
    word = {"resolution": "book:not_done", "evidence": "none there"}

    page = do(support, execution, "resolve", amount=typed, **word)

    asked = "Type the amount to confirm the refund: The refund is R$ 10.00. Type this amount."
    assert f"{asked} Only for choices that refund the customer." in text_of(page)
    assert not execution.events.filter(kind="resolve").exists()


def test_a_word_that_gives_nothing_back_needs_no_amount(support, stage, registered):
    execution = in_doubt_after_a_charge(stage, registered)

    do(support, execution, "resolve", resolution="book:done", evidence="it is there")

    assert go_on(execution).state is SagaState.SUCCEEDED


def test_a_resolution_with_a_hidden_refund_is_confirmed_by_the_case_id(support, stage, registered):
    execution = in_doubt_after_a_charge(stage, registered, personal=["price"])
    word = {"resolution": "book:not_done", "evidence": "none there"}

    page = text_of(do(support, execution, "resolve", amount="10.00", **word))
    assert (
        "Type case-7. Only for choices that refund the customer. The amount is not known, or hidden: type case-7."
        in page
    )
    assert not execution.events.filter(kind="resolve").exists()

    do(support, execution, "resolve", amount="case-7", **word)
    assert go_on(execution).state is SagaState.FAILED


def test_a_word_on_what_a_person_holds_leaves_it_held(support):
    execution = scene("create_booking", "held")
    page = text_of(support.get(act_url(execution, "resolve")))
    assert "The case stays on hold." in page
    assert "undone then" not in page

    do(
        support,
        execution,
        "resolve",
        resolution="create_nf:done",
        evidence="invoice 9",
        output='{"invoice_number": "9"}',
    )

    assert message(support, execution) == "Recorded. The case stays on hold."


def test_where_others_are_not_undone_that_is_said(support, stage, registered):
    no = StepFailed("no")
    saga = registered(stage.step("a", undo=[no]), stage.step("b", undo=[no]), stage.step("c", no))
    execution = get_saga_orchestrator().execute("x", "trip", saga)

    do(support, execution, "resolve", resolution="b:undone", evidence="seen")

    assert message(support, execution) == "Recorded. Other steps could not be undone."


# Reasons that block an operation.


def test_an_act_needs_a_reason(support):
    execution = scene("collect_payment", "declined")

    page = do(support, execution, "retry", "  ")

    assert page.status_code == 200
    assert "This field is required." in text_of(page)
    assert not execution.events.exists()


def test_what_has_moved_meanwhile_is_shown_anew_and_nothing_is_done(support):
    execution = scene("create_booking", "waiting")
    seen = execution.version
    perform(Operation.HOLD, execution.saga_id, reason="a colleague")

    page = support.post(act_url(execution, "release"), {"version": seen, "reason": "typed with care"})

    assert page.status_code == 409
    assert MOVED in text_of(page)
    assert "typed with care" in text_of(page)
    execution.refresh_from_db()
    assert execution.held
    assert f'name="version" value="{execution.version}"' in page.content.decode()


def test_the_same_form_twice_does_it_once(support):
    execution = scene("collect_payment", "declined")
    form = {"version": execution.version, "reason": "again"}

    assert support.post(act_url(execution, "retry"), form).status_code == 302
    page = support.post(act_url(execution, "retry"), form)

    assert page.status_code == 409
    assert MOVED in text_of(page)
    assert "It can be retried only after it failed, and it is “Pending”." in text_of(page)
    assert "What you can do now Put on hold" in text_of(page)
    assert execution.events.count() == 1


@pytest.fixture
def quicker(db):
    """Yield a function: quicker(2, Operation.COMPENSATE, "x") lets a colleague act at the 2nd load of a row."""
    looks = count(1)

    def order(at, operation, saga_id):
        def look(**_):
            if next(looks) == at:
                perform(operation, saga_id, reason="a colleague")

        post_init.connect(look, sender=SagaExecution, weak=False, dispatch_uid="quicker")

    yield order
    post_init.disconnect(sender=SagaExecution, dispatch_uid="quicker")


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_who_comes_second_by_a_hair_is_told_so(supervisor, quicker, at):
    execution = scene("collect_payment", "succeeded")
    form = {"version": execution.version, "reason": "a double sale", "amount": "420.00"}
    quicker(at, Operation.COMPENSATE, execution.saga_id)

    page = supervisor.post(act_url(execution, "compensate"), form)

    assert page.status_code == 409
    assert MOVED in text_of(page)
    assert "It can be undone only after it succeeded, and it is “Undoing”." in text_of(page)
    assert [event.reason for event in execution.events.all()] == ["a colleague"]


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 30])
def test_a_version_that_never_was_does_nothing(support, version):
    execution = scene("collect_payment", "declined")

    page = support.post(act_url(execution, "retry"), {"version": version, "reason": "again"})

    assert page.status_code == 409
    assert not execution.events.exists()


def test_a_blocked_operation_says_why_without_personal_values(support, stage, registered):
    def objects(execution, old, new):
        if old is SagaState.FAILED:
            raise ValueError(f"no booking of {execution.input['name']}")

    saga = registered(stage.step("a", StepFailed("no")), personal=["name"], on_change=objects)
    execution = get_saga_orchestrator().execute("x", "trip", saga, context={"name": "Ana Souza"})

    page = do(support, execution, "retry")

    assert page.status_code == 409
    assert "Nothing was changed, because on_change raised an error: ValueError: no booking of [name]" in text_of(page)
    assert not execution.events.exists()


def test_a_page_of_an_act_that_is_not_possible_says_why_and_what_is(support):
    execution = scene("collect_payment", "declined")

    page = support.get(act_url(execution, "release"))

    assert page.status_code == 409
    assert "It is not on hold." in text_of(page)
    assert MOVED not in text_of(page)
    assert "What you can do now Retry" in text_of(page)


def test_a_check_takes_one_click_with_a_reason_that_is_there_already(support, stage, registered):
    saga = registered(stage.step("pay", lost(), idempotent=False, verify=[{}]))
    execution = get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0)
    page = support.get(act_url(execution, "retry")).content.decode()

    form = page[page.index(f'<form method="post" action="{act_url(execution, "verify")}"') :]
    form = form[: form.index("</form>")]
    assert f'<input type="hidden" name="version" value="{execution.version}">' in form
    assert 'name="reason" maxlength="2000" required value="To find out what really happened"' in form
    assert "Check with the provider</button>" in form


def test_what_cannot_be_read_is_left_alone(support, stage):
    broken = run(stage.step("a"), saga_id="broken")
    SagaExecution.objects.filter(pk=broken.pk).update(context=RawSQL("%s", ["{"]))

    page = support.get(act_url(broken, "hold"))

    assert page.status_code == 409
    assert "This execution cannot be read: its column “context” is damaged. Ask an administrator." in text_of(page)


def test_a_saga_that_is_not_registered_any_more_can_still_be_held(support, stage, registered):
    saga = registered(stage.step("a", lost(), idempotent=False, verify=[{}]))
    execution = get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0)
    registered.forget()

    assert "No saga named 'trip' is registered here." in text_of(support.get(act_url(execution, "verify")))
    assert do(support, execution, "hold").status_code == 302


def test_there_are_no_other_pages(supervisor, support):
    execution = scene("collect_payment", "declined")

    assert supervisor.get(act_url(execution, "explode")).status_code == 404
    assert supervisor.post(act_url(execution, "note")).status_code == 404
    assert supervisor.put(act_url(execution, "retry")).status_code == 405
    assert supervisor.delete(act_url(execution, "retry")).status_code == 405
    execution.pk += 1000
    assert support.get(act_url(execution, "retry")).status_code == 404
    assert support.get(act_url(execution, "retry").replace(str(execution.pk), "9" * 30)).status_code == 404


def test_acts_are_guarded_against_forged_forms(support):
    execution = scene("collect_payment", "declined")
    client = Client(enforce_csrf_checks=True)
    client.force_login(support.user)

    response = client.post(act_url(execution, "retry"), {"version": execution.version, "reason": "forged"})

    assert response.status_code == 403
    assert not execution.events.exists()


def test_what_others_have_written_is_shown_as_text(supervisor, stage, registered):
    evil = "<script>alert(1)</script>"
    saga = registered(stage.step("a", StepFailed(evil), wording={"to_do": "{who} is written to."}))
    execution = get_saga_orchestrator().execute("x", "trip", saga, context={"who": evil})

    previewed = supervisor.post(act_url(execution, "retry"), {"version": "0", "reason": evil}).content.decode()
    form = supervisor.get(act_url(execution, "correct")).content.decode()

    assert evil not in previewed + form
    assert "&lt;script&gt;alert(1)&lt;/script&gt; is written to." in previewed
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in form
