"""Fixtures for the admin's tests: logged-in clients for each role, and executions."""

import datetime as dt

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from sagas import Priority, RetryLater, StepFailed, operations
from sagas.models import SagaExecution
from sagas.testing import FakeClock
from tests.support import html, run


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    """Clear the cached numbers before each test."""
    cache.clear()


def logged_in(name, *roles):
    """Return the client of a staff user with these roles."""
    call_command("saga_roles", verbosity=0)
    user = get_user_model().objects.create_user(name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    client = Client()
    client.force_login(user)
    client.user = user
    return client


@pytest.fixture
def support(db):
    return logged_in("sara", "Support")


@pytest.fixture
def supervisor(db):
    return logged_in("vera", "Supervisor")


@pytest.fixture
def auditor(db):
    return logged_in("aldo", "Auditor")


@pytest.fixture
def clock():
    """Yield a fake clock: a saga that waits continues at once."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def every_kind(stage):
    """Create one execution of each kind; its id names its kind."""
    run(stage.step("a"), saga_id="succeeded")
    run(stage.step("a"), stage.step("b", StepFailed("no")), saga_id="failed")
    run(stage.step("a", KeyError("x"), retry_count=0), saga_id="failed-unexpectedly", name="tour")
    run(stage.step("a", undo=[StepFailed("no")]), stage.step("b", StepFailed("no")), saga_id="undone-in-part")
    run(stage.step("a", RetryLater(3600)), saga_id="waiting", max_seconds=0, priority=Priority.HIGH)
    deferred = stage.step("a", undo=[RetryLater(3600)], compensation_retry_count=0)
    run(deferred, stage.step("b", StepFailed("no")), saga_id="compensating")
    run(stage.step("a", RetryLater(3600)), saga_id="held", max_seconds=0)
    operations.perform(operations.Operation.HOLD, "held", reason="She calls back")
    taken = run(stage.step("a", RetryLater(3600)), saga_id="in-hand", max_seconds=0)
    SagaExecution.objects.filter(pk=taken.pk).update(leased=True)
    SagaExecution.objects.filter(pk=run(stage.step("a"), saga_id="old").pk).update(
        finished_at=timezone.now() - dt.timedelta(hours=25)
    )


@pytest.fixture
def known(registered, stage):
    """Register the sagas of these executions in the process of the admin."""
    registered(stage.step("a"), stage.step("b"), name="trip")
    registered(stage.step("a"), name="tour")


def words_of(response) -> str:
    """Return the visible text of a page's main content."""
    assert response.status_code == 200
    return html.text_of(html.page_of(response).get_element_by_id("content-main"))
