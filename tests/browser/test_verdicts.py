"""The page of an execution in a browser, on real sagas: its headline, and the group of each step."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from integrations.models import FaultMode
from sagaproject.bookings.demo.scenes import Fault
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.admin.cases import ANA, case_url, scene
from tests.support import new_id
from tests.support.bookings import BOOKING

from .rescues import begun, ended, groups, headline

pytestmark = pytest.mark.django_db(transaction=True)

# Matches the sentence before the check and the sentence during the check.
FINDS_OUT = re.compile("The provider (will be asked at .+|is being asked)\\.")
LOST, REFUSED = FaultMode.EFFECT_THEN_LOSE_REPLY, FaultMode.REFUSE
ALWAYS = 99

BOOKED = [
    "Invoice # for R$ 420.00 was issued.",
    "The confirmation was sent to [customer_email].",
    "The confirmation was sent by WhatsApp to [customer_phone].",
    "City tour on Dec. 1, 2026, 10 a.m. is in the calendar.",
]
TOLD_OTHERWISE = [
    "A cancellation was sent to [customer_email].",
    "A cancellation was sent by WhatsApp to [customer_phone].",
]
UNBOOKED = ["The invoice for R$ 420.00 was cancelled.", *TOLD_OTHERWISE]
NO_EVENT = ["City tour could not be added to the calendar."]
PAID = [
    "R$ 420.00 was charged.",
    "The payment of R$ 420.00 is in the books as INV-#.",
    "The receipt was sent to [customer_email].",
    "The payment was reported to analytics.",
]
VOIDED = "The entry INV-# in the books was voided."
UNPAID = ["The payment of R$ 420.00 was reversed; nothing stays charged.", VOIDED]
NO_RECEIPT = {
    "Not done": ["The receipt could not be sent to [customer_email]."],
    "Not started": ["Entry in the statistics was not started."],
}
LEFT = "“Receipt by e-mail”, “Entry in the statistics”"
STEPS = {
    "create_booking": ["Invoice", "Confirmation by e-mail", "Confirmation by WhatsApp", "Calendar entry"],
    "collect_payment": ["Charge", "Entry in the books", "Receipt by e-mail", "Entry in the statistics"],
}

DOUBTS = [
    ("create_booking", ("invoices", "issue"), "Invoice", "the invoice for R$ 420.00 was issued", []),
    (
        "create_booking",
        ("email", "send"),
        "Confirmation by e-mail",
        "the confirmation was sent to [customer_email]",
        BOOKED[:1],
    ),
    (
        "create_booking",
        ("whatsapp", "send_template"),
        "Confirmation by WhatsApp",
        "the confirmation was sent by WhatsApp to [customer_phone]",
        BOOKED[:2],
    ),
    ("create_booking", ("calendar", "add"), "Calendar entry", "City tour is in the calendar", BOOKED[:3]),
    ("collect_payment", ("payments", "charge"), "Charge", "R$ 420.00 was charged", []),
    ("collect_payment", ("email", "send"), "Receipt by e-mail", "the receipt was sent to [customer_email]", PAID[:2]),
    (
        "collect_payment",
        ("analytics", "track"),
        "Entry in the statistics",
        "the payment was reported to analytics",
        PAID[:3],
    ),
]


@pytest.mark.parametrize(("saga", "call", "step", "doubt", "done"), DOUBTS, ids=[one[2] for one in DOUBTS])
def test_what_is_in_doubt_is_told_as_that(agent, saga, call, step, doubt, done):
    execution = begun(saga, Fault(*call, LOST))

    page = agent("Support", case_url(execution))

    assert headline(page).inner_text() == f"In doubt. We don't know yet whether this was done: “{step}”."
    expect(page.locator(".saga-advice")).to_have_text(FINDS_OUT)
    steps = STEPS[saga]
    to_come = unbegun(steps[steps.index(step) + 1 :])
    found = groups(page)
    assert found.pop("In doubt") == [f"It is not certain yet whether {doubt}."]
    assert found.pop("Done", []) == done
    assert found == ({"To do": to_come} if to_come else {})


@dataclass(frozen=True)
class Situation:
    """An execution and the expected page: badge, headline, tone, and the sentences of each group that is not empty."""

    named: str
    make: Callable[[], SagaExecution]
    badge: str
    headline: str
    tone: str
    groups: dict[str, list[str]]


def held() -> SagaExecution:
    """Return a booking that a user put on hold before it began."""
    execution = get_saga_orchestrator().start(new_id(), "create_booking", context=BOOKING)
    return get_saga_orchestrator().hold(execution.saga_id, reason="she called", by=ANA)


def undone_on_request() -> SagaExecution:
    """Return a payment that was made, and then compensated on request."""
    return get_saga_orchestrator().compensate(begun("collect_payment").saga_id, reason="the wrong day", by=ANA)


def unbegun(names: list[str]) -> list[str]:
    """Return the sentences for steps that have not started."""
    return [f"{name} has not started yet." for name in names]


SITUATIONS = [
    Situation(
        "a booking that stands",
        lambda: begun("create_booking"),
        "Succeeded",
        "Everything is done.",
        "good",
        {"Done": BOOKED},
    ),
    Situation(
        "a payment that was made",
        lambda: begun("collect_payment"),
        "Succeeded",
        "Everything is done.",
        "good",
        {"Done": PAID},
    ),
    Situation(
        "a booking that failed and is undone",
        lambda: begun("create_booking", Fault("calendar", "add", REFUSED)),
        "Failed",
        "Failed at “Calendar entry”. Everything that was done before is undone.",
        "bad",
        {"Undone": UNBOOKED, "Not done": NO_EVENT},
    ),
    Situation(
        "a payment that failed and is given back",
        lambda: begun("collect_payment", Fault("email", "send", REFUSED)),
        "Failed",
        "Failed at “Receipt by e-mail”. Everything that was done before is undone.",
        "bad",
        {"Undone": UNPAID, **NO_RECEIPT},
    ),
    Situation(
        "a payment that nobody could be told of",
        lambda: ended("collect_payment", Fault("analytics", "track", LOST, remaining=ALWAYS)),
        "Succeeded",
        "Done, but we don't know whether this was done: “Entry in the statistics”.",
        "doubt",
        {"Done": PAID[:3], "In doubt": ["It is not certain yet whether the payment was reported to analytics."]},
    ),
    Situation(
        "a payment that could not be given back",
        lambda: begun("collect_payment", Fault("email", "send", REFUSED), Fault("payments", "refund", REFUSED)),
        "Partly undone",
        "Could not be undone: “Charge”.",
        "bad",
        {
            "Could not be undone": ["R$ 420.00 could not be refunded and is still charged."],
            "Undone": [VOIDED],
            **NO_RECEIPT,
        },
    ),
    Situation(
        "a payment that was undone on request",
        undone_on_request,
        "Failed",
        f"Undone by ana. This cannot be undone and stays: {LEFT}.",
        "bad",
        {"Done": PAID[2:], "Undone": UNPAID},
    ),
    Situation(
        "an undo that is set aside",
        lambda: scene("create_booking", "deferred"),
        "Undoing",
        "Undoing “Invoice” keeps failing.",
        "doubt",
        {
            "Undone": TOLD_OTHERWISE,
            "Being undone": ["The invoice for R$ 420.00 is being cancelled."],
            "Not done": ["City tour of Sao Paulo could not be added to the calendar."],
        },
    ),
    Situation(
        "a booking that a person holds",
        held,
        "On hold",
        "On hold, by ana. Nothing goes on until someone releases it.",
        "bad",
        {"To do": ["Invoice is on hold.", *unbegun(STEPS["create_booking"][1:])]},
    ),
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.named)
def test_a_case_is_told_as_it_stands(agent, situation):
    page = agent("Support", case_url(situation.make()))

    expect(page.locator("#saga-state .saga-state")).to_have_text(re.compile(rf"^\s*{situation.badge}\s*$"))
    expect(page.locator("#saga-state")).to_contain_class(f"saga-tone-{situation.tone}")
    assert headline(page).inner_text() == situation.headline
    assert groups(page) == situation.groups


def test_an_invoice_past_its_window_shows_portal_and_deadline(agent):
    execution = begun("create_booking", Fault("calendar", "add", REFUSED), description="Boat trip, past-window")
    number = execution.context["invoice_number"]

    page = agent("Support", case_url(execution))

    stands = "Could not be undone: “Invoice”."
    assert headline(page).inner_text() == stands
    assert groups(page) == {
        "Could not be undone": ["Invoice # for R$ 420.00 could not be cancelled and is still valid."],
        "Undone": TOLD_OTHERWISE,
        "Not done": ["Boat trip, past-window could not be added to the calendar."],
    }
    group = page.locator("#saga-groups section", has=page.get_by_role("heading", name="Could not be undone"))
    expect(group.locator(".saga-reference", has_text=number)).to_be_visible()
    expect(group).to_contain_text(f"The city's tax office can cancel invoice {number} until ")
    portal = f"https://portal.invoices.example/nfse/{number}"
    expect(group.get_by_role("link", name=portal)).to_have_attribute("href", portal)
