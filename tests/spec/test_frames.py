"""Count our own stack frames between a call and its SQL statement."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from sagas import Saga, SagaStep, StepFailed
from sagas.definition import registry
from sagas.orchestrator import get_saga_orchestrator
from tests.support import new_id

pytestmark = pytest.mark.django_db(transaction=True)

PACKAGE = f"{os.sep}sagas{os.sep}"
START, RUN = ("orchestrator.py", "start"), ("runner.py", "run")


def nothing(context):
    return None


def refuse(context):
    raise StepFailed("no")


def frames_of_statement() -> list[tuple[str, str]]:
    """Return this package's stack frames above the running statement, innermost first, as (file, function)."""
    frame, found = sys._getframe(1), []
    while frame:
        path = frame.f_code.co_filename
        if PACKAGE in path and f"{os.sep}tests{os.sep}" not in path:
            found.append((Path(path).name, frame.f_code.co_name))
        frame = frame.f_back
    return found


@contextmanager
def counted(words: tuple[str, ...], outermost: tuple[str, str]):
    """Collect the frames from `outermost` to each statement that contains one of these words."""
    counts = []

    def look(execute, sql, params, many, context):
        frames = frames_of_statement()
        if any(word in sql for word in words) and outermost in frames:
            counts.append(frames[: frames.index(outermost) + 1])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield counts


@pytest.fixture
def registered():
    def register(*steps: SagaStep, **options) -> Saga:
        saga = Saga("framed", list(steps), **options)
        registry.register(saga)
        return saga

    yield register
    registry.unregister("framed")


@pytest.mark.parametrize("references", [(), ("sale_id",)])
def test_a_start_reaches_its_insert_in_six_frames(registered, references):
    registered(SagaStep("one", nothing), references=references)

    with counted(("INSERT INTO sagas_execution",), START) as counts:
        get_saga_orchestrator().start(new_id(), "framed", context={"sale_id": "1"})

    assert len(counts) == 1
    assert len(counts[0]) <= 6, counts


@pytest.mark.parametrize("action", [nothing, refuse])
@pytest.mark.parametrize("transactional", [False, True])
def test_an_outcome_reaches_its_checkpoint_in_five_frames(registered, action, transactional):
    saga = registered(SagaStep("one", nothing), SagaStep("two", action, transactional=transactional))

    with counted(("SET\n    version = version + 1, state", "sagas_steprun"), RUN) as counts:
        get_saga_orchestrator().execute(new_id(), "framed", saga)

    assert len(counts) >= 2
    assert max(map(len, counts)) <= 5, counts
