"""Text from people and providers is escaped on every page; an unescaped script opens a dialog, which fails the test."""

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect

from integrations.models import FaultMode
from sagaproject.bookings.demo.scenes import Fault
from sagas import StepFailed
from sagas.operations import Actor, Operation, bulk, note, perform
from sagas.testing import drain
from tests.admin.cases import act_url, case_url
from tests.support import Registered, Stage, lost, run

from .rescues import begun

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>{{7*7}} javascript:alert(1) ' onfocus=alert(1) x='"
ONE_WORD = EVIL.replace(" ", "/")[:64]
ALIVE = """() => [
    ...document.querySelectorAll('img[src="x"], [onerror], [onfocus], [href^="javascript:" i]'),
    ...[...document.scripts].filter(script => script.textContent.includes("alert(1)")),
].map(one => one.outerHTML)"""
WORDS = {
    key: f"{key} {{who}} {{ref}}"
    for key in ("doing", "done", "compensated", "in_doubt", "refused", "to_do", "to_compensate")
}
DESKS = ["", "sagas/", "sagas/sagaexecution/", "sagas/bulkoperation/", "sagas/compensation/", "sagas/provider/"]
MORE_DESKS = [
    "sagas/definition/",
    "sagas/sagaexecution/?q=<script>alert(1)</script>",
    "sagas/compensation/?saga={{7*7}}",
]


@pytest.fixture
def evil(live_server):
    """Create executions that show hostile text in every way: not compensated, failed, in doubt and held, a booking."""
    stage, registered = Stage(), Registered()
    get_user_model().objects.create_user(username=EVIL, is_staff=True)
    given = {"who": EVIL, "amount": EVIL, "currency": EVIL, EVIL: {EVIL: [EVIL]}}
    about = {"references": ["who", "ref"], "description": EVIL}
    refuses, charge = StepFailed(EVIL), stage.step("charge", {"ref": EVIL}, undo=[StepFailed(EVIL)], wording=WORDS)
    stands = run(
        *registered(charge, stage.step("ship", refuses, wording=WORDS), **about), saga_id="stands", context=given
    )
    note("stands", EVIL, by=Actor(name=EVIL, source=EVIL[:16]))
    failed = run(
        *registered(stage.step("ship", refuses, wording=WORDS), name="voyage", **about), name="voyage", context=given
    )
    asks = registered(stage.step("ask", lost(), verify=[{}], idempotent=False, wording=WORDS), name="quest", **about)
    doubt = run(*asks, saga_id="doubt", name="quest", context=given, max_seconds=0)
    perform(Operation.HOLD, "doubt", reason=EVIL, by=Actor(name=EVIL))
    no_event = Fault("calendar", "add", FaultMode.REFUSE)
    booking = begun("create_booking", no_event, sale_id=ONE_WORD, customer_name=EVIL, description=EVIL)
    yield {"stands": stands, "failed": failed, "doubt": doubt, "booking": booking}
    registered.forget()


def test_on_a_case_and_where_something_is_done_about_it(agent, evil):
    page = agent("Supervisor", "/admin/", name=EVIL)
    for execution in evil.values():
        look(page, case_url(execution))
        expect(page.locator("#content-main")).to_contain_text("{{7*7}}")
        for operation in Operation:
            look(page, act_url(execution, operation))

    page.goto(case_url(evil["stands"]))
    page.get_by_text("Show personal data").click()
    page.get_by_label("Why you need to see it").fill(EVIL)
    page.get_by_role("button", name="Show once").click()
    assert_inert(page)
    page.goto(act_url(evil["stands"], "resolve"))
    page.get_by_label("How do you know?").fill(EVIL)
    page.locator("form summary", has_text="Technical view").click()
    page.get_by_label("Output of the step").fill(EVIL)
    page.get_by_label("Reason").fill(EVIL)
    page.locator("input[name=resolution]").first.check()
    page.get_by_role("button", name="Mark a step as resolved").click()
    expect(page.get_by_text("This is not JSON.")).to_be_visible()
    assert_inert(page)
    page.get_by_label("Output of the step").fill("")
    page.get_by_role("button", name="Mark a step as resolved").click()
    expect(page.locator(".saga-events")).to_contain_text(f"Evidence: {EVIL}")
    assert_inert(page)


def test_where_input_is_corrected(agent, evil):
    page = agent("Supervisor", act_url(evil["booking"], "correct"), name=EVIL)
    assert_inert(page)
    page.get_by_label("Customer name").fill(f"{EVIL} II")
    page.get_by_label("Sale id").fill(EVIL)
    page.get_by_role("button", name="Show what changes").click()
    expect(page.get_by_text("Use no spaces.")).to_be_visible()
    assert_inert(page)
    page.get_by_label("Sale id").fill("SALE-2")
    page.get_by_role("button", name="Show what changes").click()
    expect(page.locator("del", has_text=EVIL)).to_be_visible()
    assert_inert(page)
    page.get_by_label("Reason").fill(EVIL)
    page.get_by_role("button", name="Correct the input and retry").click()
    expect(page.locator(".saga-events")).to_contain_text(f"Customer name: {EVIL} → {EVIL} II")
    assert_inert(page)


def test_on_lists_and_desks_and_in_bulk(agent, evil):
    page = agent("Supervisor", "/admin/", name=EVIL)
    for desk in [*DESKS, *MORE_DESKS]:
        look(page, f"/admin/{desk}")

    page.goto("/admin/sagas/sagaexecution/")
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("bulk_retry")
    page.locator("button[name=index]").click()
    page.get_by_label("Reason").fill(EVIL)
    assert_inert(page)
    page.locator("form button.default").click()
    while bulk.advance_all():
        drain()
    expect(page.get_by_text("3 of 3 finished")).to_be_visible()
    expect(page.locator("#content-main")).to_contain_text(f"Confirmed by {EVIL}")
    expect(page.locator("#content-main")).to_contain_text(f"Reason: {EVIL}")
    assert_inert(page)


def look(page: Page, path: str) -> None:
    """Open a page and all its collapsed parts, and check them."""
    page.goto(path)
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert_inert(page)


def assert_inert(page: Page) -> None:
    """Assert that no hostile text has become an element of the page."""
    assert page.evaluate(ALIVE) == []
