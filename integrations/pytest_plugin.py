"""Give tests that use the database access to the sandbox's database as well.

A test that names no databases gets the default database and the sandbox's database. After the test, its database
fixture rolls back or flushes both.
"""

from collections.abc import Iterator

import pytest

DATABASE_FIXTURES = {
    "db",
    "transactional_db",
    "live_server",
    "django_db_reset_sequences",
    "django_db_serialized_rollback",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow the default and the sandbox's database for each test that uses a database but names none."""
    for item in items:
        marker = item.get_closest_marker("django_db")
        uses_database = marker or DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
        names_databases = marker and (marker.kwargs.get("databases") is not None or len(marker.args) > 2)
        if uses_database and not names_databases:
            _name_both(item, marker)


@pytest.fixture(autouse=True)
def _clear_probes() -> Iterator[None]:
    from integrations.sandbox import probes

    yield
    probes.clear()


def _name_both(item: pytest.Item, marker: pytest.Mark | None) -> None:
    from django.db import DEFAULT_DB_ALIAS

    from integrations import ledger

    databases = sorted({DEFAULT_DB_ALIAS, ledger.alias()})
    args, kwargs = (marker.args, marker.kwargs) if marker else ((), {})
    item.add_marker(pytest.mark.django_db(*args, **{**kwargs, "databases": databases}), append=False)
