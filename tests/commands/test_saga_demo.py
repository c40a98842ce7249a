"""saga_demo brings each saga to each outcome, makes a login and serves."""

import re
import socket
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import pytest
from django.contrib.auth import authenticate

from integrations.models import SandboxEffect
from sagas.models import SagaExecution
from tests.commands.conftest import nothing_exists

SCENES = {
    "demo-create-booking-succeeded": ("succeeded", "succeeded"),
    "demo-create-booking-undone": ("failed", "failed at the calendar and undone"),
    "demo-create-booking-partial": (
        "partially_compensated",
        "partially compensated: the invoice could not be cancelled",
    ),
    "demo-create-booking-waiting": ("in_progress", "waiting for a retry: the invoice issuer asked for patience"),
    "demo-create-booking-held": ("in_progress", "held by an operator"),
    "demo-collect-payment-succeeded": ("succeeded", "succeeded"),
    "demo-collect-payment-declined": ("failed", "failed: the card was declined"),
    "demo-collect-payment-refunded": ("failed", "failed at the receipt and undone: the charge was refunded"),
    "demo-collect-payment-partial": (
        "partially_compensated",
        "partially compensated: the charge could not be refunded",
    ),
    "demo-collect-payment-waiting": (
        "in_progress",
        "waiting for a retry: the payment gateway could not be reached",
    ),
    "demo-collect-payment-held": ("in_progress", "held by an operator"),
}
LOGIN = re.compile(r"Login: demo  Password: (\S+)")


@pytest.fixture
def at_home(settings):
    """A development machine: the test runner switches DEBUG off."""
    settings.DEBUG = True


def test_each_saga_comes_to_each_outcome(command, at_home):
    said = command("saga_demo", "--no-server")

    assert said.lines[:-1] == [f"{saga_id}: {told}" for saga_id, (_, told) in SCENES.items()]
    states = dict(SagaExecution.objects.values_list("saga_id", "state"))
    assert states == {saga_id: state for saga_id, (state, _) in SCENES.items()}
    held = SagaExecution.objects.exclude(held="").values_list("saga_id", flat=True)
    assert set(held) == {"demo-create-booking-held", "demo-collect-payment-held"}
    assert said.code == 0


def test_a_second_run_keeps_what_is_there_and_gives_a_new_password(command, at_home):
    first = command("saga_demo", "--no-server")
    effects = SandboxEffect.objects.count()

    second = command("saga_demo", "--no-server")

    assert second.lines[:-1] == [f"{saga_id}: {told} (it was there)" for saga_id, (_, told) in SCENES.items()]
    assert SandboxEffect.objects.count() == effects
    passwords = [LOGIN.fullmatch(said.lines[-1])[1] for said in (first, second)]
    assert authenticate(username="demo", password=passwords[0]) is None
    assert authenticate(username="demo", password=passwords[1]).is_superuser


def test_what_somebody_moved_on_stays_as_it_is(command, at_home):
    command("saga_demo", "--no-server")
    command("run_saga", "create_booking", "--saga-id", "demo-create-booking-waiting")

    said = command("saga_demo", "--no-server")

    assert "demo-create-booking-waiting: succeeded (somebody has moved it on)" in said.lines
    assert said.code == 0


def test_it_refuses_to_run_on_a_deployment(command):
    said = command("saga_demo", "--no-server")

    assert said.sentence == "saga_demo makes a login for everything: it runs only with DEBUG on."
    assert said.code == 2
    assert nothing_exists()


def test_it_refuses_to_run_on_real_providers(command, at_home, settings):
    settings.INTEGRATIONS = {"email": {"BACKEND": f"{__name__}.RealMailer"}}

    said = command("saga_demo", "--no-server")

    assert said.sentence == "saga_demo runs on sandboxes only; INTEGRATIONS names others for email."
    assert said.code == 2
    assert nothing_exists()


class RealMailer:
    """Somebody's adapter."""

    def send(self, mail, *, key, deadline):
        raise NotImplementedError


def test_a_port_in_use_is_refused_before_anything_is_made(command, at_home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = command("saga_demo", "--port", str(port))

    assert said.sentence == f"Port {port} is in use; name another one with --port."
    assert said.code == 2
    assert nothing_exists()


def test_a_port_that_is_none_is_refused(command, at_home):
    said = command("saga_demo", "--port", "http")

    assert said.sentence == "Error: argument --port: must be a number from 0 to 65535, not 'http'"


@pytest.mark.parametrize("number", [2, 15], ids=["Ctrl-C", "SIGTERM"])
def test_it_serves_the_admin_to_the_login_until_it_is_stopped(shell, number):
    process = shell.start("saga_demo", "--port", "0", DEBUG="1")
    told = [process.stdout.readline().decode().rstrip("\n") for _ in range(len(SCENES) + 3)]
    address = told[-3].removeprefix("Open ")
    password = LOGIN.fullmatch(told[-2])[1]

    page = logged_in(address, password)
    process.send_signal(number)
    said = shell.end(process)

    assert "demo-create-booking-partial" in page
    assert (told[-1], said.out) == ("Ctrl-C stops it.", "Stopped.\n")
    assert said.code == 0


def logged_in(address: str, password: str) -> str:
    """The page behind the login form."""
    cookies = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    with opener.open(address, timeout=30) as form:
        login = form.geturl()
    token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
    fields = {"username": "demo", "password": password, "csrfmiddlewaretoken": token}
    with opener.open(login, urlencode(fields).encode(), timeout=30) as page:
        return page.read().decode()
