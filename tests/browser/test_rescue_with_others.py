"""An execution that changes while a user decides, two users who act at once, and checks with providers."""

import re

import pytest
from playwright.sync_api import Page, expect

from integrations.models import FaultMode
from sagaproject.bookings.demo.scenes import Fault
from sagas import StepFailed
from sagas.models import SagaEvent
from sagas.testing import drain
from tests.admin.cases import act_url, case_url
from tests.support import Stage, let_wait_pass, run

from .rescues import Keyboard, Mouse, begun, effects, foretold, groups, headline, work_on

pytestmark = pytest.mark.django_db(transaction=True)

AN_HOUR = 3_600_000
A_LOOK = 5_000
MOVED = "The case has changed since you opened this page, so nothing was done. Check it, then decide again."
CONFIRM = "Type R$ 420.00 to confirm the refund"
REASON = "she changed her mind"
IS_ASKED = "Checking with the provider. This page updates itself."
HANDS = pytest.mark.parametrize("hand", [Mouse(), Keyboard()], ids=["mouse", "keyboard"])


@HANDS
def test_the_provider_is_asked_what_became_of_a_charge(agent, hand):
    execution = begun("collect_payment", Fault("payments", "charge", FaultMode.EFFECT_THEN_LOSE_REPLY))
    page = agent("Support", case_url(execution))
    page.clock.install()
    reason, check = page.get_by_label("Reason"), page.get_by_role("button", name="Check with the provider")
    hand.write(reason, "")
    hand.press(check)
    expect(reason).to_be_focused()
    hand.write(reason, "she was charged, she says")
    hand.press(check)

    expect(page.locator(".messagelist")).to_have_text(IS_ASKED)
    expect(page.locator(".saga-events > li").first).to_contain_text("sara checked with the provider.")
    expect(page.locator(".saga-events > li").first).to_contain_text("she was charged, she says")
    work_on()
    page.clock.run_for(A_LOOK)
    expect(headline(page)).to_have_text("Everything is done.")
    assert groups(page)["Done"][0] == "R$ 420.00 was charged."
    assert effects("payments") == [("charge", "succeeded")]
    event = SagaEvent.objects.get(kind="verify")
    assert (event.actor_name, event.source, event.reason) == ("sara", "admin", "she was charged, she says")


@HANDS
def test_what_failed_after_the_point_of_no_return_is_continued(agent, registered, hand):
    stage = Stage()
    pay, mail = stage.step("pay", pivot=True, undo=None), stage.step("mail", undo=None)
    saga = registered(pay, stage.step("ship", StepFailed("The harbour is closed"), {}, undo=None), mail)
    page = agent("Support", case_url(run(*saga)))
    page.clock.install()
    expect(headline(page)).to_have_text("On hold: “Ship” failed after the point of no return.")

    hand.press(page.get_by_role("link", name="Continue from the failed step"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Continue from the failed step")
    assert foretold(page) == {
        "What will happen, in this order": ["Ship will be done.", "Mail will be done."],
        "What will not be repeated": ["Pay is done."],
        "What can't be reversed": ["Ship will be done.", "Mail will be done."],
    }
    hand.write(page.get_by_label("Reason"), "it is open again")
    hand.press(page.get_by_role("button", name="Continue from the failed step"))
    expect(page.locator(".saga-events > li").first).to_contain_text("sara released it.")
    work_on()
    page.clock.run_for(A_LOOK)
    expect(headline(page)).to_have_text("Everything is done.")
    assert stage.told == ["pay", "ship", "ship", "mail"]


def test_what_has_moved_is_shown_anew_and_nothing_happens_twice(agent):
    waits = [
        Fault(port, call, FaultMode.THROTTLE, AN_HOUR) for port, call in [("payments", "create"), ("email", "send")]
    ]
    execution = begun("collect_payment", *waits)
    page = agent("Supervisor", act_url(execution, "cancel"))
    assert foretold(page) == {}
    page.get_by_label("Reason").fill(REASON)

    let_wait_pass(execution)
    drain()  # the customer is charged after the user has read that nothing would be undone
    confirm(page)

    expect(page.get_by_role("alert")).to_have_text(MOVED)
    assert foretold(page)["Money"] == ["R$ 420.00 will be refunded to the customer."]
    expect(page.get_by_label("Reason")).to_have_value(REASON)
    assert effects("payments") == [("charge", "succeeded")]
    assert not SagaEvent.objects.exists()

    page.get_by_label(CONFIRM).fill("420.00")
    page.get_by_role("button", name="Cancel and undo").dblclick()
    expect(headline(page)).to_be_visible()
    work_on()
    assert effects("payments") == [("charge", "refunded"), ("refund", "refunded")]
    assert SagaEvent.objects.get(source="admin").reason == REASON


def test_of_two_who_press_at_once_one_wins_and_the_other_is_told(agent):
    execution = begun("collect_payment")
    pages = [agent("Supervisor", act_url(execution, "compensate"), name=name) for name in ("vera", "ines")]
    for page in pages:
        page.get_by_label("Reason").fill(REASON)
        page.get_by_label(CONFIRM).fill("420.00")
    for page in pages:
        page.get_by_role("button", name="Undo everything").evaluate("one => void setTimeout(() => one.click(), 200)")

    told = [page.locator(".messagelist, [role=alert]").first for page in pages]
    for one in told:
        expect(one).to_have_text(re.compile("Undoing|changed"))
    [winner] = SagaEvent.objects.filter(kind="compensate")
    done = "Undoing everything, last step first. This page updates itself."
    said = {"vera": done, "ines": done} | {name: MOVED for name in ("vera", "ines") if name != winner.actor_name}
    assert {name: one.inner_text() for name, one in zip(("vera", "ines"), told, strict=True)} == said
    work_on()
    assert effects("payments") == [("charge", "refunded"), ("refund", "refunded")]


def confirm(page: Page) -> None:
    """Press the button that confirms the operation."""
    page.locator(".saga-operation-form button.default").click()
