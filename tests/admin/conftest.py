"""Those who work in the admin, each in their role, logged in."""

import html
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from integrations.models import SandboxFault
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import FakeClock
from tests.support import Registered, Stage


def logged_in(name, *roles):
    """The client of a member of staff in these roles."""
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
def stage():
    """Makes steps that follow a script, and keeps their calls."""
    return Stage()


@pytest.fixture
def registered():
    """Registers sagas; they are forgotten after the test."""
    sagas = Registered()
    yield sagas
    sagas.forget()


@pytest.fixture
def orchestrator():
    return get_saga_orchestrator()


@pytest.fixture
def clock():
    """A clock that jumps over whatever a saga waits for."""
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def plant(db):
    """Orders a fault of the sandbox: plant("payments", "charge", "refuse", remaining=2)."""

    def order(port, operation, mode, **values):
        return SandboxFault.objects.create(port=port, operation=operation, mode=mode, **values)

    return order


def words_of(response) -> str:
    """What a desk says, without its markup, on one line."""
    assert response.status_code == 200
    main = response.content.decode().partition('id="content-main"')[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())
