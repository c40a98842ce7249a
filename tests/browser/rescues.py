"""Helpers for the browser tests of the admin: executions, readers of pages, and a mouse and a keyboard user."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from integrations.models import SandboxEffect, SandboxFault
from sagaproject.bookings.demo.scenes import Fault
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import FakeClock, drain
from tests.support import new_id
from tests.support.bookings import BOOKING, PAYMENT

INPUT = {"create_booking": BOOKING, "collect_payment": PAYMENT}
PRESSES = 150
NUMBER = re.compile(r"\d{6,9}")  # the number of an invoice, which differs in each run
SERIOUS = ("serious", "critical")
SCREENS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]


def plant(fault: Fault) -> None:
    """Create the fault in the sandbox."""
    SandboxFault.objects.create(**fault._asdict())


def begun(saga: str, *faults: Fault, **changes: str) -> SagaExecution:
    """Start the saga for a new sale; run it until it ends or waits."""
    for fault in faults:
        plant(fault)
    saga_id = new_id()
    context = INPUT[saga] | {"sale_id": f"SALE-{saga_id}"} | changes
    execution = get_saga_orchestrator().start(saga_id, saga, context=context)
    drain()
    return SagaExecution.objects.get(pk=execution.pk)


def ended(saga: str, *faults: Fault, **changes: str) -> SagaExecution:
    """Start the saga for a new sale; run it to its end, without waiting."""
    execution = begun(saga, *faults, **changes)
    work_on()
    return SagaExecution.objects.get(pk=execution.pk)


def work_on() -> None:
    """Run all executions to their end, as if the time for which they wait had passed."""
    with FakeClock() as clock:
        drain(clock)


def effects(port: str) -> list[tuple[str, str]]:
    """Return the operation and the current state of each effect of the provider, in the order of the first calls."""
    return list(SandboxEffect.objects.filter(port=port).order_by("pk").values_list("operation", "state"))


def headline(page: Page) -> Locator:
    """Return the headline of an execution's page."""
    return page.locator("#saga-state .saga-headline")


def groups(page: Page) -> dict[str, list[str]]:
    """Return the sentences of an execution's page by heading; omit headings without sentences."""
    return {heading: said for heading, said in _sentences(page, "#saga-groups", ".saga-sentence").items() if said}


def foretold(page: Page) -> dict[str, list[str]]:
    """Return the sentences of a preview by heading."""
    return _sentences(page, "#content-main", "li")


def _sentences(page: Page, where: str, which: str) -> dict[str, list[str]]:
    sections = page.locator(f"{where} section").all()
    said = {one.locator("h2").inner_text(): one.locator(which).all_inner_texts() for one in sections}
    return {heading: [NUMBER.sub("#", sentence) for sentence in sentences] for heading, sentences in said.items()}


def flaws(page: Page) -> list[str]:
    """Return axe's findings and pages that are too wide, for light and dark, wide and narrow windows."""
    found = []
    for width, scheme in SCREENS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.evaluate("document.getAnimations().forEach(one => one.finish())")  # links change colour slowly
        broken = Axe().run(page).response["violations"]
        nodes = [(flaw, node) for flaw in broken if flaw["impact"] in SERIOUS for node in flaw["nodes"]]
        found += [f"{width} {scheme} {flaw['id']}: {node['html']}" for flaw, node in nodes]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append(f"{width} {scheme}: wider than the window")
    return found


class Mouse:
    """A user who points and clicks."""

    def press(self, target: Locator) -> None:
        """Click a link or a button."""
        target.click()

    def write(self, field: Locator, text: str) -> None:
        """Replace the text of the field."""
        field.click()
        field.fill(text)

    def choose(self, radio: Locator) -> None:
        """Select one of several radio buttons."""
        radio.click()


class Keyboard:
    """A user without a mouse: Tab moves to each target, and the test fails if a target is not reached."""

    def press(self, target: Locator) -> None:
        """Move to a link or a button and press Enter."""
        self._go_to(target)
        target.page.keyboard.press("Enter")

    def write(self, field: Locator, text: str) -> None:
        """Move to the field and replace its text."""
        self._go_to(field)
        field.page.keyboard.press("Control+A")
        field.page.keyboard.press("Delete")
        field.page.keyboard.type(text)

    def choose(self, radio: Locator) -> None:
        """Move to the radio buttons and select one with the arrow keys."""
        self._press_until(radio, "Tab", "one => one.name === document.activeElement.name")
        radio.page.keyboard.press("Space")
        self._press_until(radio, "ArrowDown", "one => one.checked")

    def _go_to(self, target: Locator) -> None:
        self._press_until(target, "Tab", "one => one === document.activeElement")

    def _press_until(self, target: Locator, key: str, is_there: str) -> None:
        expect(target).to_be_visible()
        for _ in range(PRESSES):
            if target.evaluate(is_there):
                return
            target.page.keyboard.press(key)
        raise AssertionError(f"{key} does not come to {target}")
