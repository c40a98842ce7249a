"""An execution with an unreadable row is held; other executions that were claimed with it run."""

import datetime as dt

import pytest
from django.db import connection
from django.db.models.expressions import RawSQL

from sagas import SagaState
from sagas.definition.exceptions import ActRefused, UnreadableRow
from sagas.models import SagaEvent, SagaExecution, StepRun, time_ordered_uuid
from sagas.orchestrator import get_saga_orchestrator
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
BROKEN = '{"seconds": 0.1'
PROBLEM = "The column context cannot be read: Expecting ',' delimiter: line 1 column 16 (char 15)."
HELD = f"{PROBLEM} Repair it in the database, then release."


def start(saga_id, saga="nap"):
    return get_saga_orchestrator().start(saga_id, saga, context={"seconds": 0.1})


def damage(saga_id, **columns):
    """Overwrite these columns of the row with these texts."""
    texts = {name: RawSQL("%s", [text]) for name, text in columns.items()}
    SagaExecution.objects.filter(saga_id=saga_id).update(**texts)


def file_by_hand(execution, **columns):
    """Insert a step run directly, without a checkpoint."""
    filed = {
        "id": time_ordered_uuid().hex, "execution_id": execution.pk, "step": "one", "direction": "action", "run": 1,
        "attempt": 1, "outcome": "succeeded", "output": "{}", "changes": "{}", "error_type": "",
        "error_message": "", "idempotency_key": "", "started_at": LONG_AGO, "finished_at": LONG_AGO, "worker": "",
        "sequence": 2, "ending": "", "resolution": "",
    } | columns  # fmt: skip
    with connection.cursor() as cursor:
        places = ", ".join(["%s"] * len(filed))
        sql = f"INSERT INTO sagas_steprun ({', '.join(filed)}) VALUES ({places})"  # noqa: S608  (our own names)
        cursor.execute(sql, list(filed.values()))


def held(saga_id):
    rows = SagaExecution.objects.filter(saga_id=saga_id).exclude(held="")
    fields = ("held", "needs_attention", "due_at", "leased", "state")
    return rows.values_list(*fields).first()


def test_an_unreadable_row_is_held_and_its_neighbours_lose_nothing(cluster):
    for number in range(6):
        start(f"n-{number}")
    damage("n-3", context=BROKEN)
    cluster("qcluster", workers=1)

    assert wait_for(lambda: held("n-3")) == (HELD, True, None, False, SagaState.IN_PROGRESS)
    neighbours = SagaExecution.objects.exclude(saga_id="n-3")
    wait_for(lambda: neighbours.filter(state="succeeded").count() == 5)

    # Version 1 is the start, version 2 the claim, version 3 the end.
    assert set(neighbours.values_list("version", "recoveries")) == {(3, 0)}
    assert set(StepRun.objects.values_list("outcome")) == {("succeeded",)}
    assert [(event.execution_id, event.kind, event.data["held"]) for event in SagaEvent.objects.all()] == [
        (SagaExecution.objects.only("pk").get(saga_id="n-3").pk, "held", HELD)
    ]


def test_a_repaired_row_runs_after_its_release(cluster):
    start("n")
    damage("n", context=BROKEN)
    cluster("qcluster", workers=1)
    wait_for(lambda: held("n"))
    with pytest.raises(UnreadableRow) as error:
        get_saga_orchestrator().release("n")
    assert str(error.value) == PROBLEM

    damage("n", context='{"seconds": 0.1}')
    get_saga_orchestrator().release("n")

    assert get_saga_orchestrator().wait("n", 30).state is SagaState.SUCCEEDED


def test_an_attempt_lost_with_its_worker_is_in_doubt_after_the_release(cluster):
    start("n")
    lost = {"leased": True, "state": "in_progress", "worker": "one that crashed", "due_at": LONG_AGO}
    SagaExecution.objects.update(**lost)
    damage("n", context=BROKEN)
    cluster("qcluster", workers=1)
    assert wait_for(lambda: held("n")) == (HELD, True, None, True, SagaState.IN_PROGRESS)

    damage("n", context='{"seconds": 0.1}')
    with pytest.raises(
        ActRefused,
        match="its worker crashed, and the interrupted attempt is not recorded yet; release it",
    ):
        get_saga_orchestrator().resolve_step("n", "nap", "done")
    get_saga_orchestrator().release("n")
    execution = get_saga_orchestrator().wait("n", 30)

    assert execution.state is SagaState.SUCCEEDED
    assert [run.outcome for run in execution.step_executions] == ["uncertain", "succeeded"]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"plan": '{"nap": 1}'}, "The column plan cannot be read: it must be a list, not a dict."),
        ({"context": "null"}, "The column context cannot be read: it must be a dict, not a NoneType."),
        ({"state": "gone"}, "The column state cannot be read: 'gone' is not a valid SagaState."),
    ],
)
def test_the_reason_names_the_unreadable_column(cluster, columns, problem):
    start("n")
    damage("n", **columns)
    cluster("qcluster", workers=1)

    rows = SagaExecution.objects.exclude(held="").values_list("held", flat=True)

    assert wait_for(rows.first) == f"{problem} Repair it in the database, then release."


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"output": BROKEN}, PROBLEM.replace("context", "output")),
        # Newer code may write such values.
        ({"outcome": "skipped"}, "The column outcome cannot be read: 'skipped' is not a valid Outcome."),
        ({"direction": "sideways"}, "The column direction cannot be read: 'sideways' is not a valid Direction."),
        ({"ending": "cut off"}, "The column ending cannot be read: 'cut off' is not a valid Ending."),
    ],
)
def test_an_unreadable_step_run_holds_its_execution(cluster, columns, problem):
    execution = start("n", "naps")
    SagaExecution.objects.update(version=4)
    file_by_hand(execution, **columns)
    cluster("qcluster", workers=1)

    reason, attention, due_at, leased, _ = wait_for(lambda: held("n"))

    assert reason == f"{problem} Repair it in the database, then release."
    assert (attention, due_at, leased) == (True, None, False)
