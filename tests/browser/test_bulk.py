"""A support user performs a bulk operation in a browser: select, confirm, and watch until the end."""

import uuid

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from playwright.sync_api import Page, expect

from sagas import StepFailed
from sagas.models import BulkOperation, SagaEvent
from sagas.operations import Actor, Operation, bulk
from sagas.testing import drain
from tests.support import Registered, Stage, run

LIST = "/admin/sagas/sagaexecution/"


@pytest.fixture
def failed(transactional_db):
    """Create twelve executions that failed at their last step; then fix the step."""
    stage, registered = Stage(), Registered()
    charge = stage.step("charge", money="amount")
    broken = registered(charge, stage.step("ship", StepFailed("no ship")))
    pks = [run(*broken, saga_id=f"f-{number}", context={"amount": "10.50"}).pk for number in range(12)]
    registered(charge, stage.step("ship"))
    yield pks
    registered.forget()


@pytest.fixture
def desk(open_page, transactional_db):
    """Return a function that logs in as a support user and opens the list of executions."""
    call_command("saga_roles", verbosity=0)
    user = get_user_model().objects.create_user("sara", password="sara", is_staff=True)
    user.groups.add(Group.objects.get(name="Support"))

    def opened(path=LIST, **options):
        page = open_page(path=f"/admin/login/?next={path}", **options)
        page.get_by_label("Username").fill("sara")
        page.get_by_label("Password").fill("sara")
        page.get_by_role("button", name="Log in").click()
        return page

    return opened


def choose_all(page: Page) -> None:
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("bulk_retry")
    page.locator("button[name=index]").click()


def flaws(page: Page) -> list[str]:
    """Return axe's findings for the main content of the page."""
    found = Axe().run(page, context="#content-main").response["violations"]
    return [f"{flaw['id']}: {node['html']}" for flaw in found for node in flaw["nodes"]]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_bulk_retry_is_confirmed_once_and_its_page_goes_on_by_itself(failed, desk, width, scheme):
    page = desk(width=width, color_scheme=scheme)
    choose_all(page)
    expect(page.get_by_text("12 executions will be retried.")).to_be_visible()
    assert flaws(page) == []

    page.get_by_label("Reason").fill("the ship is back")
    page.get_by_label("Number of executions").fill("12")
    page.get_by_role("button", name="Retry").dblclick()
    expect(page.get_by_text("0 of 12 finished")).to_be_visible()
    assert flaws(page) == []
    page.get_by_role("link", name="f-3", exact=True).focus()
    while bulk.advance_all():
        drain()

    expect(page.get_by_text("12 of 12 finished")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Finished.")
    expect(page.get_by_role("link", name="f-3", exact=True)).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert BulkOperation.objects.count() == 1

    page.go_back()
    expect(page.get_by_text("12 of 12 finished")).to_be_visible()
    assert SagaEvent.objects.filter(kind="retry").count() == 12


def test_without_javascript_a_link_shows_how_far_it_is(failed, desk):
    rows = bulk.plan(Operation.RETRY, failed).rows
    bulk_operation = bulk.confirm(
        uuid.uuid4(), Operation.RETRY, rows, reason="again", by=Actor(name="sara", source="cli")
    )
    page = desk(f"{LIST}bulk/{bulk_operation.pk}/", java_script_enabled=False)
    expect(page.get_by_text("0 of 12 finished")).to_be_visible()
    while bulk.advance_all():
        drain()

    page.get_by_role("link", name="Refresh").click()

    expect(page.get_by_text("12 of 12 finished")).to_be_visible()
