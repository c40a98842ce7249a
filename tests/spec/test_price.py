"""The cost of a saga: the number of statements and of commits. Each commit waits for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import connection

from sagas import Saga, SagaState, SagaStep, StepFailed
from sagas.models import SagaExecution
from tests.support import run_saga

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["one", "two", "three", "four"]
WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")
# With SQLite, BEGIN is a statement of its own; with PostgreSQL, the driver sends it.
BRACKETS = ("BEGIN", "COMMIT")


@dataclass
class Spent:
    """The statements that were executed, and the first statement of each commit."""

    statements: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)


@contextmanager
def counting(monkeypatch) -> Iterator[Spent]:
    """Count the statements and commits. Django does not execute COMMIT as a statement, so watch its own method."""
    spent, inside, commit = Spent(), [], connection._commit

    def watch(execute, sql, params, many, context):
        words = sql.split(maxsplit=1)[0].upper()
        if words not in BRACKETS:
            spent.statements.append(sql)
            if connection.in_atomic_block:
                inside.append(sql)
            elif words in WRITES:
                spent.commits.append(sql)
        return execute(sql, params, many, context)

    def watched_commit():
        commit()
        spent.commits.append(inside[0] if inside else "nothing")
        inside.clear()

    with monkeypatch.context() as patch, connection.execute_wrapper(watch):
        patch.setattr(connection, "_commit", watched_commit)
        yield spent


def nothing(context):
    return None


def refuse(context):
    raise StepFailed("no")


def of_four(action=nothing, last=nothing) -> Saga:
    """Return a saga of four idempotent steps. The first three have a compensation, and there are no references."""
    steps = [SagaStep(name, action, nothing) for name in NAMES[:3]]
    return Saga("priced", [*steps, SagaStep(NAMES[3], last)])


def test_a_saga_of_four_steps_is_an_insert_and_at_most_five_commits(monkeypatch):
    with counting(monkeypatch) as spent:
        execution = run_saga(of_four())

    assert execution.state is SagaState.SUCCEEDED
    inserts = [sql for sql in spent.commits if sql.split(maxsplit=3)[:3] == ["INSERT", "INTO", "sagas_execution"]]
    assert len(inserts) == 1, spent.commits
    assert len(spent.commits) <= 6, spent.commits


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite needs two statements for a checkpoint")
def test_a_saga_of_four_steps_is_at_most_ten_statements_on_postgresql(monkeypatch):
    with counting(monkeypatch) as spent:
        run_saga(of_four())

    assert len(spent.statements) <= 10, spent.statements


def test_three_undos_add_at_most_five_commits(monkeypatch):
    with counting(monkeypatch) as forwards:
        run_saga(of_four())
    with counting(monkeypatch) as there_and_back:
        execution = run_saga(of_four(last=refuse))

    assert execution.state is SagaState.FAILED
    assert [run.step for run in execution.step_executions if run.direction == "compensation"] == NAMES[2::-1]
    added = len(there_and_back.commits) - len(forwards.commits)
    assert added <= 5, there_and_back.commits


def test_a_checkpoint_after_which_the_saga_goes_on_does_not_touch_due_at():
    seen = []

    def look(context):
        seen.append(SagaExecution.objects.values_list("due_at", "rank_at", "version").get(saga_id=context.saga_id))

    execution = run_saga(of_four(look, look))

    due, rank, _ = seen[0]
    assert due is not None
    assert seen == [(due, rank, version) for version in (1, 2, 3, 4)]
    assert execution.due_at is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite updates every row in place")
def test_a_checkpoint_that_goes_on_updates_in_place_on_postgresql():
    sagas, continuing = 20, 3
    before = updates_in_place()

    for _ in range(sagas):
        run_saga(of_four())

    # Sometimes a page has no room for another version of the row. Then the update is not in place.
    assert updates_in_place() - before >= sagas * continuing * 0.75


def updates_in_place() -> int:
    """Return PostgreSQL's count of "heap-only tuple" updates of executions, over all connections."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sagas_execution'")
        return cursor.fetchone()[0]
