"""`saga_doctor` reports problems of the installation and exits with 0, 1 or 2."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from sagas.models import SagaExecution, SagaWorker
from sagas.orchestrator import get_saga_orchestrator
from tests.commands.conftest import BOOKING

pytestmark = pytest.mark.django_db

VERSION = re.compile(r"(SQLite|PostgreSQL) [\d.]+ answers\.")
NO_WORKER = "! workers: No worker is running. Start manage.py saga_workers."
HEALTHY = [
    "✓ database: DATABASE VERSION answers.",
    "✓ settings: The system checks find no problems.",
    "✓ clocks: The clocks of this host and of the database agree.",
    "✓ workers: 1 worker is running; sagas: 3, free threads: 5.",
    "✓ work: No saga is overdue.",
    "✓ leases: No lease has expired.",
    "✓ attention: No saga needs attention.",
]


def without_version(lines):
    return [VERSION.sub("DATABASE VERSION answers.", line) for line in lines]


@pytest.fixture
def worker():
    """Store a report of a worker: `worker(seen=90, stuck=1)`. `seen` is its age in seconds."""

    def report(seen=0.0, **values):
        number = SagaWorker.objects.count() + 1
        now = timezone.now()
        usual = {"host": "here", "pid": number, "process_group": 1, "cluster": "sagas", "running": 3, "free": 5}
        times = {"started_at": now - timedelta(hours=2), "seen_at": now - timedelta(seconds=seen)}
        return SagaWorker.objects.create(name=f"here:{number}", **usual | times | values)

    return report


@pytest.fixture
def overdue():
    """Start a saga and set its due time `seconds` seconds into the past."""

    def queue(saga_id="b-1", seconds=30.0, **values):
        get_saga_orchestrator().start(saga_id, "create_booking", context=BOOKING)
        due = timezone.now() - timedelta(seconds=seconds)
        SagaExecution.objects.filter(saga_id=saga_id).update(due_at=due, rank_at=due, **values)

    return queue


def warnings(said):
    """Return the lines that report a problem."""
    return [line for line in said.lines if not line.startswith("✓")]


def test_a_healthy_installation(command, worker):
    worker()

    said = command("saga_doctor")

    assert without_version(said.lines) == HEALTHY
    assert said.code == 0


def test_an_installation_without_workers_is_a_warning(command):
    said = command("saga_doctor")

    assert warnings(said) == [NO_WORKER]
    assert said.sentence == NO_WORKER
    assert said.code == 1


def test_no_worker_while_work_is_due_is_broken(command, overdue):
    overdue()

    said = command("saga_doctor")

    assert warnings(said) == [
        "✗ workers: No worker is running. Start manage.py saga_workers.",
        "! work: 1 saga has been due for more than 10 s. Add workers or threads, or check why none claims them.",
    ]
    assert said.code == 2


def test_a_worker_that_has_not_reported_for_a_minute_is_a_warning(command, worker):
    worker(seen=90)

    said = command("saga_doctor")

    assert warnings(said) == [
        NO_WORKER,
        "! workers: 1 worker has not reported for 60 s. Check whether they run and reach the database.",
    ]
    assert said.code == 1


def test_running_and_missing_workers_are_counted(command, worker):
    for seen in (0, 0, 90, 120):
        worker(seen=seen)

    said = command("saga_doctor")

    assert said.lines[3] == "✓ workers: 2 workers are running; sagas: 6, free threads: 10."
    assert warnings(said) == [
        "! workers: 2 workers have not reported for 60 s. Check whether they run and reach the database."
    ]
    assert said.code == 1


def test_a_worker_missing_for_an_hour_is_not_reported(command, worker):
    worker()
    worker(seen=3700)

    assert without_version(command("saga_doctor").lines) == HEALTHY


def test_stuck_threads_are_a_warning(command, worker):
    worker(stuck=1)
    worker()

    said = command("saga_doctor")

    assert warnings(said) == [
        ("! workers: 1 thread is stuck in a step that does not return. Set a timeout on the calls that the step makes.")
    ]
    assert said.code == 1


def test_overdue_sagas_are_a_warning(command, worker, overdue):
    worker()
    overdue("b-1")
    overdue("b-2")
    overdue("b-3", seconds=5)

    said = command("saga_doctor")

    assert warnings(said) == [
        "! work: 2 sagas have been due for more than 10 s. Add workers or threads, or check why none claims them."
    ]
    assert said.code == 1


def test_an_expired_lease_is_a_warning(command, worker, overdue):
    worker()
    overdue(leased=True, state="in_progress")

    said = command("saga_doctor")

    assert warnings(said)[1:] == [
        (
            "! leases: 1 saga has lost its worker and has not been recovered. "
            "A running worker that has the saga registered recovers it."
        )
    ]
    assert said.code == 1


def test_clocks_that_differ_are_a_warning(command, worker, monkeypatch):
    worker()
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=30))

    said = command("saga_doctor")

    assert warnings(said) == [
        (
            "! clocks: The clocks of this host and of the database differ by 30 s; leases use the database's. "
            "Synchronize both with the same time server."
        )
    ]
    assert said.code == 1


def test_a_setting_with_a_check_warning_is_a_warning(command, worker, settings):
    worker()
    settings.SAGAS = {"LEASE": 14}

    said = command("saga_doctor")

    assert (
        "! settings: SAGAS['LEASE'] is 14 s: a worker that pauses in a slow commit may lose its leases. "
        "(sagas.W006) Set it to 15 or more."
    ) in warnings(said)
    assert said.code == 1


def test_a_silenced_check_is_not_reported(command, worker, settings):
    worker()
    settings.SAGAS = {"LEASE": 14}
    settings.SILENCED_SYSTEM_CHECKS = ["sagas.W006", "sagas.W001"]

    assert without_version(command("saga_doctor").lines) == HEALTHY


def test_a_setting_with_a_check_error_is_broken(shell):
    said = shell("saga_doctor", SAGAS_SETTINGS='{"LEASE": 0}')

    assert said.out.splitlines()[1] == (
        "✗ settings: SAGAS['LEASE'] must be more than 0 seconds, not 0. (sagas.E001) See Settings in docs/REFERENCE.md."
    )
    assert (said.err, said.code) == ("", 2)


def test_an_unavailable_database_is_broken(shell, tmp_path):
    said = shell("saga_doctor", DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/db.sqlite3")

    assert said.out == (
        "✗ database: The database is not available: unable to open database file. Start it and run the migrations.\n"
    )
    assert (said.err, said.code) == ("", 2)


def test_a_database_without_its_tables_is_broken(shell, tmp_path):
    said = shell("saga_doctor", "--json", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")

    assert said.document["findings"][-1] == {
        "subject": "database",
        "level": "broken",
        "sentence": "The database is not available: no such table: sagas_execution.",
        "cure": "Start it and run the migrations.",
    }
    assert said.code == 2


def test_sagas_that_need_attention_are_no_problem(command, worker, partially_compensated):
    worker()

    said = command("saga_doctor")

    assert said.lines[-1] == "✓ attention: 1 saga needs attention."
    assert said.code == 0


def test_the_report_as_json(command, worker, overdue):
    overdue()

    said = command("saga_doctor", "--json")

    findings = said.document["findings"]
    assert (said.document["level"], said.document["exit_code"], said.code) == ("broken", 2, 2)
    assert [finding["subject"] for finding in findings] == [
        "database", "settings", "clocks", "workers", "work", "leases", "attention",
    ]  # fmt: skip
    assert findings[3] == {
        "subject": "workers",
        "level": "broken",
        "sentence": "No worker is running.",
        "cure": "Start manage.py saga_workers.",
    }
    assert json.loads(said.out) == said.document
    assert said.err.splitlines()[0].startswith(f"✓ database: {connection.display_name} ")
