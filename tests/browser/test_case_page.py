"""The file of a case in a browser: it follows what goes on, and lets nobody lose what they are about."""

import pytest
from django.contrib.auth import get_user_model

from sagas.orchestrator import get_saga_orchestrator
from tests.bookings.conftest import BOOKING

FOLD = "What is not possible, and why"


@pytest.fixture
def case(live_server, db):
    """A booking that waits for a worker."""
    return get_saga_orchestrator().start("booking-1", "create_booking", context=BOOKING)


@pytest.fixture
def open_case(open_page, case):
    """Opens the case's page for somebody who may do everything."""

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
    from playwright.sync_api import expect

    page = open_case()
    verdict = page.locator("#saga-state")
    expect(verdict).to_contain_text("It is waiting for a worker; nothing has begun yet.")

    get_saga_orchestrator().resume(case.saga_id)

    expect(verdict).to_contain_text("Everything has been done.")
    expect(page.get_by_text("City tour on Dec. 1, 2026, 10 a.m. is in the calendar.")).to_be_visible()


def test_what_somebody_has_unfolded_stays_and_the_focus_with_it(open_case, case):
    from playwright.sync_api import expect

    page = open_case()
    fold = page.get_by_text(FOLD)
    fold.click()
    get_saga_orchestrator().hold(case.saga_id, reason="she called")
    with pytest.raises(AssertionError):
        expect(page.locator("#saga-state")).to_contain_text("It is held", timeout=4_000)

    fold.click()

    expect(page.locator("#saga-state")).to_contain_text("It is held by somebody")
    assert has_focus(page.get_by_text(FOLD))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_is_read_without_scrolling_sideways_and_by_everybody(open_case, case, scheme):
    from axe_playwright_python.sync_playwright import Axe

    get_saga_orchestrator().resume(case.saga_id)
    page = open_case(width=360, color_scheme=scheme)

    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 360
    assert Axe().run(page).response["violations"] == []
