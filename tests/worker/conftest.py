"""Fixtures that start clusters, stop them after the test, and register the "strange" sagas."""

import itertools
import sys

import pytest

from sagas.definition import registry
from tests.support.clusters import LEASE, ClusterUnderTest

numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _our_lease(settings):
    settings.SAGAS = {"LEASE": LEASE}


@pytest.fixture(scope="session")
def strange():
    """Register the "strange" sagas in this process; the clusters register them too."""
    before = set(registry.all_sagas())
    from tests.worker.strange import sagas

    yield sagas
    for name in set(registry.all_sagas()) - before:
        registry.unregister(name)


@pytest.fixture
def cluster(transactional_db, strange):
    """Return a function that starts a cluster, such as cluster("qcluster", workers=1, WORKER_THREADS=4)."""
    started = []

    def start(
        command="saga_workers",
        *,
        workers=2,
        recycle=100_000,
        environment=None,
        interpreter=(sys.executable,),
        **settings,
    ):
        started.append(
            ClusterUnderTest(
                command,
                workers=workers,
                name=f"cluster-{next(numbers)}",
                recycle=recycle,
                environment=environment or {},
                settings=settings,
                interpreter=interpreter,
            )
        )
        started[-1].wait_until_it_works()
        return started[-1]

    yield start
    for one in started:
        one.leave()
