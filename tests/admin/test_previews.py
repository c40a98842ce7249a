"""Before an act: what it will do, what it will not do again, the money it moves, what cannot be taken back."""

import pytest

from sagas import OutcomeUnknown, RetryLater, StepFailed, orchestrator
from sagas.models import SagaEvent
from sagas.operations import Act, batches, perform
from sagas.states import Direction
from tests.support import lost

from .cases import act_url, items, scene, text_of

CALLS = "What happens, in this order"
KEPT = "What is not done again"
MONEY = "Money"
FOR_GOOD = "What cannot be taken back"
DOUBT = "What nobody knows yet"
AN_UNDO = "An undo is for good: what it takes back can only be started anew."


def test_a_new_attempt_after_a_refund_charges_again(supervisor):
    execution = scene("collect_payment", "refunded")

    page = supervisor.get(act_url(execution, "retry"))

    assert "Try again from the start" in text_of(page)
    assert "It is done once more, from the first step; nothing of the last time counts." in text_of(page)
    assert "Technical view" in text_of(page)
    assert "Starts run 2 from the first step, with new idempotency keys." in text_of(page)
    assert items(page, CALLS) == [
        "R$ 420.00 is charged to the customer.",
        "The payment of R$ 420.00 is entered into the books.",
        "A receipt is sent to refuse@example.com.",
        "The payment is reported to analytics.",
    ]
    assert items(page, MONEY) == ["R$ 420.00 is charged to the customer."]
    assert items(page, FOR_GOOD) == [
        "A receipt is sent to refuse@example.com.",
        "The payment is reported to analytics.",
    ]
    assert items(page, KEPT) == []
    assert items(page, DOUBT) == []


def test_an_undo_of_a_finished_payment_gives_the_money_back(supervisor):
    page = supervisor.get(act_url(scene("collect_payment", "succeeded"), "compensate"))

    assert "Undoes the finished saga, last step first." in text_of(page)
    assert items(page, CALLS) == [
        "The entry of R$ 420.00 in the books is voided.",
        "R$ 420.00 is given back to the customer.",
    ]
    assert items(page, KEPT) == [
        "The receipt was sent to ana.souza@example.com.",
        "The payment was reported to analytics.",
    ]
    assert items(page, MONEY) == ["R$ 420.00 goes back to the customer."]
    assert items(page, FOR_GOOD) == [AN_UNDO]
    assert "Type R$ 420.00 to confirm that it goes back to the customer" in text_of(page)


def test_what_is_undone_already_is_not_undone_again(support):
    page = support.get(act_url(scene("collect_payment", "partial"), "retry"))

    assert "Undo again" in text_of(page)
    assert items(page, CALLS) == ["R$ 420.00 is given back to the customer."]
    [voided] = items(page, KEPT)
    assert voided.startswith("The entry INV-")
    assert voided.endswith(" in the books was voided.")


def test_a_release_tells_all_that_follows_and_not_only_the_first_call(support):
    page = support.get(act_url(scene("create_booking", "held"), "release"))

    assert items(page, CALLS) == [
        "An invoice for R$ 420.00 is issued.",
        "A confirmation is sent to [customer_email].",
        "A confirmation is sent by WhatsApp to [customer_phone].",
        "City tour of Sao Paulo on Dec. 1, 2030, 10 a.m. is put into the calendar.",
    ]
    assert items(page, MONEY) == []


def test_a_release_of_a_rollback_tells_all_undos_that_follow(support, stage, registered):
    def holds(context):
        perform(Act.HOLD, context.saga_id, reason="look")

    saga = registered(
        stage.step("a"), stage.step("b"), stage.step("c", undo=[holds]), stage.step("d", StepFailed("no"))
    )
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga)

    page = support.get(act_url(execution, "release"))

    assert items(page, CALLS) == ["B is undone.", "A is undone."]
    assert items(page, KEPT) == ["C is undone."]


def test_a_step_without_words_is_told_by_its_name(support, stage, registered):
    saga = registered(stage.step("book_hotel", StepFailed("no"), pivot=True, undo=None))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga)

    page = support.get(act_url(execution, "retry"))

    assert items(page, CALLS) == ["Book hotel is done."]
    assert items(page, FOR_GOOD) == [
        "Book hotel is done.",
        "Once Book hotel is done, nothing of this can be undone any more.",
    ]


def test_a_refund_of_what_may_not_have_been_charged_says_so(supervisor, stage, registered):
    pay = stage.step("pay", OutcomeUnknown("no answer"), undo=[StepFailed("no")], money="price", retry_count=0)
    saga = registered(pay)
    execution = orchestrator.get_saga_orchestrator().execute(
        "x", "trip", saga, context={"price": "1234.5", "currency": "EUR"}
    )

    page = supervisor.get(act_url(execution, "retry"))

    assert items(page, MONEY) == ["€ 1,234.50 goes back to the customer, if it was charged."]
    assert items(page, DOUBT) == ["Pay may have been done or not; it is not known yet."]


@pytest.mark.parametrize("price", ["much", "NaN", None])
def test_an_amount_that_cannot_be_read_is_not_made_up(supervisor, stage, registered, price):
    saga = registered(stage.step("pay", money="price"))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga, context={"price": price})

    page = supervisor.get(act_url(execution, "compensate"))

    assert items(page, MONEY) == ["[price] goes back to the customer."]
    assert "Type x to confirm that money of this case goes back" in text_of(page)


def test_what_several_steps_move_is_told_as_one_sum(supervisor, stage, registered):
    saga = registered(stage.step("fare", money="fare"), stage.step("fee", money="fee"))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga, context={"fare": "10.10", "fee": 2})

    page = supervisor.get(act_url(execution, "compensate"))

    assert items(page, MONEY) == ["R$ 12.10 goes back to the customer."]


def test_the_preview_of_a_check_says_whom_it_asks(support, stage, registered):
    saga = registered(stage.step("pay", lost(), idempotent=False, verify=[{}]))
    execution = orchestrator.get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0)

    page = support.get(act_url(execution, "verify"))

    assert items(page, CALLS) == ["The provider is asked whether Pay was done."]


def test_looking_at_a_preview_changes_nothing(supervisor):
    execution = scene("collect_payment", "succeeded")
    before = SagaEvent.objects.count(), execution.version

    supervisor.get(act_url(execution, "compensate"))
    supervisor.head(act_url(execution, "compensate"))

    execution.refresh_from_db()
    assert (SagaEvent.objects.count(), execution.version) == before


def test_a_preview_without_the_permission_tells_nothing_personal(support):
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


def test_a_release_that_asks_first_tells_the_money_that_either_answer_moves(support, stage, registered):
    steps = {"retry_count": 0, "idempotent": False, "money": "price"}
    registered(
        stage.step("deposit", money="price"),
        stage.step("charge", OutcomeUnknown("lost"), verify=[RetryLater(3600)], **steps),
        stage.step("extras", money="price"),
    )
    run = orchestrator.get_saga_orchestrator().execute
    execution = run("x", "trip", context={"price": "10.00"}, max_seconds=0.2)
    perform(Act.HOLD, "x")

    page = support.get(act_url(execution, "release"))

    lead = "The provider is asked first; as its answer is, it goes on, or what was done is undone."
    assert lead in text_of(page)
    assert items(page, CALLS) == ["The provider is asked whether Charge was done."]
    assert items(page, MONEY) == [
        "If it goes on, R$ 10.00 is charged to the customer.",
        "If it is undone, as much as was charged goes back to the customer: R$ 20.00 at most.",
    ]
    forecast = batches.prepare(Act.RELEASE, [execution.pk])
    assert forecast.money == {(Direction.ACTION, "BRL"): 10, (Direction.COMPENSATION, "BRL"): 20}
