"""`saga_demo` creates executions with every outcome, creates logins, starts workers and serves the site."""

import json
import os
import re
import signal
import socket
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from integrations.models import SandboxEffect
from sagaproject.bookings.management.commands.saga_demo import DemoServer
from sagas.models import SagaExecution, SagaWorker
from sagas.orchestrator import get_saga_orchestrator
from sagas.worker.supervision.processes import parents_in_group
from tests.commands.conftest import nothing_exists
from tests.support.processes import PATIENCE, wait_for

SCENES = {
    "demo-create-booking-succeeded": ("succeeded", "succeeded"),
    "demo-create-booking-undone": ("failed", "failed at the calendar and undone"),
    "demo-create-booking-partial": (
        "partially_compensated",
        "partially compensated: the invoice could not be cancelled",
    ),
    "demo-create-booking-too-late": (
        "partially_compensated",
        "partially compensated: the invoice is past its cancellation window",
    ),
    "demo-create-booking-deferred": (
        "compensating",
        "being undone: the invoice issuer is unavailable, so cancelling the invoice is deferred",
    ),
    "demo-create-booking-in-doubt": (
        "in_progress",
        "held in doubt: the invoice issuer's answer was lost; someone must check",
    ),
    "demo-create-booking-waiting": (
        "in_progress",
        "waiting for a retry: the invoice issuer asked to retry in an hour",
    ),
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
        "waiting for a retry: the payment gateway asked to retry in an hour",
    ),
    "demo-collect-payment-held": ("in_progress", "held by an operator"),
}
QUEUED = {
    "demo-create-booking-queued": ("succeeded", "succeeded, run by worker HOST:PID"),
    "demo-create-booking-queued-undone": ("failed", "failed at the calendar and undone, run by worker HOST:PID"),
    "demo-collect-payment-queued": ("succeeded", "succeeded, run by worker HOST:PID"),
}
RESCUED = {
    "demo-create-booking-rescued": (
        "succeeded",
        "succeeded: its worker was killed at the calendar; worker HOST:PID took over when the lease expired",
    ),
}
ALL = SCENES | QUEUED | RESCUED
STARTED = "Workers started."
KILLED = "One worker is now killed in the middle of a saga."
NAMES = ["demo", "support", "supervisor", "auditor"]
LOGIN = re.compile(r"Login: (\S+)  Password: (\S+)")


@pytest.fixture
def at_home(settings):
    """Set DEBUG to True, like on a development machine. The test runner sets it to False."""
    settings.DEBUG = True


@pytest.fixture
def demo(shell):
    """Start `saga_demo`. At the end of the test, send SIGTERM, so that the demo stops its workers."""

    def start(*words, lease):
        return shell.start("saga_demo", *words, DEBUG="1", SAGAS_SETTINGS=json.dumps({"LEASE": lease}))

    yield start
    for process in shell.started:
        process.terminate()
        process.wait(PATIENCE)


def told_by(process, lines):
    return plainly(process.stdout.readline().decode().rstrip("\n") for _ in range(lines))


def plainly(lines):
    """Replace the host name and process id of workers, which differ between runs, with placeholders."""
    return [re.sub(r"worker \S+:\d+", "worker HOST:PID", line) for line in lines]


def lines_of(scenes, before=""):
    return [f"{saga_id}: {told}{before}" for saga_id, (_, told) in scenes.items()]


def workers_of(process):
    """Return the process id of the demo's child, and the process groups of its workers.

    The child is in the process group of the test. The workers are in a separate group.
    """
    child = next(pid for pid, parent in parents_in_group(os.getpgrp()).items() if parent == process.pid)
    groups = wait_for(lambda: set(SagaWorker.objects.values_list("process_group", flat=True)))
    return child, groups


def nothing_is_left_of(child, groups):
    return child not in parents_in_group(os.getpgrp()) and not any(parents_in_group(group) for group in groups)


@pytest.mark.prove
@pytest.mark.once
def test_it_shows_each_outcome_and_a_second_run_keeps_them(shell, demo):
    process = demo("--port", "0", lease=2)
    told = told_by(process, len(ALL) + 9)
    logins = logins_of(told[-5:-1])
    page = logged_in(told[-6].removeprefix("Open "), logins["demo"])
    desk = logged_in(
        told[-6].removeprefix("Open ").replace("sagaexecution", "compensation"), logins["support"], "support"
    )
    workers = workers_of(process)
    process.send_signal(signal.SIGINT)
    said = shell.end(process)

    assert re.fullmatch(r"Book something at http://127\.0\.0\.1:\d+/book/", told[-7])
    assert told[:-7] == [*lines_of(SCENES), STARTED, *lines_of(QUEUED), KILLED, *lines_of(RESCUED)]
    assert dict(SagaExecution.objects.values_list("saga_id", "state")) == {
        key: state for key, (state, _) in ALL.items()
    }
    held = SagaExecution.objects.exclude(held="").values_list("saga_id", flat=True)
    assert set(held) == {"demo-create-booking-held", "demo-collect-payment-held", "demo-create-booking-in-doubt"}
    assert SandboxEffect.objects.filter(port="calendar", idempotency_key__contains="rescued").count() == 1
    assert "demo-create-booking-partial" in page
    assert "It is too late to cancel invoice" in desk
    assert "(E523)" in desk
    assert "Provider unavailable" in desk
    assert (told[-1], said.out) == ("Ctrl-C stops the server and the workers.", "Stopped.\n")
    assert said.code == 0
    assert nothing_is_left_of(*workers)

    effects = SandboxEffect.objects.count()
    get_saga_orchestrator().cancel("demo-create-booking-waiting")
    get_saga_orchestrator().resume("demo-create-booking-waiting")
    again = shell.end(demo("--no-server", lease=2))

    moved = "demo-create-booking-waiting: failed (changed since the demo)"
    there = lines_of(SCENES, " (it existed)")
    told_again = plainly(again.lines)
    assert told_again[: len(SCENES)] == [moved if "booking-waiting" in line else line for line in there]
    assert told_again[len(SCENES) : -4] == [STARTED, *lines_of(QUEUED | RESCUED, " (it existed)")]
    assert again.code == 0
    assert SandboxEffect.objects.count() == effects
    assert not SagaWorker.objects.exists()
    logins_again = logins_of(told_again[-4:])
    assert list(logins) == list(logins_again) == NAMES
    assert not any(authenticate(username=name, password=password) for name, password in logins.items())
    people = [authenticate(username=name, password=password) for name, password in logins_again.items()]
    assert [person.is_superuser for person in people] == [True, False, False, False]
    assert [[group.name for group in person.groups.all()] for person in people] == [
        [],
        ["Support"],
        ["Supervisor"],
        ["Auditor"],
    ]


@pytest.mark.prove
@pytest.mark.once
def test_interrupted_in_the_middle_it_ends_the_workers(shell, demo):
    process = demo("--no-server", lease=60)
    told = told_by(process, len(SCENES) + len(QUEUED) + 2)
    workers = workers_of(process)
    process.send_signal(signal.SIGTERM)
    said = shell.end(process)

    assert told[-1] == KILLED
    assert said.err == "CommandError: Stopped before the demo was complete; run it again.\n"
    assert said.code == 130
    assert nothing_is_left_of(*workers)


@pytest.mark.prove
@pytest.mark.once
def test_workers_that_end_by_themselves_end_it(shell, demo):
    process = demo("--no-server", lease=60)
    told = told_by(process, len(SCENES) + len(QUEUED) + 2)
    child, groups = workers_of(process)
    os.kill(child, signal.SIGKILL)
    said = shell.end(process)

    assert told[-1] == KILLED
    assert said.err.startswith("CommandError: The workers ended unexpectedly with exit code -9. ")
    assert said.code == 1
    wait_for(lambda: nothing_is_left_of(child, groups))


def test_it_refuses_to_run_on_a_deployment(command):
    said = command("saga_demo", "--no-server")

    assert said.sentence == "saga_demo creates a superuser: it runs only with DEBUG on."
    assert said.code == 2
    assert nothing_exists()


def test_it_refuses_to_run_on_real_providers(command, at_home, settings):
    settings.INTEGRATIONS = {"email": {"BACKEND": f"{__name__}.RealMailer"}}

    said = command("saga_demo", "--no-server")

    assert said.sentence == "saga_demo runs only on sandboxes. INTEGRATIONS names other providers for email."
    assert said.code == 2
    assert nothing_exists()


class RealMailer:
    """A provider that is not a sandbox."""

    def send(self, mail, *, key, deadline):
        raise NotImplementedError


def test_a_port_in_use_is_refused_before_anything_is_made(command, at_home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = command("saga_demo", "--port", str(port))

    assert said.sentence == f"Port {port} is in use. Choose another one with --port."
    assert said.code == 2
    assert nothing_exists()


def test_a_port_that_is_none_is_refused(command, at_home):
    said = command("saga_demo", "--port", "http")

    assert said.sentence == "Error: argument --port: must be a number from 0 to 65535, not 'http'"


def test_somebody_takes_the_port_while_the_data_is_made(transactional_db, at_home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError) as error:
            call_command(DemoServer(), f"127.0.0.1:{port}", use_reloader=False, skip_checks=True)

    assert str(error.value) == f"Port {port} is in use. Choose another one with --port."
    assert error.value.returncode == 2


def logins_of(lines):
    """Return the password of each user name in the printed logins."""
    return dict(LOGIN.fullmatch(line).groups() for line in lines)


def logged_in(address: str, password: str, name: str = "demo") -> str:
    """Log in at the form that `address` redirects to, and return the page that follows."""
    cookies = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    with opener.open(address, timeout=30) as form:
        login = form.geturl()
    token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
    fields = {"username": name, "password": password, "csrfmiddlewaretoken": token}
    with opener.open(login, urlencode(fields).encode(), timeout=30) as page:
        return page.read().decode()
