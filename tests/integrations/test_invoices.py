"""Contract tests of the port `InvoiceIssuer`, and the customers for which the sandbox simulates errors."""

from datetime import timedelta
from decimal import Decimal

import pytest

from integrations import Done, Pending, Undone
from integrations.exceptions import CompensationRefused, IdempotencyConflict, Kind, ProviderError, RetiredKey
from integrations.invoices import InvoiceRequest
from integrations.models import SandboxEffect
from tests.integrations.conftest import in_time

pytestmark = pytest.mark.django_db

CPF, CPF_REJECTED, CNPJ, CNPJ_WITH_99 = "52998224725", "52998201199", "12ABC34501DE35", "11222333006899"


def request_of(document: str = CPF, description: str = "City tour") -> InvoiceRequest:
    return InvoiceRequest("Ana Souza", "ana@example.com", document, description, Decimal("420.00"))


def issue(issuer, request=None, key="s1:1:nf"):
    return issuer.issue(request or request_of(), key=key, deadline=in_time())


def fetch(issuer):
    return issuer.fetch(key="s1:1:nf", deadline=in_time())


def cancel(issuer, external_id=None, key="s1:1:nf:undo"):
    return issuer.cancel(
        "The booking failed", key=key, action_key="s1:1:nf", external_id=external_id, deadline=in_time()
    )


@pytest.mark.parametrize("document", [CPF, CNPJ, CNPJ_WITH_99])
def test_an_invoice_is_found_under_its_key(issuer, document):
    done = issue(issuer, request_of(document))

    assert isinstance(done, Done)
    assert not done.replayed
    assert done.value.number
    assert fetch(issuer).value == done.value


def test_nothing_is_found_under_a_key_that_was_never_used(issuer):
    assert fetch(issuer) is None


def test_the_same_key_issues_once(issuer):
    first, second = issue(issuer), issue(issuer)

    assert second == Done(first.value, replayed=True)


def test_the_same_key_with_another_request_is_a_conflict(issuer):
    issue(issuer)

    with pytest.raises(IdempotencyConflict):
        issue(issuer, request_of(description="Another tour"))


@pytest.mark.parametrize("knows_the_ref", [True, False])
def test_an_invoice_is_cancelled_with_or_without_its_ref(issuer, knows_the_ref):
    ref = issue(issuer).value.ref

    assert cancel(issuer, ref if knows_the_ref else None) == Undone(external_id=ref)


@pytest.mark.parametrize("key", ["s1:1:nf:undo", "s1:1:nf:undo:2"])
def test_a_second_cancellation_finds_it_done(issuer, key):
    ref = issue(issuer).value.ref
    cancel(issuer)

    assert cancel(issuer, key=key) == Undone(already=True, external_id=ref)


def test_cancelling_an_invoice_that_does_not_exist_leaves_no_trace(issuer):
    assert cancel(issuer) == Undone(nothing_to_undo=True, external_id="")
    assert isinstance(issue(issuer), Done)


def test_a_cancelled_invoice_is_not_issued_again_under_its_key(issuer):
    issue(issuer)
    cancel(issuer)

    with pytest.raises(RetiredKey):
        issue(issuer)
    with pytest.raises(RetiredKey):
        fetch(issuer)


def test_an_invoice_in_processing_is_pending_until_it_is_decided(issuer, plant):
    plant("invoices", "", "pending_n", remaining=3)

    answers = [issue(issuer), fetch(issuer), cancel(issuer)]

    assert all(isinstance(answer, Pending) for answer in answers)
    assert answers[0].poll_after > 0
    assert fetch(issuer).value.ref == answers[0].external_id


def test_an_invoice_in_processing_that_was_finished_meanwhile_is_cancelled(issuer, plant):
    plant("invoices", "issue", "pending_n")
    pending = issue(issuer)

    assert cancel(issuer, pending.external_id) == Undone(external_id=pending.external_id)


def test_a_cpf_that_ends_in_99_is_not_authorised(issuer):
    for ask in (lambda: issue(issuer, request_of(CPF_REJECTED)), lambda: fetch(issuer)):
        with pytest.raises(ProviderError) as caught:
            ask()
        assert (caught.value.kind, caught.value.code) == (Kind.REFUSED, "erro_autorizacao")


def test_an_invoice_that_was_not_authorised_has_nothing_to_cancel(issuer):
    with pytest.raises(ProviderError):
        issue(issuer, request_of(CPF_REJECTED))

    undone = cancel(issuer)

    assert undone.nothing_to_undo
    assert undone.external_id


def test_a_document_that_is_none_is_refused(issuer):
    with pytest.raises(ProviderError) as caught:
        issue(issuer, request_of("52998224724"))

    assert caught.value.kind is Kind.REFUSED
    assert str(caught.value) == "Enter a valid CPF or CNPJ. (invalid_document)"
    assert fetch(issuer) is None


def test_a_late_cancellation_says_what_a_person_can_do_and_until_when(issuer):
    invoice = issue(issuer, request_of(description="City tour, past-window")).value

    with pytest.raises(CompensationRefused) as caught:
        cancel(issuer)

    refusal = caught.value
    until = SandboxEffect.objects.get(operation="issue").created_at + timedelta(days=5)
    assert refusal.kind is Kind.REFUSED
    assert (refusal.code, refusal.until) == ("E523", until)
    assert str(refusal) == (
        f"It is too late to cancel invoice {invoice.number} by web service (E523). "
        f"Ask the city's tax office to cancel it, in its portal. {invoice.url}"
    )
    assert fetch(issuer).value == invoice


def test_a_fault_refuses_a_cancellation_in_the_same_words(issuer, plant):
    issue(issuer)
    plant("invoices", "cancel", "refuse")

    with pytest.raises(CompensationRefused) as caught:
        cancel(issuer)

    assert caught.value.code == "E523"
    assert cancel(issuer).already is False
