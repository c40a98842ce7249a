"""saga_verify compares each row with its history and names what somebody has falsified."""

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
def undone(stage, registered, orchestrator):
    """A saga that has failed at its third step, after a retry of the second; all is undone."""
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", ValueError("once"), {"y": 1}), stage.step("c", NO))
    return orchestrator.execute("s1", "trip", saga, context={"city": "Rio"})


@pytest.fixture
def rerun(undone, orchestrator):
    """The same, corrected and run a second time."""
    orchestrator.correct_input("s1", {"city": "Recife"})
    return orchestrator.retry_failed("s1")


@pytest.fixture
def held(stage, registered, orchestrator):
    saga = registered(stage.step("a", {"x": 1}), stage.step("b", RetryLater(3600)), name="waiting")
    orchestrator.execute("s2", "waiting", saga, max_seconds=0.1)
    return perform(Operation.HOLD, "s2", reason="Ana Souza called")


@pytest.fixture
def in_every_state(stage, registered, orchestrator, undone, held):
    orchestrator.start("p", "trip")
    registered(stage.step("a", undo=[NO]), stage.step("b", NO), name="stuck")
    orchestrator.execute("g", "stuck")
    registered(stage.step("a", undo=[RetryLater(3600)]), stage.step("b", NO), name="undoing")
    orchestrator.execute("u", "undoing", max_seconds=0.1)
    registered(stage.step("a"), name="well")
    orchestrator.execute("w", "well")


def wrong(said):
    """The sentences on what is wrong, without the name of the execution."""
    assert said.code == (1 if any(line.startswith("✗") for line in said.lines) else 0)
    return [line.partition(": ")[2] for line in said.lines if line.startswith("✗")]


def test_all_is_right_in_every_state(command, in_every_state):
    assert set(SagaExecution.objects.values_list("state", flat=True)) == set(SagaState)

    said = command("saga_verify")

    assert said.lines == ["6 executions looked at; not right: 0; not verifiable: 0."]
    assert (said.err, said.code) == ("", 0)


def test_with_no_executions_all_is_right(command):
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
    ("UPDATE sagas_execution SET held = 'why'", ["by the history it is not held, by the row it is held."]),
    (
        'UPDATE sagas_execution SET context = \'{"city":"Rio","x":2,"z":null}\'',
        ["the history gives other values of x, y, z than the row's context."],
    ),
    (
        'UPDATE sagas_execution SET input = \'{"city":"Salvador"}\'',
        ["the history gives other values of city than the row's context."],
    ),
    ("UPDATE sagas_execution SET version = 2", ["the history has version 7, the row only 2."]),
]


@pytest.mark.parametrize(("sql", "sentences"), COLUMNS, ids=[sql.split()[3] for sql, _ in COLUMNS])
def test_a_row_that_was_falsified_is_named(command, undone, sql, sentences):
    tamper(sql)

    found = wrong(command("saga_verify"))

    assert found == sentences


HISTORY = [
    ("UPDATE sagas_execution SET run = 2", "the row is in run 2, the retries began the runs []."),
    ("UPDATE sagas_execution SET plan = '[]'", "there are attempts of what was never planned: a, b, c."),
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
        "there are attempts of what was never planned: z.",
    ),
    ("UPDATE sagas_steprun SET attempt = 7 WHERE step = 'c'", "the attempts of c (action) in run 1 are numbered [7]."),
    (
        "UPDATE sagas_steprun SET run = 3 WHERE step = 'c'",
        "the history has entries of the runs [3], which never began.",
    ),
    ("UPDATE sagas_steprun SET sequence = 100 WHERE step = 'c'", "the history has version 100, the row only 7."),
    (
        "UPDATE sagas_steprun SET sequence = 100 - sequence WHERE direction = 'compensation'",
        "the undos began in the order a, b.",
    ),
    ("UPDATE sagas_steprun SET outcome = 'gone'", "its row or its history cannot be read (UnreadableRow)."),
    ("UPDATE sagas_steprun SET changes = '{'", "its row or its history cannot be read (UnreadableRow)."),
    ("UPDATE sagas_execution SET state = 'gone'", "its row or its history cannot be read (UnreadableRow)."),
    ("UPDATE sagas_execution SET context = '[]'", "its row or its history cannot be read (UnreadableRow)."),
]


@pytest.mark.parametrize(("sql", "sentence"), HISTORY, ids=[sql for sql, _ in HISTORY])
def test_a_history_that_was_falsified_is_named(command, undone, sql, sentence):
    tamper(sql)

    assert sentence in wrong(command("saga_verify"))


def test_attempts_cannot_be_swapped(command, undone):
    """The sequences are unique, so a swap takes a detour."""
    first, second = undone.step_runs.filter(step="b", direction="action").order_by("sequence")
    for run, sequence in ((first, 0), (second, first.sequence), (first, second.sequence)):
        tamper(
            "UPDATE sagas_steprun SET sequence = %s WHERE attempt = %s AND step = 'b' AND direction = 'action'",
            sequence,
            run.attempt,
        )

    assert wrong(command("saga_verify"))[0] == "the attempts of b (action) in run 1 are numbered [2, 1]."


RUNS = [
    ("UPDATE sagas_execution SET run = 1", "the row is in run 1, the retries began the runs [2]."),
    ("UPDATE sagas_execution SET run = 3", "the row is in run 3, the retries began the runs [2]."),
    ("DELETE FROM sagas_event WHERE kind = 'retry'", "the row is in run 2, the retries began the runs []."),
    (
        "DELETE FROM sagas_steprun WHERE run = 1 AND step = 'b' AND attempt = 1 AND direction = 'action'",
        "the attempts of b (action) in run 1 are numbered [2].",
    ),
    (
        "UPDATE sagas_steprun SET run = 1 WHERE run = 2 AND step = 'c'",
        "what happened in one run has a later version than what happened in the next.",
    ),
    (
        "UPDATE sagas_event SET version = 1 WHERE kind = 'retry'",
        "the events' versions [8, 1] go back.",
    ),
    (
        "UPDATE sagas_event SET data = '{}' WHERE kind = 'retry'",
        "the row is in run 2, the retries began the runs [].",
    ),
    (
        'UPDATE sagas_execution SET plan = \'["a","b","c","c"]\'',
        "the history gives plan ['a', 'b', 'c'], the row has ['a', 'b', 'c', 'c'].",
    ),
]


@pytest.mark.parametrize(("sql", "sentence"), RUNS, ids=[sql for sql, _ in RUNS])
def test_former_runs_are_verified_as_far_as_that_is_possible(command, rerun, sql, sentence):
    assert wrong(command("saga_verify")) == []
    tamper(sql)

    assert sentence in wrong(command("saga_verify"))


def test_a_hold_that_was_falsified_is_named_without_its_reason(command, held):
    tamper("UPDATE sagas_execution SET held = 'nothing'")
    assert wrong(command("saga_verify")) == ["the history gives another reason to hold it than the row."]

    tamper("UPDATE sagas_execution SET held = ''")
    assert wrong(command("saga_verify")) == ["by the history it is held, by the row it is not."]


def test_one_that_cannot_be_read_does_not_hide_the_others(command, in_every_state):
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


def test_only_those_named_or_those_in_a_state_are_looked_at(command, in_every_state):
    tamper("UPDATE sagas_execution SET failed_step = 'a' WHERE saga_id = 'w'")

    assert command("saga_verify", "s1", "s2").lines == ["2 executions looked at; not right: 0; not verifiable: 0."]
    assert command("saga_verify", "s1", "w").code == 1
    assert command("saga_verify", "--state", "failed").code == 0
    assert wrong(command("saga_verify", "--state", "succeeded")) == [
        "the history gives failed_step '', the row has 'a'."
    ]


def test_a_saga_that_nobody_knows_is_not_verifiable_and_not_wrong(command, undone):
    registry.unregister("trip")

    said = command("saga_verify")

    assert said.lines == [
        "? trip s1: not verifiable, no saga named 'trip' is registered here.",
        "1 execution looked at; not right: 0; not verifiable: 1.",
    ]
    assert said.code == 0


def test_neither_is_a_plan_that_todays_code_would_strand(command, stage, registered, undone):
    registered(stage.step("a"), stage.step("c"))

    said = command("saga_verify")

    assert said.lines[0] == (
        "? trip s1: not verifiable, it was planned with the step 'b', which trip does not define any more."
    )
    assert said.code == 0


def test_what_holds_for_every_saga_is_verified_without_its_definition(command, undone):
    tamper("UPDATE sagas_steprun SET attempt = 7 WHERE step = 'c'")
    registry.unregister("trip")

    assert wrong(command("saga_verify")) == ["the attempts of c (action) in run 1 are numbered [7]."]


def test_a_step_that_was_added_since_the_start_makes_no_difference(command, stage, registered, undone):
    registered(stage.step("a"), stage.step("new"), stage.step("b"), stage.step("c"), stage.step("last"))

    assert command("saga_verify").code == 0


def test_a_lost_worker_a_doubt_and_an_obeyed_request_are_no_violations(command, stage, registered, orchestrator):
    def dies(context):
        orchestrator.cancel("s1")
        raise lost()

    saga = registered(stage.step("a"), stage.step("b", dies, {}))
    orchestrator.execute("s1", "trip", saga)

    assert command("saga_verify").code == 0


@pytest.mark.django_db(transaction=True, databases=["default", "sandbox"])
def test_what_moves_meanwhile_is_not_accused(command):
    """Sagas in the hands of another thread."""
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
    """Lets an execution move whenever its events are about to be read."""

    def __init__(self, times):
        self.acts = iter(list(itertools.islice(itertools.cycle([Operation.HOLD, Operation.RELEASE]), times)))
        self.moving = False

    def __call__(self, execute, sql, params, many, context):
        if not self.moving and sql.startswith("SELECT") and "sagas_event" in sql:
            self.moving = True
            for operation in itertools.islice(self.acts, 1):
                perform(operation, "s2", reason="once more")
            self.moving = False
        return execute(sql, params, many, context)


def test_one_that_moves_between_two_looks_is_read_again(command, held):
    perform(Operation.RELEASE, "s2")
    with connection.execute_wrapper(Moving(3)):
        said = command("saga_verify")

    assert (said.lines, said.code) == (["1 execution looked at; not right: 0; not verifiable: 0."], 0)


def test_one_that_never_stands_still_is_not_verifiable(command, held):
    perform(Operation.RELEASE, "s2")
    with connection.execute_wrapper(Moving(10 * audit.TRIES)):
        said = command("saga_verify")

    assert said.lines[0] == "? waiting s2: not verifiable, it moves too fast to be read."
    assert said.code == 0


def test_many_are_looked_at_in_batches(command, stage, registered, orchestrator):
    registered(stage.step("a"))
    many = 2 * audit.BATCH + 1
    for number in range(many):
        orchestrator.start(f"s{number}", "trip")
    tamper("UPDATE sagas_execution SET failed_step = 'a' WHERE saga_id = %s", f"s{many - 1}")

    said = command("saga_verify")

    assert said.lines == [
        f"✗ trip s{many - 1}: {FAILED_STEP}",
        f"{many} executions looked at; not right: 1; not verifiable: 0.",
    ]


def test_all_of_it_as_one_document(command, in_every_state):
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
def test_what_it_cannot_look_for_is_refused(command, undone, words, sentence):
    said = command("saga_verify", *words)

    assert (said.sentence, said.code) == (sentence, 2)


def test_a_state_that_is_none_is_refused(command):
    said = command("saga_verify", "--state", "gone")

    assert said.code == 2
