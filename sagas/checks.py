"""System checks: settings that cannot work, and those that will hurt."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from . import conf, journal
from .registry import all_sagas

OLDEST_SQLITE = (3, 35)


@register("sagas")
def check_settings(**_: Any) -> list[CheckMessage]:
    """settings.SAGAS holds what we know, and nothing else."""
    return [
        Error(problem, hint="See the settings table in the README.", id="sagas.E001") for problem in conf.problems()
    ]


@register("sagas")
def check_steps_fit_the_lease(**_: Any) -> list[CheckMessage]:
    """Transactional steps are cut off at a third of the lease, which nobody can renew for them."""
    if conf.problems():
        return []
    most = conf.get_settings().LEASE / 3
    return [
        checks.Warning(
            f"Saga {saga.name!r}: the transactional step {step.name!r} has a timeout of {step.timeout:g} s, but is cut "
            f"off after {most:g} s, a third of SAGAS['LEASE'].",
            hint=f"Lower its timeout to {most:g}, or raise the lease.",
            id="sagas.W001",
        )
        for saga in all_sagas().values()
        for step in saga
        if step.transactional and step.timeout > most
    ]


@register(Tags.database)
def check_database(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """The database of the executions can keep the promises."""
    if not databases or journal.alias() not in databases:
        return []
    here = connections[journal.alias()]
    if here.vendor == "sqlite":
        return _check_sqlite(here)
    if here.vendor == "postgresql":
        return []
    return [
        Error(
            f"Sagas run on SQLite or PostgreSQL, not on {here.vendor}.",
            hint=f"Change DATABASES[{journal.alias()!r}].",
            id="sagas.E003",
        )
    ]


def _check_sqlite(here: Any) -> list[CheckMessage]:
    if here.Database.sqlite_version_info < OLDEST_SQLITE:
        return [Error("SQLite is older than 3.35.", hint="Use a newer Python or SQLite library.", id="sagas.E002")]
    options = here.settings_dict.get("OPTIONS", {})
    if str(options.get("transaction_mode", "DEFERRED")).upper() == "IMMEDIATE":
        return []
    return [
        checks.Warning(
            "SQLite transactions begin DEFERRED, so concurrent writers fail with 'database is locked'.",
            hint=f"Set DATABASES[{journal.alias()!r}]['OPTIONS']['transaction_mode'] = 'IMMEDIATE'.",
            id="sagas.W002",
        )
    ]
