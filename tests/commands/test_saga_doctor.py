"""saga_doctor tells whether the installation is fit to run sagas, and exits with 0, 1 or 2."""

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
NO_WORKER = "! workers: No worker is alive. Start manage.py saga_workers."
HEALTHY = [
    "✓ database: DATABASE VERSION answers.",
    "✓ settings: The system checks of sagas find nothing.",
    "✓ clocks: This host's clock and the database's agree.",
    "✓ workers: 1 worker is alive; sagas in hand: 3, free threads: 5.",
    "✓ work: Nothing that is due waits.",
    "✓ leases: No lease has run out unnoticed.",
    "✓ attention: No saga waits for a person.",
]


def plainly(lines):
    return [VERSION.sub("DATABASE VERSION answers.", line) for line in lines]


@pytest.fixture
def worker():
    """Put down a worker as it reports itself: worker(seen=90, stuck=1)."""

    def report(seen=0.0, **values):
        number = SagaWorker.objects.count() + 1
        now = timezone.now()
        usual = {"host": "here", "pid": number, "process_group": 1, "cluster": "sagas", "running": 3, "free": 5}
        times = {"started_at": now - timedelta(hours=2), "seen_at": now - timedelta(seconds=seen)}
        return SagaWorker.objects.create(name=f"here:{number}", **usual | times | values)

    return report


@pytest.fixture
def overdue():
    """Queue a saga that has been due for so many seconds."""

    def queue(saga_id="b-1", seconds=30.0, **values):
        get_saga_orchestrator().start(saga_id, "create_booking", context=BOOKING)
        due = timezone.now() - timedelta(seconds=seconds)
        SagaExecution.objects.filter(saga_id=saga_id).update(due_at=due, rank_at=due, **values)

    return queue


def warnings(said):
    """The lines that are not about something healthy."""
    return [line for line in said.lines if not line.startswith("✓")]


def test_a_healthy_installation(command, worker):
    worker()

    said = command("saga_doctor")

    assert plainly(said.lines) == HEALTHY
    assert said.code == 0


def test_an_installation_without_workers_gets_a_warning(command):
    said = command("saga_doctor")

    assert warnings(said) == [NO_WORKER]
    assert said.sentence == NO_WORKER
    assert said.code == 1


def test_no_worker_while_work_is_due_is_broken(command, overdue):
    overdue()

    said = command("saga_doctor")

    assert warnings(said) == [
        "✗ workers: No worker is alive. Start manage.py saga_workers.",
        "! work: 1 saga has been due for more than 10 s. Add workers or threads, or look why they do not take them.",
    ]
    assert said.code == 2


def test_a_worker_that_was_not_seen_for_a_minute_counts_for_nothing(command, worker):
    worker(seen=90)

    said = command("saga_doctor")

    assert warnings(said) == [
        NO_WORKER,
        "! workers: 1 worker has not been seen for 60 s. Were they killed, or do they not reach the database?",
    ]
    assert said.code == 1


def test_of_several_workers_some_may_be_gone(command, worker):
    for seen in (0, 0, 90, 120):
        worker(seen=seen)

    said = command("saga_doctor")

    assert said.lines[3] == "✓ workers: 2 workers are alive; sagas in hand: 6, free threads: 10."
    assert warnings(said) == [
        "! workers: 2 workers have not been seen for 60 s. Were they killed, or do they not reach the database?"
    ]
    assert said.code == 1


def test_a_worker_that_has_been_gone_for_an_hour_is_no_news(command, worker):
    worker()
    worker(seen=3700)

    assert plainly(command("saga_doctor").lines) == HEALTHY


def test_threads_that_are_stuck_are_a_warning(command, worker):
    worker(stuck=1)
    worker()

    said = command("saga_doctor")

    assert warnings(said) == [
        (
            "! workers: 1 thread is stuck in a step that does not come back. "
            "Give what such a step calls a time-out of its own."
        )
    ]
    assert said.code == 1


def test_work_that_waits_although_workers_are_alive_is_a_warning(command, worker, overdue):
    worker()
    overdue("b-1")
    overdue("b-2")
    overdue("b-3", seconds=5)

    said = command("saga_doctor")

    assert warnings(said) == [
        "! work: 2 sagas have been due for more than 10 s. Add workers or threads, or look why they do not take them."
    ]
    assert said.code == 1


def test_a_lease_that_ran_out_and_that_nobody_took_over_is_a_warning(command, worker, overdue):
    worker()
    overdue(leased=True, state="in_progress")

    said = command("saga_doctor")

    assert warnings(said)[1:] == [
        (
            "! leases: 1 saga was in the hands of a process that died, and nobody has gone on with it. "
            "A worker that knows the saga takes it over by itself."
        )
    ]
    assert said.code == 1


def test_clocks_that_differ_are_a_warning_also_before_the_first_saga(command, worker, monkeypatch):
    worker()
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=30))

    said = command("saga_doctor")

    assert warnings(said) == [
        (
            "! clocks: This host's clock and the database's are 30 s apart; leases go by the database's. "
            "Let both follow the same time server."
        )
    ]
    assert said.code == 1


def test_a_setting_that_will_hurt_is_a_warning(command, worker, settings):
    worker()
    settings.SAGAS = {"LEASE": 14}

    said = command("saga_doctor")

    assert (
        "! settings: SAGAS['LEASE'] is 14 s: a pause of a worker, such as a slow commit, costs it its sagas. "
        "(sagas.W006) Set it to 15 or more."
    ) in warnings(said)
    assert said.code == 1


def test_what_the_project_has_silenced_is_not_told(command, worker, settings):
    worker()
    settings.SAGAS = {"LEASE": 14}
    settings.SILENCED_SYSTEM_CHECKS = ["sagas.W006", "sagas.W001"]

    assert plainly(command("saga_doctor").lines) == HEALTHY


def test_a_setting_that_cannot_work_is_broken(shell):
    said = shell("saga_doctor", SAGAS_SETTINGS='{"LEASE": 0}')

    assert said.out.splitlines()[1] == (
        "✗ settings: SAGAS['LEASE'] must be more than 0 seconds, not 0. (sagas.E001) See Settings in docs/REFERENCE.md."
    )
    assert (said.err, said.code) == ("", 2)


def test_a_database_that_cannot_be_asked_is_broken(shell, tmp_path):
    said = shell("saga_doctor", DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/db.sqlite3")

    assert said.out == (
        "✗ database: The database cannot be asked: unable to open database file. Bring it up, and run the migrations.\n"
    )
    assert (said.err, said.code) == ("", 2)


def test_a_database_without_its_tables_is_broken(shell, tmp_path):
    said = shell("saga_doctor", "--json", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")

    assert said.document["findings"][-1] == {
        "subject": "database",
        "level": "broken",
        "sentence": "The database cannot be asked: no such table: sagas_execution.",
        "cure": "Bring it up, and run the migrations.",
    }
    assert said.code == 2


def test_sagas_that_wait_for_a_person_do_not_make_it_ill(command, worker, partially_compensated):
    worker()

    said = command("saga_doctor")

    assert said.lines[-1] == "✓ attention: 1 saga waits for a person."
    assert said.code == 0


def test_all_of_it_as_one_document(command, worker, overdue):
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
        "sentence": "No worker is alive.",
        "cure": "Start manage.py saga_workers.",
    }
    assert json.loads(said.out) == said.document
    assert said.err.splitlines()[0].startswith(f"✓ database: {connection.display_name} ")
