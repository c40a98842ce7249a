"""The provider is a strict fake: it records an objection to each forbidden call."""

import time

import pytest

from tests.chaos.limits import TIMEOUT
from tests.chaos.provider.faults import LOST_REQUEST, NONE, REFUSED, TWICE, Dice
from tests.chaos.provider.ledger import NEVER_TWICE, OPERATIONS, REFUSABLE, Ledger, Request

KEY = "order-1:1:charge"


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()


def ask(ledger, asks, *, key=KEY, place=0, step="charge", age=0.0, **more):
    port, operation = asks.split(".")
    deadline = time.time() + TIMEOUT - age
    request = Request(port, operation, key, "order-1", step, place, deadline, **more)
    return ledger.answer(request)


def objections(ledger):
    return [row["sentence"].partition(": ")[2] for row in ledger.execute("SELECT * FROM objections")]


def pay(ledger, **more):
    _, payment = ask(ledger, "payments.create", **more)
    return payment["id"], ask(ledger, "payments.confirm", id=payment["id"], **more)[0]


def test_a_repeated_payment_with_the_same_key_is_one_payment(ledger):
    assert pay(ledger) == pay(ledger)
    assert objections(ledger) == []


def test_a_second_charge_under_another_key_is_objected_to(ledger):
    pay(ledger)
    pay(ledger, key="order-1:1:charge:again")

    assert objections(ledger) == ["the step has an effect already"]


def test_a_late_confirm_of_a_cancelled_payment_is_refused(ledger):
    _, payment = ask(ledger, "payments.create")
    assert ask(ledger, "payments.cancel", key=f"{KEY}:undo", id=payment["id"]) == (200, {"charged": False})

    assert ask(ledger, "payments.confirm", id=payment["id"])[0] == 409
    assert objections(ledger) == []


def test_a_second_compensation_under_another_key_is_objected_to(ledger):
    payment, _ = pay(ledger)
    for key in (f"{KEY}:undo", f"{KEY}:undo", f"{KEY}:undo:2"):
        ask(ledger, "payments.refund", key=key, id=payment)

    assert objections(ledger) == [f"it was compensated under {KEY}:undo already"]


@pytest.mark.parametrize("asks", ["payments.refund", "payments.cancel", "calendar.delete", "invoices.take_back"])
def test_a_compensation_of_something_unknown_is_objected_to(ledger, asks):
    assert ask(ledger, asks, id=7)[0] == 409
    assert len(objections(ledger)) == 1


def test_a_compensation_out_of_order_is_objected_to(ledger):
    payment, _ = pay(ledger)
    ask(ledger, "calendar.put", place=1, step="book", key="order-1:1:book", id="event")
    ask(ledger, "payments.refund", key=f"{KEY}:undo", id=payment)

    assert objections(ledger) == ["out of order: book is not compensated yet"]


def test_an_id_that_was_deleted_in_doubt_is_never_used(ledger):
    ask(ledger, "calendar.delete", id="event", in_doubt=True)

    assert ask(ledger, "calendar.put", id="event")[0] == 422
    assert objections(ledger) == []


def test_a_letter_after_its_deadline_is_marked_as_late(ledger):
    ask(ledger, "messages.post", age=TIMEOUT)
    ask(ledger, "messages.post", age=3 * TIMEOUT)
    ask(ledger, "calendar.put", age=3 * TIMEOUT, id="event")

    assert [row["late"] for row in ledger.execute("SELECT late FROM effects ORDER BY id")] == [0, 1, 0]


def fates(seed, rate=0.1):
    dice = Dice(seed, rate)
    requests = [Request(*asks.split("."), f"{n}:1:x", "s", "x", 0, 0.0) for n in range(200) for asks in OPERATIONS]
    return [(request.asks, dice.throw(request, TIMEOUT).kind) for request in requests]


def test_a_tenth_of_the_calls_fail_and_a_seed_repeats_them():
    thrown = fates("a")

    assert thrown == fates("a") != fates("b")
    assert 0.08 < sum(kind != NONE for _, kind in thrown) / len(thrown) < 0.12


def test_each_call_gets_only_faults_that_it_can_have():
    thrown = fates("a", rate=1.0)

    assert {asks for asks, kind in thrown if kind == REFUSED} == REFUSABLE
    assert NEVER_TWICE.isdisjoint(asks for asks, kind in thrown if kind == TWICE)
    assert {asks for asks, kind in thrown if kind == LOST_REQUEST} == set(OPERATIONS)
