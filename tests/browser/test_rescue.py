"""Each operation on real sagas, from the preview to its end, with a mouse and with a keyboard."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, expect

from integrations.models import FaultMode
from sagaproject.bookings.demo.scenes import Fault
from sagas.models import SagaExecution
from tests.admin.cases import case_url, scene

from .rescues import Keyboard, Mouse, begun, effects, ended, foretold, headline, work_on

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED, AWAY, DOWN = FaultMode.REFUSE, FaultMode.THROTTLE, FaultMode.FAIL_BEFORE
AN_HOUR, ALWAYS = 3_600_000, 99
WHY = "she called <b>twice</b> & waits"
REASON = re.compile("^(Reason|What happened)")
A_LOOK = 5_000
HANDS = [Mouse(), Keyboard()]

CALLS, KEPT, MONEY = "What will happen, in this order", "What will not be repeated", "Money"
LEFT = "“Receipt by e-mail”, “Entry in the statistics”"
FOR_GOOD = "What can't be reversed"
AN_UNDO = "What is undone can't be restored."
BACK = "R$ 420.00 will be refunded to the customer."
CONFIRM = "Type R$ 420.00 to confirm the refund"
GIVEN_BACK = [("charge", "refunded"), ("refund", "refunded")]
TAKE_BACK = ["The entry of R$ 420.00 in the books will be voided.", "R$ 420.00 will be refunded to the customer."]
CHARGE_ANEW = [
    "R$ 420.00 will be charged to the customer.",
    "The payment of R$ 420.00 will be entered into the books.",
    "A receipt will be sent to [customer_email].",
    "The payment will be reported to analytics.",
]


@dataclass(frozen=True)
class Rescue:
    """An operation: the user's role, the execution, the preview, the user's input, and the expected results.

    `greeting` is the message after the confirmation; `ends` is the headline after the workers have finished.
    `kept` is what the execution's page records about the operation.
    `effects` are the final effects of the provider of `port`.
    """

    operation: str
    role: str
    make: Callable[[], SagaExecution]
    button: str
    foretold: dict[str, list[str]]
    greeting: str
    ends: str
    kept: list[str]
    port: str
    effects: list[tuple[str, str]]
    corrected: dict[str, str] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    chosen: str = ""


RESCUES = [
    Rescue(
        "retry",
        "Support",
        lambda: begun("collect_payment", Fault("email", "send", REFUSED)),
        "Retry",
        {CALLS: CHARGE_ANEW, MONEY: CHARGE_ANEW[:1], FOR_GOOD: CHARGE_ANEW[2:]},
        "Retrying from the first step. This page updates itself.",
        "Everything is done.",
        ["sara retried it.", "State: “Failed” → “Pending”.", "Run 2 started."],
        "payments",
        [*GIVEN_BACK, ("charge", "succeeded")],
    ),
    Rescue(
        "cancel",
        "Supervisor",
        lambda: begun("collect_payment", Fault("email", "send", AWAY, AN_HOUR)),
        "Cancel and undo",
        {CALLS: TAKE_BACK, MONEY: [BACK], FOR_GOOD: [AN_UNDO]},
        "Cancelled. What was done is being undone; this page updates itself.",
        "Cancelled by sara. Nothing is left.",
        ["sara cancelled it.", "State: “In progress” → “Undoing”."],
        "payments",
        GIVEN_BACK,
        typed={CONFIRM: "420,00"},
    ),
    Rescue(
        "compensate",
        "Supervisor",
        lambda: begun("collect_payment"),
        "Undo everything",
        {
            CALLS: TAKE_BACK,
            KEPT: ["The receipt was sent to customer@example.com.", "The payment was reported to analytics."],
            MONEY: [BACK],
            FOR_GOOD: [AN_UNDO],
        },
        "Undoing everything, last step first. This page updates itself.",
        f"Undone by sara. This cannot be undone and stays: {LEFT}.",
        ["sara had everything undone.", "State: “Succeeded” → “Undoing”."],
        "payments",
        GIVEN_BACK,
        typed={CONFIRM: "R$ 420.00"},
    ),
    Rescue(
        "retry",
        "Support",
        lambda: begun("collect_payment", Fault("email", "send", REFUSED), Fault("payments", "refund", REFUSED)),
        "Undo again",
        {CALLS: TAKE_BACK[1:], KEPT: ["The entry INV-# in the books was voided."], MONEY: [BACK], FOR_GOOD: [AN_UNDO]},
        "Undoing again. This page updates itself.",
        "Failed at “Receipt by e-mail”. Everything that was done before is undone.",
        ["sara retried it.", "State: “Partly undone” → “Undoing”."],
        "payments",
        GIVEN_BACK,
        typed={CONFIRM: "R$420,00"},
    ),
    Rescue(
        "correct",
        "Supervisor",
        lambda: begun("collect_payment", customer_email="refuse@example.com"),
        "Correct the input and retry",
        {
            "What changes": [],
            CALLS: [call.replace("[customer_email]", "ana@example.com") for call in CHARGE_ANEW],
            MONEY: CHARGE_ANEW[:1],
            FOR_GOOD: ["A receipt will be sent to ana@example.com.", CHARGE_ANEW[3]],
        },
        "The input is corrected. Retrying from the first step; this page updates itself.",
        "Everything is done.",
        ["sara corrected the input.", "Customer email: refuse@example.com → ana@example.com"],
        "payments",
        [*GIVEN_BACK, ("charge", "succeeded")],
        corrected={"Customer email": "ana@example.com"},
    ),
    Rescue(
        "resolve",
        "Support",
        lambda: begun("create_booking", Fault("calendar", "add", REFUSED), description="Boat trip, past-window"),
        "Mark a step as resolved",
        {},
        "Recorded. Nothing is left to undo.",
        "Failed at “Calendar entry”. Everything that was done before is undone.",
        ["sara recorded “Invoice” as undone.", "Evidence: protocol <i>77</i> of the city hall"],
        "invoices",
        [("issue", "authorized")],
        typed={"How do you know?": "protocol <i>77</i> of the city hall"},
        chosen="The invoice for R$ 420.00 was cancelled.",
    ),
    Rescue(
        "hold",
        "Support",
        lambda: begun("create_booking", Fault("invoices", "issue", AWAY, AN_HOUR)),
        "Put on hold",
        {},
        "On hold. Nothing continues until someone releases it.",
        "On hold, by sara. Nothing goes on until someone releases it.",
        ["sara put it on hold."],
        "invoices",
        [],
    ),
    Rescue(
        "release",
        "Support",
        lambda: scene("create_booking", "held"),
        "Release",
        {
            CALLS: [
                "An invoice for R$ 420.00 will be issued.",
                "A confirmation will be sent to [customer_email].",
                "A confirmation will be sent by WhatsApp to [customer_phone].",
                "City tour of Sao Paulo on Dec. 1, 2030, 10 a.m. will be added to the calendar.",
            ]
        },
        "Released. It continues from where it stopped; this page updates itself.",
        "Everything is done.",
        ["sara released it."],
        "invoices",
        [("issue", "authorized")],
    ),
    Rescue(
        "acknowledge",
        "Support",
        lambda: ended("create_booking", Fault("invoices", "issue", DOWN, remaining=ALWAYS)),
        "Acknowledge",
        {},
        "Acknowledged. It no longer needs attention.",
        "Failed at “Invoice”. There was nothing to undo.",
        ["sara acknowledged it."],
        "invoices",
        [],
    ),
]


@pytest.mark.parametrize("hand", HANDS, ids=["mouse", "keyboard"])
@pytest.mark.parametrize("rescue", RESCUES, ids=lambda one: one.button)
def test_an_act_from_the_case_to_its_end(agent, rescue, hand):
    execution = rescue.make()
    page = agent(rescue.role, case_url(execution))
    page.clock.install()
    hand.press(page.get_by_role("link", name=rescue.button, exact=True))
    expect(page.get_by_role("heading", level=1)).to_have_text(rescue.button)
    correct(page, hand, rescue)
    assert foretold(page) == rescue.foretold

    give_a_reason(page, hand, rescue)
    expect(page.locator(".messagelist")).to_have_text(rescue.greeting)
    told = page.locator(".saga-events > li", has_text=rescue.kept[0])
    for sentence in [*rescue.kept, WHY]:
        expect(told).to_contain_text(sentence)

    work_on()
    page.clock.run_for(A_LOOK)
    expect(headline(page)).to_have_text(rescue.ends)
    assert effects(rescue.port) == rescue.effects
    events = execution.events.filter(kind=rescue.operation, source="admin")
    assert [(event.actor.username, event.actor_name, event.reason) for event in events] == [("sara", "sara", WHY)]


def correct(page: Page, hand: Mouse | Keyboard, rescue: Rescue) -> None:
    """Enter the corrected values into the form of the input, if the operation has any."""
    for label, text in rescue.corrected.items():
        hand.write(page.get_by_label(label), text)
        hand.press(page.get_by_role("button", name="Show what changes"))
        expect(page.locator("ins")).to_have_text([text])


def give_a_reason(page: Page, hand: Mouse | Keyboard, rescue: Rescue) -> None:
    """Confirm the preview without a reason, then with an empty reason, then with a valid one."""
    reason, confirm = page.get_by_label(REASON), page.get_by_role("button", name=rescue.button, exact=True)
    if rescue.chosen:
        hand.choose(page.get_by_label(rescue.chosen))
    for label, text in rescue.typed.items():
        hand.write(page.get_by_label(label), text)
    hand.press(confirm)
    expect(reason).to_be_focused()
    hand.write(reason, "  ")
    hand.press(confirm)
    expect(reason).to_have_accessible_description(re.compile("This field is required."))
    hand.write(reason, WHY)
    hand.press(confirm)
