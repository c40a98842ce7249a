"""The page of an execution in a browser updates itself and keeps what the user types."""

import re

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from integrations.models import FaultMode
from sagaproject.bookings.demo.scenes import Fault
from sagas.orchestrator import get_saga_orchestrator
from tests.admin.cases import case_url
from tests.support import new_id
from tests.support.bookings import BOOKING

from .rescues import begun, groups, headline, plant

AN_HOUR, SLOW = 3_600_000, 4000
A_MINUTE = 60_000
FOLD = "What is not possible, and why"


@pytest.fixture
def case(live_server, db):
    """Start a booking that waits for a worker."""
    return get_saga_orchestrator().start("booking-1", "create_booking", context=BOOKING)


@pytest.fixture
def open_case(open_page, case):
    """Return a function that logs in as a superuser and opens the execution's page."""

    def opened(**options):
        get_user_model().objects.create_superuser("ana", password="a password")
        page = open_page(path=f"/admin/login/?next=/admin/sagas/sagaexecution/{case.pk}/change/", **options)
        page.get_by_label("Username:").fill("ana")
        page.get_by_label("Password:").fill("a password")
        page.get_by_role("button", name="Log in").click()
        return page

    return opened


def has_focus(locator):
    return locator.evaluate("element => element === document.activeElement")


def test_the_page_follows_the_saga_to_its_end(open_case, case):
    page = open_case()
    verdict = page.locator("#saga-state")
    expect(verdict).to_contain_text("Waiting to start.")

    get_saga_orchestrator().resume(case.saga_id)

    expect(verdict).to_contain_text("Everything is done.")
    expect(page.get_by_text("City tour on Dec. 1, 2026, 10 a.m. is in the calendar.")).to_be_visible()


def test_what_somebody_has_unfolded_stays_and_the_focus_with_it(open_case, case):
    page = open_case()
    fold = page.get_by_text(FOLD)
    fold.click()
    get_saga_orchestrator().hold(case.saga_id, reason="she called")
    with pytest.raises(AssertionError):
        expect(page.locator("#saga-state")).to_contain_text("On hold", timeout=4_000)

    fold.click()

    expect(page.locator("#saga-state")).to_contain_text("On hold, by somebody.")
    assert has_focus(page.get_by_text(FOLD))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_is_read_without_scrolling_sideways_and_by_everybody(open_case, case, scheme):
    from axe_playwright_python.sync_playwright import Axe

    get_saga_orchestrator().resume(case.saga_id)
    page = open_case(width=360, color_scheme=scheme)

    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 360
    assert Axe().run(page).response["violations"] == []


def test_what_waits_says_until_when_and_does_not_keep_asking(agent):
    execution = begun("create_booking", Fault("invoices", "issue", FaultMode.THROTTLE, AN_HOUR))
    asked = []
    page = agent("Support", "/admin/")
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.goto(case_url(execution))

    expect(headline(page)).to_have_text(re.compile(r"^Waiting. Next try of “Invoice” at [0-9:]+\.$"))
    assert groups(page) == {
        "Running": ["The invoice for R$ 420.00 is being issued."],
        "To do": [
            f"{step} has not started yet."
            for step in ("Confirmation by e-mail", "Confirmation by WhatsApp", "Calendar entry")
        ],
    }
    page.clock.run_for(A_MINUTE)
    assert looks(asked) == []


def test_what_runs_is_followed_to_its_end_and_then_left_alone(agent, workers):
    plant(Fault("calendar", "add", FaultMode.LATENCY, SLOW))
    execution = get_saga_orchestrator().start(new_id(), "create_booking", context=BOOKING)
    asked = []
    page = agent("Support", "/admin/")
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.goto(case_url(execution))

    expect(headline(page)).to_have_text("Running. 3 of 4 steps are done.")
    assert groups(page)["Running"] == ["City tour on Dec. 1, 2026, 10 a.m. is being added to the calendar."]
    expect(page.locator("#saga-live [data-live]")).to_have_attribute("data-live", "yes")
    expect(headline(page)).to_have_text("Everything is done.")
    assert list(groups(page)) == ["Done"]
    assert looks(asked)

    asked.clear()
    page.clock.run_for(A_MINUTE)
    assert looks(asked) == []


def looks(asked: list[str]) -> list[str]:
    """Return the requests with which the page checks for changes."""
    return [url for url in asked if url.endswith("/live/")]
