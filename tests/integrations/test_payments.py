"""Contract tests of the port `PaymentGateway`, and the test cards of the sandbox."""

from decimal import Decimal

import pytest

from integrations import Undone
from integrations.exceptions import CompensationRefused, IdempotencyConflict, Kind, ProviderError, RetiredKey
from integrations.models import SandboxEffect
from integrations.payments import ChargeRequest
from integrations.payments.sandbox import APPROVED, DECLINED
from tests.integrations.conftest import in_time

pytestmark = pytest.mark.django_db


def charge_of(method: str = "pm_card_visa", amount: str = "420.00") -> ChargeRequest:
    return ChargeRequest(Decimal(amount), "BRL", method, "Ana Souza", "ana@example.com", "City tour")


def charge(gateway, request=None, key="s1:1:pay"):
    return gateway.charge(request or charge_of(), key=key, deadline=in_time())


def refund(gateway, request=None, external_id=None, key="s1:1:pay:undo"):
    return gateway.refund(
        request or charge_of(), key=key, action_key="s1:1:pay", external_id=external_id, deadline=in_time()
    )


def test_a_charge_is_found_under_its_key(gateway):
    done = charge(gateway)

    found = gateway.find(key="s1:1:pay", deadline=in_time())

    assert not done.replayed
    assert done.value.charged
    assert (done.value.amount, done.value.currency) == (Decimal("420.00"), "BRL")
    assert found.value == done.value


def test_nothing_is_found_under_a_key_that_was_never_used(gateway):
    assert gateway.find(key="s1:1:pay", deadline=in_time()) is None


def test_the_same_key_charges_once(gateway):
    first, second = charge(gateway), charge(gateway)

    assert second.replayed
    assert second.value == first.value


def test_another_key_charges_again(gateway):
    assert charge(gateway).value.id != charge(gateway, key="s1:2:pay").value.id


def test_the_same_key_with_another_request_is_a_conflict(gateway):
    charge(gateway)

    with pytest.raises(IdempotencyConflict) as caught:
        charge(gateway, charge_of(amount="4200.00"))

    assert caught.value.kind is Kind.REFUSED
    assert str(caught.value) == (
        "The provider has already used this idempotency key for a request with other content (idempotency_conflict)"
    )


@pytest.mark.parametrize("knows_the_id", [True, False])
def test_a_charge_is_refunded_with_or_without_its_id(gateway, knows_the_id):
    payment = charge(gateway).value

    undone = refund(gateway, external_id=payment.id if knows_the_id else None)

    assert undone == Undone(external_id=payment.id)
    assert not gateway.find(key="s1:1:pay", deadline=in_time()).value.charged


@pytest.mark.parametrize("key", ["s1:1:pay:undo", "s1:1:pay:undo:2"])
def test_a_second_refund_gives_nothing_back_again(gateway, key):
    payment = charge(gateway).value
    refund(gateway)

    assert refund(gateway, key=key) == Undone(already=True, external_id=payment.id)


def test_the_undo_of_a_charge_that_never_was_leaves_its_key_dead(gateway):
    undone = refund(gateway)

    assert undone.nothing_to_undo
    assert not undone.already
    with pytest.raises(RetiredKey) as caught:
        charge(gateway)
    assert caught.value.kind is Kind.REFUSED
    assert not gateway.find(key="s1:1:pay", deadline=in_time()).value.charged


def test_the_second_undo_of_a_charge_that_never_was_says_so(gateway):
    refund(gateway)

    undone = refund(gateway)

    assert undone.already
    assert undone.nothing_to_undo


def test_a_refunded_charge_is_not_charged_again_under_its_key(gateway):
    charge(gateway)
    refund(gateway)

    with pytest.raises(RetiredKey):
        charge(gateway)


def test_a_late_confirm_of_a_cancelled_payment_is_refused(gateway, plant):
    plant("payments", "charge", "fail_before")
    with pytest.raises(ProviderError):
        charge(gateway)

    undone = refund(gateway)

    assert undone.nothing_to_undo
    with pytest.raises(RetiredKey) as caught:
        charge(gateway)
    assert str(caught.value) == (
        "The payment was undone; the same request is not carried out again (payment_intent_unexpected_state)"
    )


def test_a_declined_charge_has_nothing_to_refund(gateway):
    with pytest.raises(ProviderError):
        charge(gateway, charge_of("pm_card_chargeDeclined"))

    assert refund(gateway, charge_of("pm_card_chargeDeclined")).nothing_to_undo


def test_a_refund_of_an_id_that_the_gateway_does_not_know_is_refused(gateway):
    with pytest.raises(ProviderError) as caught:
        refund(gateway, external_id="pi_stranger")

    assert (caught.value.kind, caught.value.code) == (Kind.REFUSED, "resource_missing")


@pytest.mark.parametrize("method", sorted(APPROVED))
def test_the_sandbox_charges_the_test_cards_that_work(gateway, method):
    assert charge(gateway, charge_of(method)).value.charged


@pytest.mark.parametrize("method", [*sorted(DECLINED), "pm_card_of_nobody"])
def test_the_sandbox_declines_the_other_test_cards_each_time(gateway, method):
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            charge(gateway, charge_of(method))
        assert caught.value.kind is Kind.REFUSED
    assert not gateway.find(key="s1:1:pay", deadline=in_time()).value.charged


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("pm_card_chargeDeclined", "The card was declined (card_declined)"),
        ("pm_card_insufficientFunds", "The card has insufficient funds (insufficient_funds)"),
        ("pm_card_chargeDeclinedExpiredCard", "The card has expired (expired_card)"),
        ("pm_card_new", "The payment gateway does not know this payment method (resource_missing)"),
    ],
)
def test_the_sandbox_says_why_a_card_is_declined(gateway, method, message):
    with pytest.raises(ProviderError) as caught:
        charge(gateway, charge_of(method))

    assert str(caught.value) == message


def test_the_sandbox_keeps_the_request_and_what_became_of_it(gateway):
    charge(gateway)
    refund(gateway)

    charged, undone = SandboxEffect.objects.filter(port="payments").order_by("pk")

    assert (charged.operation, charged.state, charged.request["amount"]) == ("charge", "refunded", "420.00")
    assert (undone.operation, undone.state, undone.external_id) == ("refund", "refunded", charged.external_id)


def test_a_refused_refund_says_what_a_person_can_do(gateway, plant):
    charge(gateway)
    plant("payments", "refund", "refuse")

    with pytest.raises(CompensationRefused) as caught:
        refund(gateway)

    assert caught.value.kind is Kind.REFUSED
    assert str(caught.value) == (
        "The payment gateway does not refund this payment (charge_not_refundable). "
        "Refund the customer in the gateway's dashboard, or by bank transfer. https://dashboard.payments.example/payments"
    )
    assert gateway.find(key="s1:1:pay", deadline=in_time()).value.charged
