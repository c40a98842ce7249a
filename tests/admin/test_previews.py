"""The previews of operations: calls, steps that stay, money, and what cannot be reversed."""

import pytest

from sagas import OutcomeUnknown, RetryLater, SagaState, StepFailed, orchestrator
from sagas.definition.states import Direction
from sagas.models import SagaEvent, SagaExecution
from sagas.operations import Operation, bulk, perform
from tests.support import let_wait_pass, lost

from .cases import act_url, case_url, do, items, scene, text_of

CALLS = "What will happen, in this order"
KEPT = "What will not be repeated"
MONEY = "Money"
IRREVERSIBLE = "What can't be reversed"
IN_DOUBT = "What is in doubt"
POSSIBLE = "What may follow, depending on the answer"
UNDO_IS_FINAL = "What is undone can't be restored."


def test_a_retry_after_a_refund_charges_again(supervisor):
    execution = scene("collect_payment", "refunded")

    page = supervisor.get(act_url(execution, "retry"))

    assert "Retry" in text_of(page)
    assert "Runs every step again." in text_of(page)
    assert "Technical view" in text_of(page)
    assert "Starts run 2 from the first step, with new idempotency keys." in text_of(page)
    assert items(page, CALLS) == [
        "R$ 420.00 will be charged to the customer.",
        "The payment of R$ 420.00 will be entered into the books.",
        "A receipt will be sent to refuse@example.com.",
        "The payment will be reported to analytics.",
    ]
    assert items(page, MONEY) == ["R$ 420.00 will be charged to the customer."]
    assert items(page, IRREVERSIBLE) == [
        "A receipt will be sent to refuse@example.com.",
        "The payment will be reported to analytics.",
    ]
    assert items(page, KEPT) == []
    assert items(page, IN_DOUBT) == []


def test_compensating_a_payment_refunds_the_money(supervisor):
    page = supervisor.get(act_url(scene("collect_payment", "succeeded"), "compensate"))

    assert "Undoes everything that was done, last step first." in text_of(page)
    assert items(page, CALLS) == [
        "The entry of R$ 420.00 in the books will be voided.",
        "R$ 420.00 will be refunded to the customer.",
    ]
    assert items(page, KEPT) == [
        "The receipt was sent to ana.souza@example.com.",
        "The payment was reported to analytics.",
    ]
    assert items(page, MONEY) == ["R$ 420.00 will be refunded to the customer."]
    assert items(page, IRREVERSIBLE) == [UNDO_IS_FINAL]
    assert "Type R$ 420.00 to confirm the refund" in text_of(page)


def test_what_is_undone_already_is_not_undone_again(support):
    page = support.get(act_url(scene("collect_payment", "partial"), "retry"))

    assert "Undo again" in text_of(page)
    assert items(page, CALLS) == ["R$ 420.00 will be refunded to the customer."]
    [voided] = items(page, KEPT)
    assert voided.startswith("The entry INV-")
    assert voided.endswith(" in the books was voided.")


def test_a_release_lists_all_calls_that_follow(support):
    page = support.get(act_url(scene("create_booking", "held"), "release"))

    assert items(page, CALLS) == [
        "An invoice for R$ 420.00 will be issued.",
        "A confirmation will be sent to [customer_email].",
        "A confirmation will be sent by WhatsApp to [customer_phone].",
        "City tour of Sao Paulo on Dec. 1, 2030, 10 a.m. will be added to the calendar.",
    ]
    assert items(page, MONEY) == []


def test_a_release_of_a_rollback_lists_all_compensations(support, stage, registered):
    def holds(context):
        perform(Operation.HOLD, context.saga_id, reason="look")

    saga = registered(
        stage.step("a"), stage.step("b"), stage.step("c", undo=[holds]), stage.step("d", StepFailed("no"))
    )
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga)

    page = support.get(act_url(execution, "release"))

    assert items(page, CALLS) == ["B will be undone.", "A will be undone."]
    assert items(page, KEPT) == ["C is undone."]


def test_a_step_without_wording_is_described_by_its_label(support, stage, registered):
    saga = registered(stage.step("book_hotel", StepFailed("no"), pivot=True, undo=None))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga)

    page = support.get(act_url(execution, "retry"))

    assert items(page, CALLS) == ["Book hotel will be done."]
    assert items(page, IRREVERSIBLE) == [
        "Book hotel will be done.",
        "After Book hotel, nothing can be undone any more.",
    ]


def test_a_refund_of_a_charge_in_doubt_says_so(supervisor, stage, registered):
    pay = stage.step("pay", OutcomeUnknown("no answer"), undo=[StepFailed("no")], money="price", retry_count=0)
    saga = registered(pay)
    execution = orchestrator.get_saga_orchestrator().execute(
        "x", "trip", saga, context={"price": "1234.5", "currency": "EUR"}
    )

    page = supervisor.get(act_url(execution, "retry"))

    assert items(page, MONEY) == ["€ 1,234.50 will be refunded to the customer, if it was charged."]
    assert items(page, IN_DOUBT) == ["We don't know yet whether Pay was done."]


def test_a_refund_of_a_charge_in_progress_says_so(supervisor, stage, registered):
    pages = []

    def charge(context):
        pages.append(supervisor.get(act_url(SagaExecution.objects.get(), "cancel")))

    registered(stage.step("pay", charge, money="price"))
    orchestrator.get_saga_orchestrator().execute("x", "trip", context={"price": "420.00"})

    (page,) = pages
    assert items(page, CALLS) == ["Pay will be undone."]
    assert items(page, MONEY) == ["R$ 420.00 will be refunded to the customer, if it was charged."]


@pytest.mark.parametrize("price", ["much", "NaN", None])
def test_an_unreadable_amount_is_shown_as_its_key(supervisor, stage, registered, price):
    saga = registered(stage.step("pay", money="price"))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga, context={"price": price})

    page = supervisor.get(act_url(execution, "compensate"))

    assert items(page, MONEY) == ["[price] will be refunded to the customer."]
    assert "Type x to confirm the refund" in text_of(page)


def test_the_amounts_of_several_steps_are_shown_as_one_sum(supervisor, stage, registered):
    saga = registered(stage.step("fare", money="fare"), stage.step("fee", money="fee"))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga, context={"fare": "10.10", "fee": 2})

    page = supervisor.get(act_url(execution, "compensate"))

    assert items(page, MONEY) == ["R$ 12.10 will be refunded to the customer."]


def test_the_preview_of_a_check_names_the_step_it_asks_about(support, stage, registered):
    saga = registered(stage.step("pay", lost(), idempotent=False, verify=[{}]))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0)

    page = support.get(act_url(execution, "verify"))

    assert items(page, CALLS) == ["The provider will be asked whether Pay was done."]


def test_looking_at_a_preview_changes_nothing(supervisor):
    execution = scene("collect_payment", "succeeded")
    before = SagaEvent.objects.count(), execution.version

    supervisor.get(act_url(execution, "compensate"))
    supervisor.head(act_url(execution, "compensate"))

    execution.refresh_from_db()
    assert (SagaEvent.objects.count(), execution.version) == before


def test_a_preview_without_the_permission_shows_nothing_personal(support):
    canaries = ("Ana Souza", "ana.souza", "11987654321", "refuse@example.com")
    pages = [
        support.get(act_url(scene("create_booking", "partial"), "retry")),
        support.get(act_url(scene("collect_payment", "refunded"), "retry")),
        support.get(act_url(scene("create_booking", "held"), "release")),
        support.get(act_url(scene("create_booking", "partial"), "resolve")),
    ]

    for page in pages:
        assert page.status_code == 200
        assert not [canary for canary in canaries if canary in page.content.decode()]


def test_a_release_that_asks_first_shows_the_money_of_either_answer(support, stage, registered):
    steps = {"retry_count": 0, "idempotent": False, "money": "price"}
    registered(
        stage.step("deposit", money="price"),
        stage.step("charge", OutcomeUnknown("lost"), verify=[RetryLater(3600)], **steps),
        stage.step("extras", money="price"),
    )
    run = orchestrator.get_saga_orchestrator().execute
    execution = run("x", "trip", context={"price": "10.00"}, max_seconds=0.2)
    perform(Operation.HOLD, "x")

    page = support.get(act_url(execution, "release"))

    lead = "The provider is asked first. Depending on the answer, it goes on or is undone."
    assert lead in text_of(page)
    assert items(page, CALLS) == ["The provider will be asked whether Charge was done."]
    assert items(page, MONEY) == [
        "If it goes on, R$ 10.00 will be charged to the customer.",
        "If it is undone, what was charged will be refunded to the customer: at most R$ 20.00.",
    ]
    assert items(page, POSSIBLE) == ["Extras will be done.", "Charge will be undone.", "Deposit will be undone."]
    assert items(page, IRREVERSIBLE) == [UNDO_IS_FINAL]
    preview = bulk.plan(Operation.RELEASE, [execution.pk])
    assert preview.money == {(Direction.ACTION, "BRL"): 10, (Direction.COMPENSATION, "BRL"): 20}


# A check with the provider ends a hold that the engine has set.


def held_by_the_engine(stage, registered, *steps):
    """Return an execution that is held because its last step was missing from the code; now the step is back."""
    execute = orchestrator.get_saga_orchestrator()
    registered(*steps)
    execution = execute.execute("x", "trip", context={"price": "10.00"}, max_seconds=0.2)
    registered(*steps[:-1])
    let_wait_pass(execution)
    held = execute.resume("x", max_seconds=0.2).held
    assert held.startswith(f"The definition of trip no longer has the step '{steps[-1].name}'")
    registered(*steps)
    return execution


@pytest.fixture
def charge_in_doubt(stage, registered):
    options = {"idempotent": False, "timeout": 0.05, "money": "price"}
    return held_by_the_engine(
        stage,
        registered,
        stage.step("deposit", money="price"),
        stage.step("charge", OutcomeUnknown("lost"), verify=[RetryLater(3600), {}], **options),
        stage.step("mail", undo=None),
    )


def test_a_check_that_ends_a_hold_shows_what_may_follow(support, charge_in_doubt):
    page = support.get(act_url(charge_in_doubt, "verify"))

    assert "The provider is asked first. Depending on the answer, it goes on or is undone." in text_of(page)
    assert items(page, CALLS) == ["The provider will be asked whether Charge was done."]
    assert items(page, POSSIBLE) == ["Mail will be done.", "Charge will be undone.", "Deposit will be undone."]
    assert items(page, KEPT) == ["Deposit is done."]
    assert items(page, MONEY) == [
        "If it is undone, what was charged will be refunded to the customer: at most R$ 20.00."
    ]
    assert items(page, IRREVERSIBLE) == ["Mail will be done.", UNDO_IS_FINAL]
    assert items(page, IN_DOUBT) == ["We don't know yet whether Charge was done."]
    assert "mail action x:1:mail" in text_of(page)


def test_a_check_that_ends_a_hold_asks_for_confirmation_first(support, charge_in_doubt, stage):
    case = support.get(case_url(charge_in_doubt)).content.decode()
    assert f'href="{act_url(charge_in_doubt, "verify")}">Check with the provider</a>' in case
    assert 'class="saga-operation-at-once"' not in case

    do(support, charge_in_doubt, "verify")

    assert orchestrator.get_saga_orchestrator().resume("x", max_seconds=0.2).state is SagaState.SUCCEEDED
    assert stage.told[-2:] == ["charge.verify", "mail"]


def test_a_check_that_certainly_refunds_asks_for_the_amount(support, stage, registered):
    no_answer = {"verify": [ValueError("?"), None], "retry_count": 0, "timeout": 0.05}
    execution = held_by_the_engine(
        stage,
        registered,
        stage.step("deposit", money="price"),
        stage.step("book", OutcomeUnknown("lost"), undo=[RetryLater(3600), {}], idempotent=False, **no_answer),
        stage.step("mail", undo=None),
    )

    page = support.get(act_url(execution, "verify"))

    assert items(page, CALLS) == ["The provider will be asked whether Book was done.", "Deposit will be undone."]
    assert items(page, POSSIBLE) == ["Book will be undone."]
    assert items(page, MONEY) == ["R$ 10.00 will be refunded to the customer."]
    asked = "The refund is R$ 10.00. Type this amount."
    assert asked in text_of(do(support, execution, "verify", amount="1.00"))
    assert not execution.events.filter(kind="verify").exists()
    do(support, execution, "verify", amount="10.00")
    orchestrator.get_saga_orchestrator().resume("x", max_seconds=0.2)
    assert stage.told[-2:] == ["book.verify", "deposit.undo"]


def test_a_check_that_certainly_goes_on_says_so(support, stage, registered):
    unsure = {"verify": [RetryLater(3600), {}], "idempotent": False, "timeout": 0.05, "optional": True}
    execution = held_by_the_engine(
        stage, registered, stage.step("book", OutcomeUnknown("lost"), **unsure), stage.step("mail", undo=None)
    )

    page = support.get(act_url(execution, "verify"))

    assert "The provider is asked first. Whatever the answer is, it goes on." in text_of(page)
    assert items(page, CALLS) == ["The provider will be asked whether Book was done.", "Mail will be done."]
    assert items(page, POSSIBLE) == []


def test_a_check_that_leaves_the_hold_shows_that_nothing_follows(support, stage, registered):
    lost = {"verify": [ValueError("?"), {}], "retry_count": 0, "timeout": 0.05, "optional": True, "undo": None}
    registered(
        stage.step("book", OutcomeUnknown("lost"), **lost),
        stage.step("pay", pivot=True, undo=None),
        stage.step("mail", StepFailed("no"), undo=None),
    )
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", max_seconds=0.2)
    let_wait_pass(execution)
    execution = orchestrator.get_saga_orchestrator().resume("x", max_seconds=0.2)
    assert execution.held.startswith("Step 'mail' failed for good after the point of no return.")

    page = support.get(act_url(execution, "verify"))

    assert "Asks the providers what really happened, and changes nothing there." in text_of(page)
    assert (items(page, POSSIBLE), items(page, MONEY)) == ([], [])
