"""`saga_verify` compares each execution with its history and reports the differences."""

import itertools
import threading

import pytest
from django.db import connection, connections

from sagas import RetryLater, SagaState, StepFailed
from sagas.definition import registry
from sagas.models import SagaExecution
from sagas.monitoring import audit
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.commands.conftest import BOOKING
from tests.support import lost
from tests.support.tampering import tamper

pytestmark = pytest.mark.django_db

NO = StepFailed("no")
FAILED_STEP = "the history gives failed_step '', the row has 'a'."


@pytest.fixture
def failed(stage, registered, orchestrator):
    """Run a saga that fails and is compensated. Its second step is retried, its third step is refused."""
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", ValueError("once"), {"y": 1}), stage.step("c", NO))
    return orchestrator.execute("s1", "trip", saga, context={"city": "Rio"})


@pytest.fixture
def rerun(failed, orchestrator):
    """Correct the input of the failed saga and retry it. Return the execution in its second run."""
    orchestrator.correct_input("s1", {"city": "Recife"})
    return orchestrator.retry_failed("s1")


@pytest.fixture
def held(stage, registered, orchestrator):
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", RetryLater(3600)), name="waiting")
    orchestrator.execute("s2", "waiting", saga, max_seconds=0.1)
    return perform(Operation.HOLD, "s2", reason="Ana Souza called")


@pytest.fixture
def in_every_state(stage, registered, orchestrator, failed, held):
    orchestrator.start("p", "trip")
    registered(stage.step("a", undo=[NO]), stage.step("b", NO), name="stuck")
    orchestrator.execute("g", "stuck")
    registered(stage.step("a", undo=[RetryLater(3600)]), stage.step("b", NO), name="undoing")
    orchestrator.execute("u", "undoing", max_seconds=0.1)
    registered(stage.step("a"), name="well")
    orchestrator.execute("w", "well")


def violations(said):
    """Check the exit code and return the reported violations without the name of the execution."""
    assert said.code == (1 if any(line.startswith("✗") for line in said.lines) else 0)
    return [line.partition(": ")[2] for line in said.lines if line.startswith("✗")]


def test_executions_in_every_state_pass(command, in_every_state):
    assert set(SagaExecution.objects.values_list("state", flat=True)) == set(SagaState)

    said = command("saga_verify")

    assert said.lines == ["6 executions looked at; not right: 0; not verifiable: 0."]
    assert (said.err, said.code) == ("", 0)


def test_no_executions_pass(command):
    said = command("saga_verify")

    assert (said.lines, said.code) == (["0 executions looked at; not right: 0; not verifiable: 0."], 0)


COLUMNS = [
    ("UPDATE sagas_execution SET state = 'succeeded'", ["the history gives state 'failed', the row has 'succeeded'."]),
    (
        "UPDATE sagas_execution SET steps_completed = '[\"a\"]'",
        ["the history gives steps_completed ['a', 'b'], the row has ['a']."],
    ),
    ("UPDATE sagas_execution SET failed_step = ''", ["the history gives failed_step 'c', the row has ''."]),
    (
        "UPDATE sagas_execution SET compensation_performed = FALSE",
        ["the history gives compensation_performed True, the row has False."],
    ),
    ("UPDATE sagas_execution SET budget_since = 3", ["the history gives budget_since 0, the row has 3."]),
    ("UPDATE sagas_execution SET keys_since = 3", ["the history gives keys_since 0, the row has 3."]),
    ("UPDATE sagas_execution SET held = 'why'", ["the history says that it is not held, the row does not."]),
    (
        'UPDATE sagas_execution SET context = \'{"city":"Rio","x":2,"z":null}\'',
        ["the history gives other values of x, y, z than the row's context."],
    ),
    (
        'UPDATE sagas_execution SET input = \'{"city":"Salvador"}\'',
        ["the history gives other values of city than the row's context."],
    ),
    ("UPDATE sagas_execution SET version = 2", ["the history has version 7, but the row has 2."]),
]


@pytest.mark.parametrize(("sql", "sentences"), COLUMNS, ids=[sql.split()[3] for sql, _ in COLUMNS])
def test_a_tampered_row_is_reported(command, failed, sql, sentences):
    tamper(sql)

    found = violations(command("saga_verify"))

    assert found == sentences


HISTORY = [
    ("UPDATE sagas_execution SET run = 2", "the row is in run 2, but the retries began the runs []."),
    ("UPDATE sagas_execution SET plan = '[]'", "there are attempts of steps that are not in the plan: a, b, c."),
    (
        "DELETE FROM sagas_steprun WHERE step = 'b' AND attempt = 1",
        "the attempts of b (action) in run 1 are numbered [2].",
    ),
    ("DELETE FROM sagas_steprun WHERE step = 'c'", "the history gives state 'in_progress', the row has 'failed'."),
    (
        "DELETE FROM sagas_steprun WHERE direction = 'compensation'",
        "the history gives compensation_performed False, the row has True.",
    ),
    (
        "UPDATE sagas_steprun SET outcome = 'failed' WHERE step = 'a' AND direction = 'action'",
        "the history gives steps_completed ['b'], the row has ['a', 'b'].",
    ),
    (
        "UPDATE sagas_steprun SET changes = '{\"set\":{\"x\":5}}' WHERE step = 'a' AND direction = 'action'",
        "the history gives other values of x than the row's context.",
    ),
    (
        "UPDATE sagas_steprun SET step = 'z' WHERE step = 'b'",
        "there are attempts of steps that are not in the plan: z.",
    ),
    ("UPDATE sagas_steprun SET attempt = 7 WHERE step = 'c'", "the attempts of c (action) in run 1 are numbered [7]."),
    (
        "UPDATE sagas_steprun SET run = 3 WHERE step = 'c'",
        "the history has entries of the runs [3], which never began.",
    ),
    ("UPDATE sagas_steprun SET sequence = 100 WHERE step = 'c'", "the history has version 100, but the row has 7."),
    (
        "UPDATE sagas_steprun SET sequence = 100 - sequence WHERE direction = 'compensation'",
        "the compensations began in the order a, b.",
    ),
    ("UPDATE sagas_steprun SET outcome = 'gone'", "its row or its history cannot be read (UnreadableRow)."),
    ("UPDATE sagas_steprun SET changes = '{'", "its row or its history cannot be read (UnreadableRow)."),
    ("UPDATE sagas_execution SET state = 'gone'", "its row or its history cannot be read (UnreadableRow)."),
    ("UPDATE sagas_execution SET context = '[]'", "its row or its history cannot be read (UnreadableRow)."),
]


@pytest.mark.parametrize(("sql", "sentence"), HISTORY, ids=[sql for sql, _ in HISTORY])
def test_a_tampered_history_is_reported(command, failed, sql, sentence):
    tamper(sql)

    assert sentence in violations(command("saga_verify"))


def test_swapped_attempts_are_reported(command, failed):
    """Sequence numbers are unique, so the swap uses 0 as a temporary number."""
    first, second = failed.step_runs.filter(step="b", direction="action").order_by("sequence")
    for run, sequence in ((first, 0), (second, first.sequence), (first, second.sequence)):
        tamper(
            "UPDATE sagas_steprun SET sequence = %s WHERE attempt = %s AND step = 'b' AND direction = 'action'",
            sequence,
            run.attempt,
        )

    assert violations(command("saga_verify"))[0] == "the attempts of b (action) in run 1 are numbered [2, 1]."


RUNS = [
    ("UPDATE sagas_execution SET run = 1", "the row is in run 1, but the retries began the runs [2]."),
    ("UPDATE sagas_execution SET run = 3", "the row is in run 3, but the retries began the runs [2]."),
    ("DELETE FROM sagas_event WHERE kind = 'retry'", "the row is in run 2, but the retries began the runs []."),
    (
        "DELETE FROM sagas_steprun WHERE run = 1 AND step = 'b' AND attempt = 1 AND direction = 'action'",
        "the attempts of b (action) in run 1 are numbered [2].",
    ),
    (
        "UPDATE sagas_steprun SET run = 1 WHERE run = 2 AND step = 'c'",
        "an entry of one run has a later version than an entry of the next run.",
    ),
    (
        "UPDATE sagas_event SET version = 1 WHERE kind = 'retry'",
        "the versions of the events decrease: [8, 1].",
    ),
    (
        "UPDATE sagas_event SET data = '{}' WHERE kind = 'retry'",
        "the row is in run 2, but the retries began the runs [].",
    ),
    (
        'UPDATE sagas_execution SET plan = \'["a","b","c","c"]\'',
        "the history gives plan ['a', 'b', 'c'], the row has ['a', 'b', 'c', 'c'].",
    ),
]


@pytest.mark.parametrize(("sql", "sentence"), RUNS, ids=[sql for sql, _ in RUNS])
def test_a_tampered_earlier_run_is_reported(command, rerun, sql, sentence):
    assert violations(command("saga_verify")) == []
    tamper(sql)

    assert sentence in violations(command("saga_verify"))


def test_a_tampered_hold_is_reported_without_its_reason(command, held):
    tamper("UPDATE sagas_execution SET held = 'nothing'")
    assert violations(command("saga_verify")) == ["the history gives another reason for the hold than the row."]

    tamper("UPDATE sagas_execution SET held = ''")
    assert violations(command("saga_verify")) == ["the history says that it is held, the row does not."]


def test_an_unreadable_row_does_not_hide_the_others(command, in_every_state):
    tamper("UPDATE sagas_execution SET context = '{' WHERE saga_id = 'g'")
    tamper("UPDATE sagas_execution SET failed_step = 'a' WHERE saga_id = 'w'")

    said = command("saga_verify")

    assert said.lines == [
        "✗ stuck g: its row or its history cannot be read (UnreadableRow).",
        f"✗ well w: {FAILED_STEP}",
        "6 executions looked at; not right: 2; not verifiable: 0.",
    ]
    assert said.sentence == said.lines[-1]
    assert said.code == 1


def test_executions_are_selected_by_id_or_state(command, in_every_state):
    tamper("UPDATE sagas_execution SET failed_step = 'a' WHERE saga_id = 'w'")

    assert command("saga_verify", "s1", "s2").lines == ["2 executions looked at; not right: 0; not verifiable: 0."]
    assert command("saga_verify", "s1", "w").code == 1
    assert command("saga_verify", "--state", "failed").code == 0
    assert violations(command("saga_verify", "--state", "succeeded")) == [
        "the history gives failed_step '', the row has 'a'."
    ]


def test_an_unregistered_saga_is_not_verifiable(command, failed):
    registry.unregister("trip")

    said = command("saga_verify")

    assert said.lines == [
        "? trip s1: not verifiable, no saga named 'trip' is registered here.",
        "1 execution looked at; not right: 0; not verifiable: 1.",
    ]
    assert said.code == 0


def test_a_plan_with_an_undefined_step_is_not_verifiable(command, stage, registered, failed):
    registered(stage.step("a"), stage.step("c"))

    said = command("saga_verify")

    assert said.lines[0] == ("? trip s1: not verifiable, its plan has the step 'b', which trip no longer defines.")
    assert said.code == 0


def test_general_rules_are_checked_without_a_definition(command, failed):
    tamper("UPDATE sagas_steprun SET attempt = 7 WHERE step = 'c'")
    registry.unregister("trip")

    assert violations(command("saga_verify")) == ["the attempts of c (action) in run 1 are numbered [7]."]


def test_a_step_added_after_the_start_is_no_violation(command, stage, registered, failed):
    registered(stage.step("a"), stage.step("new"), stage.step("b"), stage.step("c"), stage.step("last"))

    assert command("saga_verify").code == 0


def test_a_lost_lease_and_a_cancel_request_are_no_violations(command, stage, registered, orchestrator):
    def dies(context):
        orchestrator.cancel("s1")
        raise lost()

    saga = registered(stage.step("a"), stage.step("b", dies, {}))
    orchestrator.execute("s1", "trip", saga)

    assert command("saga_verify").code == 0


@pytest.mark.django_db(transaction=True, databases=["default", "sandbox"])
def test_executions_that_change_meanwhile_are_no_violations(command):
    done = []

    def work():
        for number in range(20):
            sale = f"S-{number}"
            done.append(get_saga_orchestrator().execute(sale, "create_booking", context=BOOKING | {"sale_id": sale}))
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    looks = []
    while worker.is_alive():
        looks.append(command("saga_verify"))
    worker.join()

    assert len(done) == 20
    assert len(looks) > 1
    assert [look.out for look in looks if look.code] == []


class Moving:
    """A query wrapper that holds or releases the execution s2 just before each query reads its events."""

    def __init__(self, times):
        self.operations = iter(list(itertools.islice(itertools.cycle([Operation.HOLD, Operation.RELEASE]), times)))
        self.moving = False

    def __call__(self, execute, sql, params, many, context):
        if not self.moving and sql.startswith("SELECT") and "sagas_event" in sql:
            self.moving = True
            for operation in itertools.islice(self.operations, 1):
                perform(operation, "s2", reason="once more")
            self.moving = False
        return execute(sql, params, many, context)


def test_an_execution_that_changes_is_read_again(command, held):
    perform(Operation.RELEASE, "s2")
    with connection.execute_wrapper(Moving(3)):
        said = command("saga_verify")

    assert (said.lines, said.code) == (["1 execution looked at; not right: 0; not verifiable: 0."], 0)


def test_an_execution_that_keeps_changing_is_not_verifiable(command, held):
    perform(Operation.RELEASE, "s2")
    with connection.execute_wrapper(Moving(10 * audit.TRIES)):
        said = command("saga_verify")

    assert said.lines[0] == "? waiting s2: not verifiable, it changes too fast to be read."
    assert said.code == 0


def test_many_executions_are_audited_in_chunks(command, stage, registered, orchestrator):
    registered(stage.step("a"))
    many = 2 * audit.CHUNK + 1
    for number in range(many):
        orchestrator.start(f"s{number}", "trip")
    tamper("UPDATE sagas_execution SET failed_step = 'a' WHERE saga_id = %s", f"s{many - 1}")

    said = command("saga_verify")

    assert said.lines == [
        f"✗ trip s{many - 1}: {FAILED_STEP}",
        f"{many} executions looked at; not right: 1; not verifiable: 0.",
    ]


def test_the_report_as_json(command, in_every_state):
    registry.unregister("stuck")
    tamper("UPDATE sagas_execution SET failed_step = 'a' WHERE saga_id = 'w'")

    said = command("saga_verify", "--json")

    assert said.document == {
        "looked_at": 6,
        "violations": [
            {"saga_id": "w", "saga": "well", "sentences": [FAILED_STEP.rstrip(".")]},
        ],
        "not_verifiable": [{"saga_id": "g", "saga": "stuck", "reason": "no saga named 'stuck' is registered here"}],
        "exit_code": 1,
    }
    assert said.code == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody"], "There is no execution 'nobody'."),
        (["no\x00body"], "There is no execution 'no\\x00body'."),
        (["s1", "--state", "failed"], "Name the executions or give --state, not both."),
    ],
)
def test_bad_arguments_are_refused(command, failed, words, sentence):
    said = command("saga_verify", *words)

    assert (said.sentence, said.code) == (sentence, 2)


def test_an_unknown_state_is_refused(command):
    said = command("saga_verify", "--state", "gone")

    assert said.code == 2
