"""The admin's pages are accessible in wide and narrow windows, in light and dark mode."""

import pytest
from playwright.sync_api import Page, expect

from integrations.models import FaultMode
from sagaproject.bookings.demo.scenes import Fault
from sagas.operations import bulk
from sagas.testing import drain
from tests.admin.cases import act_url, case_url, scene

from .rescues import begun, flaws

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/sagas/sagaexecution/"
REFUSED, LOST = FaultMode.REFUSE, FaultMode.EFFECT_THEN_LOSE_REPLY


def too_late():
    """Return a booking with an invoice that can no longer be cancelled."""
    return begun("create_booking", Fault("calendar", "add", REFUSED), description="Boat trip, past-window")


def not_given_back():
    """Create an execution whose refund the gateway refuses."""
    return begun("collect_payment", Fault("email", "send", REFUSED), Fault("payments", "refund", REFUSED))


CASES = {
    "succeeded": lambda: begun("collect_payment"),
    "undone": lambda: begun("create_booking", Fault("calendar", "add", REFUSED)),
    "past its window": too_late,
    "in doubt": lambda: begun("collect_payment", Fault("payments", "charge", LOST)),
    "set aside": lambda: scene("create_booking", "deferred"),
    "held": lambda: scene("create_booking", "held"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_file_of_a_case(agent, case):
    page = agent("Supervisor", case_url(CASES[case]()))
    page.evaluate("document.querySelectorAll('#content-main details').forEach(fold => fold.open = true)")

    assert flaws(page) == []


def test_a_preview_and_its_errors(agent):
    page = agent("Supervisor", act_url(not_given_back(), "retry"))
    assert flaws(page) == []
    page.get_by_label("Reason").fill(" ")
    page.get_by_label("Type R$").fill("42")
    press(page)

    expect(page.get_by_text("The refund is R$ 420.00. Type this amount.")).to_be_visible()
    assert flaws(page) == []


def test_a_word_on_a_step_and_its_errors(agent):
    page = agent("Support", act_url(too_late(), "resolve"))
    assert flaws(page) == []
    page.locator(".saga-operation-form").evaluate("form => form.noValidate = true")
    press(page)

    expect(page.get_by_text("This field is required.")).to_have_count(3)
    assert flaws(page) == []


def test_a_correction_its_errors_and_what_it_changes(agent):
    page = agent("Supervisor", act_url(begun("collect_payment", customer_email="refuse@example.com"), "correct"))
    page.get_by_label("Amount").fill("")
    press(page)
    expect(page.get_by_text("A valid number is required.")).to_be_visible()
    assert flaws(page) == []
    page.get_by_label("Amount").fill("420.00")
    page.get_by_label("Customer email").fill(f"{'ana.souza.' * 5}silva@example.com")
    press(page)

    expect(page.get_by_role("heading", name="What changes")).to_be_visible()
    assert flaws(page) == []


def test_an_act_that_is_not_possible(agent):
    page = agent("Supervisor", act_url(begun("collect_payment"), "release"))

    expect(page.get_by_role("alert")).to_have_text("It is not on hold.")
    assert flaws(page) == []


def test_a_bulk_act_its_errors_and_its_progress(agent):
    for _ in range(3):
        not_given_back()
    begun("collect_payment")
    page = agent("Support", LIST)
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("bulk_retry")
    page.locator("button[name=index]").click()
    page.get_by_label("Number of executions").fill("4")
    page.locator("form button.default").click()
    expect(page.get_by_text("There are 3 executions, not 4.")).to_be_visible()
    assert flaws(page) == []

    page.get_by_label("Reason").fill("the gateway gives back again")
    page.get_by_label("Number of executions").fill("3")
    page.locator("form button.default").click()
    while bulk.advance_all():
        drain()
    expect(page.get_by_text("3 of 3 finished")).to_be_visible()
    assert flaws(page) == []


@pytest.mark.parametrize("desk", ["", "sagas/", "sagas/compensation/", "sagas/provider/", "sagas/definition/"])
def test_the_desks(agent, desk):
    for make in CASES.values():
        make()

    assert flaws(agent("Supervisor", f"/admin/{desk}")) == []


def test_the_list_shows_all_that_it_tells_without_scrolling(agent):
    for make in CASES.values():
        make()
    begun("create_booking", description="Elektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 8)
    page = agent("Supervisor", LIST)
    assert flaws(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})

    assert page.locator("#toggle-nav-sidebar").is_visible()
    table = page.locator("#result_list")
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")


def press(page: Page) -> None:
    """Submit the form of an operation."""
    page.locator(".saga-operation-form button.default").click()
