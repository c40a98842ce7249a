"""System checks: errors for settings that cannot work, and warnings for settings that cause problems."""

from __future__ import annotations

import math
import os
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from sagas import conf, storage
from sagas.definition.registry import all_sagas
from sagas.models import SagaExecution
from sagas.storage import database

from . import health

SHORTEST_LEASE = 15.0
OLDEST_SQLITE = (3, 35)


@register("sagas")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check the keys and values of settings.SAGAS."""
    return [Error(problem, hint="See Settings in docs/REFERENCE.md.", id="sagas.E001") for problem in conf.problems()]


@register("sagas")
def check_time_zones(**_: Any) -> list[CheckMessage]:
    """Check that times are stored in UTC, because the expiry of leases is compared in UTC (on SQLite as text)."""
    if settings.USE_TZ and not connections[database.alias()].settings_dict.get("TIME_ZONE"):
        return []
    hint = f"Set USE_TZ = True and remove TIME_ZONE from DATABASES[{database.alias()!r}]."
    return [Error("Sagas store times in UTC, but these settings use another time zone.", hint=hint, id="sagas.E004")]


@register("sagas")
def check_steps_fit_the_lease(**_: Any) -> list[CheckMessage]:
    """Check the timeouts of transactional steps, because such a step is cut off after a third of the lease."""
    if conf.problems():
        return []
    most = conf.get_settings().LEASE / 3
    shown = f"{math.floor(most * 100) / 100:g}"
    return [
        checks.Warning(
            f"Saga {saga.name!r}: the transactional step {step.name!r} has a timeout of {step.timeout:g} s, but is cut "
            f"off after {shown} s, a third of SAGAS['LEASE'].",
            hint=f"Lower its timeout to {shown}, or raise the lease.",
            id="sagas.W001",
        )
        for saga in all_sagas().values()
        for step in saga
        if step.transactional and step.timeout > most
    ]


@register("sagas")
def check_cluster(**_: Any) -> list[CheckMessage]:
    """If django-q2 is installed, check that a cluster runs sagas and that its settings allow this."""
    if not apps.is_installed("django_q") or conf.problems():
        return []
    if conf.saga_cluster() is None:
        return [
            checks.Warning(
                "No cluster in Q_CLUSTER has the broker of sagas, so no worker runs sagas.",
                hint=f"Set Q_CLUSTER['broker_class'] = {conf.BROKER!r} there or in one of its ALT_CLUSTERS.",
                id="sagas.W005",
            )
        ]
    found: list[CheckMessage] = []
    alias, lease = database.alias(), conf.get_settings().LEASE
    # Measured with a pool: only 3 of 200 tasks ran, and replies arrived in the wrong processes.
    if connections[alias].settings_dict.get("OPTIONS", {}).get("pool"):
        problem = "django-q2 forks its workers, and the connection pool of psycopg does not survive a fork."
        hint = f"Remove 'pool' from DATABASES[{alias!r}]['OPTIONS'] where workers run, and set CONN_MAX_AGE = None."
        found.append(Error(problem, hint=hint, id="sagas.E005"))
    if lease < SHORTEST_LEASE:
        problem = f"SAGAS['LEASE'] is {lease:g} s: a worker that pauses in a slow commit may lose its leases."
        found.append(checks.Warning(problem, hint=f"Set it to {SHORTEST_LEASE:g} or more.", id="sagas.W006"))
    return found


@register(Tags.database)
def check_database(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Check the executions' database, and whether the current code can continue the unfinished executions."""
    if not databases or database.alias() not in databases:
        return []
    here = connections[database.alias()]
    if here.vendor not in ("sqlite", "postgresql"):
        problem = f"Sagas require SQLite or PostgreSQL, not {here.vendor}."
        return [Error(problem, hint=f"Change DATABASES[{database.alias()!r}].", id="sagas.E003")]
    found = _check_sqlite(here) if here.vendor == "sqlite" else []
    return [*found, *_check_connections_are_kept(here), *_check_enough_connections(here), *_check_stranded(here)]


def _check_sqlite(here: Any) -> list[CheckMessage]:
    if here.Database.sqlite_version_info < OLDEST_SQLITE:
        return [Error("SQLite is older than 3.35.", hint="Use a newer Python or SQLite library.", id="sagas.E002")]
    options = here.settings_dict.get("OPTIONS", {})
    if str(options.get("transaction_mode", "DEFERRED")).upper() == "IMMEDIATE":
        return []
    return [
        checks.Warning(
            "SQLite transactions begin DEFERRED, so concurrent writers fail with 'database is locked'.",
            hint=f"Set DATABASES[{database.alias()!r}]['OPTIONS']['transaction_mode'] = 'IMMEDIATE'.",
            id="sagas.W002",
        )
    ]


def _check_connections_are_kept(here: Any) -> list[CheckMessage]:
    if here.settings_dict.get("CONN_MAX_AGE") != 0 or here.settings_dict.get("OPTIONS", {}).get("pool"):
        return []
    return [
        checks.Warning(
            "CONN_MAX_AGE is 0, so every request opens a new connection, which doubles the cost of a saga.",
            hint=f"Set DATABASES[{database.alias()!r}]['CONN_MAX_AGE'] = None.",
            id="sagas.W003",
        )
    ]


def _check_enough_connections(here: Any) -> list[CheckMessage]:
    """Check that PostgreSQL allows a connection for each thread, three more for each worker, and six for others."""
    cluster = conf.saga_cluster() if apps.is_installed("django_q") and not conf.problems() else None
    if cluster is None or here.vendor != "postgresql":
        return []
    workers, threads = int(cluster.get("workers") or os.cpu_count() or 1), conf.get_settings().WORKER_THREADS
    needed, there_are = workers * (threads + 3) + 6, storage.most_connections()
    if needed <= there_are:
        return []
    return [
        checks.Warning(
            f"A saga cluster of {workers} workers with {threads} threads may need {needed} connections; "
            f"PostgreSQL allows {there_are}.",
            hint="Raise max_connections, or lower Q_CLUSTER['workers'] or SAGAS['WORKER_THREADS'].",
            id="sagas.W007",
        )
    ]


def _check_stranded(here: Any) -> list[CheckMessage]:
    """Find unfinished executions whose plan has a step that the current code does not define."""
    if SagaExecution._meta.db_table not in here.introspection.table_names():
        return []
    return [
        checks.Warning(
            f"{stranded.count} unfinished executions of {stranded.saga_name!r} have the step "
            f"{stranded.missing_step!r}, which is not defined here.",
            hint="They will be held. Keep the step defined until they have ended.",
            id="sagas.W004",
        )
        for stranded in health.in_flight(SagaExecution.objects.using(here.alias).unfinished())
        if stranded.missing_step
    ]
