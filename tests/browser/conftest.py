"""Fixtures that start a browser and workers, and end them after the test."""

import os
import shutil
import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.management import call_command
from django.db import connections
from django.test import Client

from sagas.testing import drain

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-background-networking"]
LOOK_EVERY = 0.05
PATIENCE = 15_000
# The browser itself writes these messages to its console: when a test disconnects the network, and when a response
# has status 409.
EXPECTED = ("net::ERR_INTERNET_DISCONNECTED", "the server responded with a status of 409 (Conflict)")


def pytest_collection_modifyitems(items):
    """Mark the browser tests as slow; skip them on a machine without a browser."""
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.prove)
            item.add_marker(pytest.mark.once)
            if not CHROMIUM and "CI" not in os.environ:
                item.add_marker(pytest.mark.skip(reason="There is no chromium here: install it to see the page in it."))


@pytest.fixture
def workers(live_server) -> Iterator[None]:
    """Run due executions in a thread, as workers would."""
    stop = threading.Event()

    def work():
        while not stop.wait(LOOK_EVERY):
            drain()
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def open_page(live_server, monkeypatch):
    """Return a function that opens a page in a new window: open_page(locale="pt-BR", width=360).

    The test fails if a page opens a dialog or if the browser reports an error, such as a violation of the content
    security policy.
    """
    from playwright.sync_api import expect, sync_playwright

    cache.clear()
    expect.set_options(timeout=PATIENCE)
    # Playwright's event loop runs in this thread. By default, Django forbids database access in such a thread.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        complaints: list[str] = []

        def opened(*, locale="en-US", width=1280, path="/book/", **options):
            context = browser.new_context(
                base_url=live_server.url, locale=locale, viewport={"width": width, "height": 900}, **options
            )
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: (complaints.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
            page.goto(path)
            return page

        yield opened
        browser.close()
        # Close the connections that this thread opened while the event loop ran; nothing else can close them later.
        connections.close_all()
        assert [said for said in complaints if not any(known in said for known in EXPECTED)] == []


@pytest.fixture
def agent(open_page, live_server):
    """Return a function that opens an admin page for a staff user: agent("Support", path, width=360)."""
    call_command("saga_roles", verbosity=0)

    def opened(role, path, *, name="sara", **options):
        user, _ = get_user_model().objects.get_or_create(username=name, is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client = Client()
        client.force_login(user)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        return open_page(path=path, storage_state={"cookies": [cookie], "origins": []}, **options)

    return opened
