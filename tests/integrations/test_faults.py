"""A sandbox produces each planned fault exactly as often as planned."""

import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connections

from integrations.email import Mail
from integrations.email.sandbox import SandboxMailer
from integrations.exceptions import Kind, ProviderError, RetiredKey
from integrations.models import SandboxEffect, SandboxFault
from integrations.payments import ChargeRequest
from integrations.payments.sandbox import SandboxGateway
from integrations.sandbox import probes
from tests.integrations.conftest import in_time
from tests.support.processes import exit_codes

CHARGE = ChargeRequest(Decimal("420.00"), "BRL", "pm_card_visa", "Ana Souza", "ana@example.com")


def charge(key: str = "s1:1:pay", seconds: float = 10.0):
    return SandboxGateway().charge(CHARGE, key=key, deadline=in_time(seconds))


def charged() -> int:
    return SandboxEffect.objects.filter(operation="charge", state="succeeded").count()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "kind", "message", "charges"),
    [
        ("fail_before", Kind.UNAVAILABLE, "The provider cannot be reached (unavailable)", 0),
        ("refuse", Kind.REFUSED, "The provider refuses the request (refused)", 0),
        ("throttle", Kind.THROTTLED, "The provider asks for fewer requests (rate_limit)", 0),
        (
            "effect_then_lose_reply",
            Kind.UNKNOWN,
            "The connection broke before the provider's answer came (reply_lost)",
            1,
        ),
        ("timeout", Kind.UNKNOWN, "The provider did not answer in time (timeout)", 1),
    ],
)
def test_a_fault_strikes_once_and_the_same_key_then_charges_once(plant, mode, kind, message, charges):
    fault = plant("payments", "charge", mode)

    with pytest.raises(ProviderError) as caught:
        charge(seconds=0.3)

    assert (caught.value.kind, str(caught.value)) == (kind, message)
    assert charged() == charges
    assert charge().value.charged
    assert charged() == 1
    fault.refresh_from_db()
    assert fault.remaining == 0


@pytest.mark.django_db
def test_a_throttled_call_says_when_to_come_back(plant):
    plant("payments", "charge", "throttle")

    with pytest.raises(ProviderError) as caught:
        charge()

    assert caught.value.retry_after == 1.0


@pytest.mark.django_db
def test_a_throttled_call_fails_at_once_with_the_latency_as_retry_after(plant):
    plant("payments", "charge", "throttle", latency_ms=3_600_000)
    begun = time.monotonic()

    with pytest.raises(ProviderError) as caught:
        charge()

    assert (caught.value.kind, caught.value.retry_after) == (Kind.THROTTLED, 3600.0)
    assert time.monotonic() - begun < 5


@pytest.mark.django_db
def test_a_timeout_blocks_until_past_the_deadline(plant):
    plant("payments", "charge", "timeout")
    deadline = in_time(0.2)

    with pytest.raises(ProviderError):
        SandboxGateway().charge(CHARGE, key="s1:1:pay", deadline=deadline)

    assert datetime.now(UTC) > deadline


@pytest.mark.django_db
def test_latency_only_delays(plant):
    plant("payments", "charge", "latency", latency_ms=150)
    begun = time.monotonic()

    assert charge().value.charged
    assert time.monotonic() - begun >= 0.15


@pytest.mark.django_db
def test_latency_past_the_deadline_leaves_the_outcome_unknown(plant):
    plant("payments", "charge", "latency", latency_ms=5000)

    with pytest.raises(ProviderError) as caught:
        charge(seconds=0.1)

    assert caught.value.kind is Kind.UNKNOWN


@pytest.mark.django_db
def test_a_call_after_its_deadline_is_never_sent():
    with pytest.raises(ProviderError) as caught:
        charge(seconds=-1)

    assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "no_time_left")
    assert not SandboxEffect.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "strikes"),
    [
        ({"port": "payments"}, True),
        ({"operation": "charge"}, True),
        ({}, True),
        ({"match": "s1:1"}, True),
        ({"match": "ana@example.com"}, True),
        ({"match": "420.00"}, True),
        ({"match": "s2:"}, False),
        ({"port": "email"}, False),
        ({"port": "payments", "operation": "refund"}, False),
        ({"remaining": 0}, False),
    ],
)
def test_a_fault_strikes_the_calls_that_it_fits(fault, strikes):
    SandboxFault.objects.create(mode="refuse", **fault)

    if strikes:
        with pytest.raises(ProviderError):
            charge()
    else:
        assert charge().value.charged


@pytest.mark.django_db
def test_faults_strike_in_the_order_in_which_they_were_ordered(plant):
    plant("payments", "charge", "throttle")
    plant("payments", "charge", "fail_before", remaining=2)
    kinds = []

    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            charge()
        kinds.append(caught.value.kind)

    assert kinds == [Kind.THROTTLED, Kind.UNAVAILABLE, Kind.UNAVAILABLE]
    assert charge().value.charged


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "field", "message"),
    [
        (
            {"port": "calendar", "operation": "ad", "mode": "refuse"},
            "operation",
            "Choose one of add, get, remove, or leave it empty.",
        ),
        ({"port": "letters", "mode": "refuse"}, "port", "Value 'letters' is not a valid choice."),
        ({"port": "email", "mode": "explode"}, "mode", "Value 'explode' is not a valid choice."),
        (
            {"port": "payments", "mode": "pending_n"},
            "mode",
            "Only invoices can be pending; set the port to invoices.",
        ),
    ],
)
def test_a_fault_that_could_never_strike_is_not_saved(fault, field, message):
    with pytest.raises(ValidationError) as caught:
        SandboxFault.objects.create(**fault)

    assert caught.value.message_dict == {field: [message]}


@pytest.mark.django_db
def test_probes_see_each_call_before_its_effect_and_after_its_commit():
    seen = []

    def look(moment, port, operation, key):
        rows = SandboxEffect.objects.filter(port="payments")
        seen.append((moment, port, operation, key, [row.state for row in rows]))

    probes.append(look)

    charge()

    assert seen == [
        ("before", "payments", "create", "s1:1:pay", []),
        ("after", "payments", "create", "s1:1:pay", ["requires_confirmation"]),
        ("before", "payments", "confirm", "s1:1:pay", ["requires_confirmation"]),
        ("after", "payments", "confirm", "s1:1:pay", ["succeeded"]),
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("mode", "state"), [("kill_process_before", "requires_confirmation"), ("kill_process_after", "succeeded")]
)
def test_a_killed_process_leaves_what_it_had_done_and_no_fault(plant, mode, state):
    fault = plant("payments", "charge", mode)

    assert exit_codes([charge]) == [137]

    assert [effect.state for effect in SandboxEffect.objects.all()] == [state]
    fault.refresh_from_db()
    assert fault.remaining == 0
    assert charge().replayed is (state == "succeeded")


@pytest.mark.django_db(transaction=True)
def test_processes_that_race_for_a_fault_take_it_as_often_as_ordered(plant):
    fault = plant("email", "send", "fail_before", remaining=10)

    def send_ten():
        for _ in range(10):
            send_or_fail()

    assert exit_codes([send_ten] * 4) == [0] * 4
    fault.refresh_from_db()
    assert fault.remaining == 0
    assert SandboxEffect.objects.count() == 30


@pytest.mark.django_db(transaction=True)
def test_processes_that_charge_under_one_key_charge_once():
    assert exit_codes([charge] * 4) == [0] * 4

    effect = SandboxEffect.objects.get()
    assert (effect.state, effect.calls) == ("succeeded", 4)


@pytest.mark.django_db(transaction=True)
def test_a_charge_and_its_undo_at_once_never_leave_the_customer_charged():
    for round_ in range(10):
        key = f"s{round_}:1:pay"

        def charge_or_be_refused(key=key):
            with suppress(RetiredKey):
                charge(key)

        def undo(key=key):
            SandboxGateway().refund(CHARGE, key=f"{key}:undo", action_key=key, deadline=in_time())

        assert exit_codes([charge_or_be_refused, undo]) == [0, 0]

    states = Counter(SandboxEffect.objects.filter(operation="charge").values_list("state", flat=True))
    assert set(states) <= {"canceled", "refunded"}
    assert states.total() == 10


@pytest.mark.django_db(transaction=True)
def test_threads_that_charge_under_one_key_charge_once():
    results, barrier = [], Barrier(8)

    def charge_at_once():
        barrier.wait()
        try:
            results.append(charge().replayed)
        finally:
            connections.close_all()

    threads = [Thread(target=charge_at_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == [False] + [True] * 7


def send_or_fail() -> None:
    with suppress(ProviderError):
        SandboxMailer().send(Mail("ana@example.com", "Hello", ""), key="s1:1:mail", deadline=in_time())
