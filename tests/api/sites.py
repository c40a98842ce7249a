"""Run the demo site: gunicorn on loopback, and a cluster of workers."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import ROOT, mortal, url_of, wait_for

LISTENING = re.compile(rb"Listening at: (http://127\.0\.0\.1:\d+)")
LONGEST_LOG = 1_000_000
NO_LIMITS = {"sagas.start": None, "sagas.read": None, "sagas.operation": None}


def environment(**more: str) -> dict[str, str]:
    """Return the environment variables for the site: the test database, no rate limits, no debug pages."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.api.settings",
        "DATABASE_URL": url_of("default"),
        "SANDBOX_DATABASE_URL": url_of("sandbox"),
        "DEBUG": "0",
        "SECRET_KEY": "only for tests",
        "ALLOWED_HOSTS": "127.0.0.1",
        "API_RATES": json.dumps(NO_LIMITS),
        "SAGAS_LOG_LEVEL": "WARNING",
        **more,
    }


@contextmanager
def served(*, workers: int = 1, threads: int = 8, **more: str) -> Iterator[str]:
    """Serve the site and yield its address."""
    options = ["--bind", "127.0.0.1:0", "--workers", str(workers), "--threads", str(threads), "--no-control-socket"]
    # The longest valid search, URL-encoded, needs the longest request line that gunicorn allows.
    options += ["--limit-request-line", "8190"]
    command = [sys.executable, "-m", "gunicorn", *options, "sagaproject.wsgi"]
    with running(command, environment(**more)) as output:
        wait_for(lambda: LISTENING.search(output()))
        yield LISTENING.search(output())[1].decode()


@contextmanager
def working(*, workers: int = 2, **more: str) -> Iterator[None]:
    """Run a cluster of workers during the block."""
    cluster = json.dumps({"workers": workers, "queue_limit": workers})
    with running([sys.executable, "manage.py", "qcluster"], environment(SHOP_CLUSTER=cluster, **more)):
        from sagas.models import SagaWorker

        wait_for(lambda: SagaWorker.objects.count() == workers)
        yield


@contextmanager
def running(command: list[str], variables: dict[str, str]):
    """Run a process and yield a function that returns its output.

    Afterwards the process is terminated and its group is killed, also if the tests themselves are killed.
    """
    with tempfile.TemporaryFile() as log:

        def output() -> bytes:
            return os.pread(log.fileno(), LONGEST_LOG, 0)

        process = subprocess.Popen(
            mortal(command), cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield output
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                end_group(process.pid)
                print(output().decode(), file=sys.stderr)  # pytest shows the output next to the failed test


def end_group(group: int) -> None:
    """Kill the remaining processes of the group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
