"""Bad values in `settings.SAGAS`, and the system checks that report them."""

import os
import sqlite3
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.db import connection, connections

from sagas import SagaState
from sagas.conf import get_settings
from sagas.definition.exceptions import SettingsError
from tests.support import run

KNOWN = (
    "LEASE, HEARTBEAT, GRACE, WORKER_THREADS, MAX_RECOVERIES, DRAIN_SECONDS, POLL, AGEING, COMPENSATION_PATIENCE, "
    "MAX_CONTEXT_BYTES, UNCERTAIN_EXCEPTIONS, LISTEN_DSN, NOTIFY, PROOF_PROVIDERS, CURRENCY, API_WAITERS, "
    "BULK_AT_ONCE"
)
NAMES = "must be a list of dotted class names such as 'provider.errors.Lost'"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"LEASES": 5}, f"SAGAS has the unknown key 'LEASES'. Known: {KNOWN}."),
        ({"lease": 5}, f"SAGAS has the unknown key 'lease'. Known: {KNOWN}."),
        ({"LEASE": 0}, "SAGAS['LEASE'] must be more than 0 seconds, not 0."),
        ({"LEASE": "60"}, "SAGAS['LEASE'] must be a number of seconds, not '60'."),
        ({"LEASE": float("inf")}, "SAGAS['LEASE'] must be a number of seconds, not inf."),
        ({"HEARTBEAT": -1}, "SAGAS['HEARTBEAT'] must be more than 0 seconds, not -1."),
        ({"GRACE": None}, "SAGAS['GRACE'] must be a number of seconds, not None."),
        ({"GRACE": True}, "SAGAS['GRACE'] must be a number of seconds, not True."),
        ({"WORKER_THREADS": 0}, "SAGAS['WORKER_THREADS'] must be a whole number of at least 1, not 0."),
        ({"WORKER_THREADS": 1.5}, "SAGAS['WORKER_THREADS'] must be a whole number of at least 1, not 1.5."),
        ({"BULK_AT_ONCE": 0}, "SAGAS['BULK_AT_ONCE'] must be a whole number of at least 1, not 0."),
        ({"MAX_RECOVERIES": 0}, "SAGAS['MAX_RECOVERIES'] must be a whole number of at least 1, not 0."),
        ({"DRAIN_SECONDS": 0}, "SAGAS['DRAIN_SECONDS'] must be more than 0 seconds, not 0."),
        ({"POLL": 0}, "SAGAS['POLL'] must be more than 0 seconds, not 0."),
        ({"AGEING": 0}, "SAGAS['AGEING'] must be more than 0 seconds, not 0."),
        ({"COMPENSATION_PATIENCE": 0}, "SAGAS['COMPENSATION_PATIENCE'] must be more than 0 seconds, not 0."),
        ({"MAX_CONTEXT_BYTES": 10}, "SAGAS['MAX_CONTEXT_BYTES'] must be a whole number of at least 1024, not 10."),
        ({"UNCERTAIN_EXCEPTIONS": "a.B"}, f"SAGAS['UNCERTAIN_EXCEPTIONS'] {NAMES}, not 'a.B'."),
        ({"UNCERTAIN_EXCEPTIONS": ["Lost"]}, f"SAGAS['UNCERTAIN_EXCEPTIONS'] {NAMES}, not ['Lost']."),
        ({"LISTEN_DSN": ""}, "SAGAS['LISTEN_DSN'] must be a connection string or None, not ''."),
        ({"CURRENCY": "R$"}, "SAGAS['CURRENCY'] must be the ISO 4217 code of a currency, such as 'USD', not 'R$'."),
        ({"NOTIFY": 1}, "SAGAS['NOTIFY'] must be True or False, not 1."),
        (
            {"PROOF_PROVIDERS": "Providers"},
            "SAGAS['PROOF_PROVIDERS'] must be a dotted class name such as 'shop.Providers' or None, not 'Providers'.",
        ),
        ([("LEASE", 5)], "SAGAS must be a dictionary, not list."),
    ],
)
def test_a_bad_setting_is_refused(settings, given, sentence):
    settings.SAGAS = given

    with pytest.raises(SettingsError) as error:
        get_settings()

    assert str(error.value) == sentence
    found = [check for check in run_checks(tags=["sagas"]) if check.id == "sagas.E001"]
    assert [check.msg for check in found] == [sentence]
    assert found[0].hint == "See Settings in docs/REFERENCE.md."


def test_all_bad_settings_are_reported_at_once(settings):
    settings.SAGAS = {"LEASE": 0, "GRACE": 0}

    with pytest.raises(SettingsError) as error:
        get_settings()

    assert str(error.value) == (
        "SAGAS['LEASE'] must be more than 0 seconds, not 0. SAGAS['GRACE'] must be more than 0 seconds, not 0."
    )


@pytest.mark.django_db
def test_nothing_starts_with_bad_settings(settings, stage):
    from sagas.models import SagaExecution

    settings.SAGAS = {"LEASES": 5}

    with pytest.raises(SettingsError):
        run(stage.step("a"))

    assert not SagaExecution.objects.exists()


def test_every_key_has_a_default(settings):
    del settings.SAGAS

    assert get_settings().LEASE == 60.0
    assert get_settings().UNCERTAIN_EXCEPTIONS == ()
    assert get_settings().beat == 15.0


def test_a_short_lease_is_renewed_more_often(settings):
    settings.SAGAS = {"LEASE": 2}

    assert get_settings().beat == 0.5


@pytest.mark.django_db
def test_settings_are_read_late(settings, stage):
    lost = type("Lost", (Exception,), {"__module__": "provider.errors"})
    settings.SAGAS = {"UNCERTAIN_EXCEPTIONS": ["provider.errors.Lost"]}

    execution = run(stage.step("a", lost("no answer"), retry_count=0))

    assert execution.state is SagaState.FAILED
    assert stage.told == ["a", "a.undo"]


# Tests of the system checks.


def test_the_project_passes_its_checks():
    assert run_checks(tags=["sagas"]) == []


def test_a_long_transactional_step_is_a_warning(settings, stage, registered):
    registered(stage.step("enter", transactional=True, timeout=30))
    settings.SAGAS = {"LEASE": 60}

    found = [check for check in run_checks(tags=["sagas"]) if "'trip'" in check.msg]

    assert [(check.id, check.msg, check.hint) for check in found] == [
        (
            "sagas.W001",
            (
                "Saga 'trip': the transactional step 'enter' has a timeout of 30 s, but is cut off after 20 s, "
                "a third of SAGAS['LEASE']."
            ),
            "Lower its timeout to 20, or raise the lease.",
        )
    ]


def test_the_suggested_timeout_of_a_transactional_step_passes(settings, stage, registered):
    settings.SAGAS = {"LEASE": 20}
    registered(stage.step("enter", transactional=True, timeout=7))

    found = [check for check in run_checks(tags=["sagas"]) if "'trip'" in check.msg]

    assert "is cut off after 6.66 s" in found[0].msg
    assert found[0].hint == "Lower its timeout to 6.66, or raise the lease."
    registered(stage.step("enter", transactional=True, timeout=6.66))
    assert not [check for check in run_checks(tags=["sagas"]) if "'trip'" in check.msg]


# Checks of the django-q cluster that runs the sagas.

NO_CLUSTER = (
    "sagas.W005",
    "No cluster in Q_CLUSTER has the broker of sagas, so no worker runs sagas.",
    "Set Q_CLUSTER['broker_class'] = 'sagas.worker.SagaBroker' there or in one of its ALT_CLUSTERS.",
)
OTHER_TASKS = {"name": "mails", "orm": "default"}


@pytest.mark.parametrize("clusters", [OTHER_TASKS, {**OTHER_TASKS, "ALT_CLUSTERS": {"reports": {"workers": 1}}}, None])
def test_clusters_that_do_not_run_sagas_are_a_warning(settings, clusters):
    settings.Q_CLUSTER = clusters

    assert told(run_checks(tags=["sagas"])) == [NO_CLUSTER]


def test_one_cluster_for_sagas_is_enough(settings):
    settings.Q_CLUSTER = {**OTHER_TASKS, "ALT_CLUSTERS": {"sagas": {"broker_class": "sagas.worker.SagaBroker"}}}

    assert run_checks(tags=["sagas"]) == []


def test_a_project_without_django_q_needs_no_cluster(settings):
    settings.Q_CLUSTER = OTHER_TASKS
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_q"]

    assert run_checks(tags=["sagas"]) == []


def test_a_connection_pool_in_workers_is_an_error(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"pool": True})

    assert told(run_checks(tags=["sagas"])) == [
        (
            "sagas.E005",
            "django-q2 forks its workers, and the connection pool of psycopg does not survive a fork.",
            "Remove 'pool' from DATABASES['default']['OPTIONS'] where workers run, and set CONN_MAX_AGE = None.",
        )
    ]


def test_a_connection_pool_without_workers_is_allowed(monkeypatch, settings):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"pool": True})
    settings.Q_CLUSTER = OTHER_TASKS

    assert told(run_checks(tags=["sagas"])) == [NO_CLUSTER]


def test_a_short_lease_is_a_warning(settings):
    settings.SAGAS = {"LEASE": 14.5}

    assert [check for check in told(run_checks(tags=["sagas"])) if check[0] == "sagas.W006"] == [
        (
            "sagas.W006",
            "SAGAS['LEASE'] is 14.5 s: a worker that pauses in a slow commit may lose its leases.",
            "Set it to 15 or more.",
        )
    ]
    settings.SAGAS = {"LEASE": 15}
    assert run_checks(tags=["sagas"]) == []


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite counts no connections")
def test_more_threads_than_connections_are_a_warning(settings):
    settings.Q_CLUSTER = {"broker_class": "sagas.worker.SagaBroker", "workers": 1000}
    settings.SAGAS = {"WORKER_THREADS": 4}
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections')")
        allowed, reserved = map(int, cursor.fetchone())

    found = told(run_checks(tags=["database"], databases=["default"]))

    assert found == [
        (
            "sagas.W007",
            (
                "A saga cluster of 1000 workers with 4 threads may need 7006 connections; "
                f"PostgreSQL allows {allowed - reserved}."
            ),
            "Raise max_connections, or lower Q_CLUSTER['workers'] or SAGAS['WORKER_THREADS'].",
        )
    ]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite counts no connections")
def test_as_many_threads_as_connections_are_allowed(settings):
    settings.Q_CLUSTER = {"broker_class": "sagas.worker.SagaBroker", "workers": 2}

    assert run_checks(tags=["database"], databases=["default"]) == []


def told(found):
    return [(check.id, check.msg, check.hint) for check in found]


@pytest.mark.django_db
def test_executions_with_an_undefined_step_are_a_warning(stage, registered, orchestrator):
    registered(stage.step("a"), stage.step("b"))
    orchestrator.start("stranded", "trip")
    registered(stage.step("a"))

    found = run_checks(tags=["database"], databases=["default"])

    assert [(check.id, check.msg, check.hint) for check in found if check.id == "sagas.W004"] == [
        (
            "sagas.W004",
            "1 unfinished executions of 'trip' have the step 'b', which is not defined here.",
            "They will be held. Keep the step defined until they have ended.",
        )
    ]


@pytest.mark.django_db
def test_connections_that_are_not_kept_are_a_warning(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)

    found = run_checks(tags=["database"], databases=["default"])

    assert [(check.msg, check.hint) for check in found if check.id == "sagas.W003"] == [
        (
            "CONN_MAX_AGE is 0, so every request opens a new connection, which doubles the cost of a saga.",
            "Set DATABASES['default']['CONN_MAX_AGE'] = None.",
        )
    ]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="an option of SQLite")
def test_deferred_transactions_on_sqlite_are_a_warning(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})

    found = run_checks(tags=["database"], databases=["default"])

    assert [(check.msg, check.hint) for check in found if check.id == "sagas.W002"] == [
        (
            "SQLite transactions begin DEFERRED, so concurrent writers fail with 'database is locked'.",
            "Set DATABASES['default']['OPTIONS']['transaction_mode'] = 'IMMEDIATE'.",
        )
    ]


NOT_UTC = (
    "sagas.E004",
    "Sagas store times in UTC, but these settings use another time zone.",
    "Set USE_TZ = True and remove TIME_ZONE from DATABASES['default'].",
)


def test_times_without_a_zone_are_an_error(settings):
    settings.USE_TZ = False

    assert [(check.id, check.msg, check.hint) for check in run_checks(tags=["sagas"]) if check.id == NOT_UTC[0]] == [
        NOT_UTC
    ]


def test_a_database_in_another_time_zone_is_an_error(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", "America/Sao_Paulo")

    assert [(check.id, check.msg, check.hint) for check in run_checks(tags=["sagas"]) if check.id == NOT_UTC[0]] == [
        NOT_UTC
    ]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="a version of SQLite")
def test_an_old_sqlite_is_an_error(monkeypatch):
    monkeypatch.setattr(sqlite3.dbapi2, "sqlite_version_info", (3, 34, 1))

    found = run_checks(tags=["database"], databases=["default"])

    assert [(check.id, check.msg, check.hint) for check in found] == [
        ("sagas.E002", "SQLite is older than 3.35.", "Use a newer Python or SQLite library.")
    ]


class Elsewhere:
    """A database router that sends all queries to a database of an unsupported kind."""

    def db_for_read(self, model, **hints):
        return "elsewhere"

    db_for_write = db_for_read


def test_another_kind_of_database_is_an_error(settings, monkeypatch):
    strange = connections.databases["default"] | {"ENGINE": "django.db.backends.dummy", "OPTIONS": {}}
    monkeypatch.setitem(connections.databases, "elsewhere", strange)
    settings.DATABASE_ROUTERS = [Elsewhere()]

    found = run_checks(tags=["database"], databases=["elsewhere"])

    assert [(check.id, check.msg, check.hint) for check in found] == [
        ("sagas.E003", "Sagas require SQLite or PostgreSQL, not unknown.", "Change DATABASES['elsewhere'].")
    ]


@pytest.mark.django_db
def test_only_the_requested_databases_are_checked(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)

    assert run_checks(tags=["database"], databases=[]) == []
    assert run_checks(tags=["database"], databases=["sandbox"]) == []


def test_a_project_is_checked_before_its_first_migration(tmp_path):
    urls = {name: f"sqlite:///{tmp_path}/{name}" for name in ("DATABASE_URL", "SANDBOX_DATABASE_URL")}

    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--database", "default", "--tag", "database"],
        cwd=django_settings.BASE_DIR,
        env=os.environ | urls,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (checked.stdout, checked.stderr) == ("System check identified no issues (0 silenced).\n", "")
