"""A served site ends with the tests, also if the tests are killed."""

import os
import signal
from contextlib import closing, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.support.processes import forked, wait_for

from .sites import served

pytestmark = pytest.mark.django_db(transaction=True)


def is_listening(site: str) -> bool:
    """Return whether a server listens at this address."""
    with suppress(OSError), closing(HTTPConnection(urlsplit(site).netloc, timeout=30)) as line:
        line.connect()
        return True
    return False


def test_a_site_ends_when_the_tests_are_killed():
    reader, writer = os.pipe()

    def serve() -> None:
        with served() as site:
            os.write(writer, site.encode())
            signal.pause()

    with forked(serve) as child:
        site = os.read(reader, 100).decode()
        assert is_listening(site)
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: not is_listening(site))
