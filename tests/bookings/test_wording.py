"""The texts about bookings and payments for support staff and customers, in English and Portuguese."""

import pytest
from django.utils.translation import override

from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.engine.leased_execution import load_history
from sagas.presentation.labels import step_label
from tests.support import new_id, run_saga
from tests.support.bookings import BOOKING, PAYMENT
from tests.support.readers import message, steps

pytestmark = pytest.mark.django_db

SAGAS = [CREATE_BOOKING_SAGA, COLLECT_PAYMENT_SAGA]
DECLINED = "pm_card_chargeDeclined"


def sentences(execution, saga, **options):
    """Return the sentence of each step."""
    return [step.sentence for step in steps(execution, saga, **options)]


def book(max_seconds=None, **changes):
    return run_saga(CREATE_BOOKING_SAGA, new_id(), context=BOOKING | changes, max_seconds=max_seconds)


def pay(max_seconds=None, **changes):
    return run_saga(COLLECT_PAYMENT_SAGA, new_id(), context=PAYMENT | changes, max_seconds=max_seconds)


def test_a_booking_that_stands():
    execution = book()

    number = execution.context["invoice_number"]
    assert sentences(execution, CREATE_BOOKING_SAGA, personal=True) == [
        f"Invoice {number} for R$ 420.00 was issued.",
        "The confirmation was sent to customer@example.com.",
        "The confirmation was sent by WhatsApp to +5511987654321.",
        "City tour on Dec. 1, 2026, 10 a.m. is in the calendar.",
    ]
    assert message(execution, CREATE_BOOKING_SAGA) == "Your booking of City tour on Dec. 1, 2026, 10 a.m. is confirmed."
    with override("pt-br"):
        assert sentences(execution, CREATE_BOOKING_SAGA) == [
            f"A nota fiscal {number} de R$ 420,00 foi emitida.",
            "A confirmação foi enviada para [customer_email].",
            "A confirmação foi enviada por WhatsApp para [customer_phone].",
            "City tour está na agenda em 01/12/2026 às 10:00.",
        ]
        assert message(execution, CREATE_BOOKING_SAGA) == (
            "Sua reserva de City tour em 01/12/2026 às 10:00 está confirmada."
        )


def test_a_customer_without_a_telephone_is_not_told_to_have_got_a_message():
    execution = book(customer_phone="")

    assert sentences(execution, CREATE_BOOKING_SAGA)[2] == "Confirmation by WhatsApp was not needed."
    with override("pt-br"):
        assert sentences(execution, CREATE_BOOKING_SAGA)[2] == "A etapa “Confirmação por WhatsApp” não foi necessária."


def test_a_booking_that_does_not_get_into_the_calendar(plant):
    plant("calendar", "add", "refuse")

    execution = book()

    history = load_history(execution)
    assert execution.state is SagaState.FAILED
    assert sentences(execution, CREATE_BOOKING_SAGA) == [
        "The invoice for R$ 420.00 was cancelled.",
        "A cancellation was sent to [customer_email].",
        "A cancellation was sent by WhatsApp to [customer_phone].",
        "City tour could not be added to the calendar.",
    ]
    assert message(execution, CREATE_BOOKING_SAGA) == "City tour was not booked."
    assert message(execution, CREATE_BOOKING_SAGA, history=history) == (
        "City tour could not be added to the calendar. City tour was not booked."
    )
    with override("pt-br"):
        assert message(execution, CREATE_BOOKING_SAGA, history=history) == (
            "Não foi possível colocar City tour na agenda. Não há reserva de City tour."
        )


def test_a_payment_that_was_made():
    execution = pay()

    number = execution.context["invoice_number"]
    assert sentences(execution, COLLECT_PAYMENT_SAGA, personal=True) == [
        "R$ 420.00 was charged.",
        f"The payment of R$ 420.00 is in the books as {number}.",
        "The receipt was sent to customer@example.com.",
        "The payment was reported to analytics.",
    ]
    assert message(execution, COLLECT_PAYMENT_SAGA) == "We have received your payment of R$ 420.00 for City tour."
    with override("pt-br"):
        assert sentences(execution, COLLECT_PAYMENT_SAGA, personal=True) == [
            "A cobrança de R$ 420,00 foi feita.",
            f"O pagamento de R$ 420,00 está lançado na contabilidade como {number}.",
            "O recibo foi enviado para customer@example.com.",
            "O pagamento foi registrado nas estatísticas.",
        ]


def test_a_card_that_is_declined_was_certainly_not_charged(ledger):
    execution = pay(payment_method=DECLINED)

    assert ("charge", "succeeded") not in ledger("payments")
    assert sentences(execution, COLLECT_PAYMENT_SAGA) == [
        "The payment of R$ 420.00 did not go through; nothing is charged.",
        "Entry in the books was not started.",
        "Receipt by e-mail was not started.",
        "Entry in the statistics was not started.",
    ]
    assert message(execution, COLLECT_PAYMENT_SAGA) == (
        "The payment of R$ 420.00 did not go through; nothing is charged. You have not paid anything for City tour."
    )
    with override("pt-br"):
        assert message(execution, COLLECT_PAYMENT_SAGA) == (
            "O pagamento de R$ 420,00 não foi concluído; nada foi cobrado. Você não pagou nada por City tour."
        )


def test_a_charge_whose_reply_was_lost_is_in_doubt_and_nobody_pays_twice(plant):
    plant("payments", "charge", "effect_then_lose_reply")

    execution = pay(max_seconds=0)

    assert sentences(execution, COLLECT_PAYMENT_SAGA) == [
        "It is not certain yet whether R$ 420.00 was charged.",
        "Entry in the books has not started yet.",
        "Receipt by e-mail has not started yet.",
        "Entry in the statistics has not started yet.",
    ]
    assert message(execution, COLLECT_PAYMENT_SAGA) == "We are processing your payment of R$ 420.00 for City tour."


def test_a_payment_without_a_receipt_is_given_back(plant):
    plant("email", "send", "refuse")

    execution = pay()

    number = execution.context["invoice_number"]
    assert sentences(execution, COLLECT_PAYMENT_SAGA) == [
        "The payment of R$ 420.00 was reversed; nothing stays charged.",
        f"The entry {number} in the books was voided.",
        "The receipt could not be sent to [customer_email].",
        "Entry in the statistics was not started.",
    ]
    assert message(execution, COLLECT_PAYMENT_SAGA) == "You have not paid anything for City tour."


def test_while_money_is_given_back_the_customer_is_asked_not_to_pay_again(plant):
    plant("email", "send", "refuse")
    plant("payments", "refund", "fail_before", remaining=9)

    execution = pay(max_seconds=3)

    assert execution.state is SagaState.COMPENSATING
    assert sentences(execution, COLLECT_PAYMENT_SAGA)[0] == "R$ 420.00 is being refunded."
    asked = "We are checking your payment of R$ 420.00 for City tour. Please do not pay again."
    assert message(execution, COLLECT_PAYMENT_SAGA) == asked


def test_every_step_has_a_name_in_portuguese():
    with override("pt-br"):
        names = [step_label(name, saga) for saga in SAGAS for name in saga.names]

    assert names == [
        "Nota fiscal",
        "Confirmação por e-mail",
        "Confirmação por WhatsApp",
        "Compromisso na agenda",
        "Cobrança",
        "Lançamento contábil",
        "Recibo por e-mail",
        "Registro nas estatísticas",
    ]


@pytest.mark.parametrize("saga", SAGAS, ids=lambda saga: saga.name)
def test_every_step_has_words_for_all_that_can_become_of_it(saga):
    for step in saga:
        of_an_undo = {"compensating", "compensated", "compensation_in_doubt", "not_compensated", "to_compensate"}
        by_hand = {"by_hand"} & set(step.wording)
        never = of_an_undo if step.compensation is None else set()
        never |= {"in_doubt", "compensation_in_doubt"} if step.transactional else set()
        assert (
            set(step.wording)
            == (of_an_undo | {"name", "doing", "done", "in_doubt", "refused", "to_do"} | by_hand) - never
        )
    assert set(saga.wording) == {"processing", "confirmed", "failed", "checking"}
