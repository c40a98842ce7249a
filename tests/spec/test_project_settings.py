"""The project's settings read the URL of the database."""

import psycopg
import pytest

from sagaproject.settings import read_database

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("OF_A_TEST", "postgresql://somebody@db.example/sagas?connect_timeout=3")


def test_a_silent_server_is_noticed_within_a_lease_and_the_url_overrides():
    options = read_database("OF_A_TEST", "default", "")["OPTIONS"]

    assert options.pop("prepare_threshold") == 5
    known = psycopg.conninfo.conninfo_to_dict(psycopg.conninfo.make_conninfo("", **options))
    assert known == {
        "connect_timeout": "3",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
    }
