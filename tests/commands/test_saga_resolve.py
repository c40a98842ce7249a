"""`saga_resolve` stores what a person found out about a step and continues the execution."""

import json

import pytest

from sagas import OutcomeUnknown, SagaState
from sagas.models import SagaEvent, SagaExecution
from tests.commands.conftest import REFUSED_AND_UNDONE

WHY = ["--reason", "cancelled by hand", "--evidence", "city portal, protocol 77"]


@pytest.fixture
def in_doubt(command, registered, stage):
    """Run a saga until it is held because its pivot is in doubt. Return its id."""
    pay = stage.step("pay", OutcomeUnknown("No answer"), undo=None, pivot=True, retry_count=0)
    registered(stage.step("book"), pay, stage.step("greet", undo=None))
    assert command("run_saga", "trip", "--saga-id", "t-1").code == 4
    return "t-1"


def test_it_closes_a_partially_compensated_saga(command, partially_compensated):
    said = command("saga_resolve", "b-1", "create_nf", "undone", *WHY)

    assert said.lines == [
        "✓ 1/4 create_nf: resolved by hand as undone",
        *REFUSED_AND_UNDONE,
    ]
    assert said.code == 3
    execution = SagaExecution.objects.get()
    assert (execution.state, execution.needs_attention) == (SagaState.FAILED, False)
    event = execution.events.get(kind=SagaEvent.Kind.RESOLVE)
    assert (event.source, event.reason, event.data["evidence"]) == ("cli", WHY[1], WHY[3])
    assert event.actor_name


def test_a_saga_in_doubt_goes_on_from_there(command, in_doubt):
    output = ["--output", json.dumps({"payment_id": "pi_7"})]

    said = command("saga_resolve", "t-1", "pay", "done", *WHY, *output)

    assert said.lines == [
        "✓ 2/3 pay: resolved by hand as done",
        "✓ 3/3 greet",
        "trip t-1: Everything is done. Nothing to do.",
        "  Done: book, pay, greet.",
    ]
    assert said.code == 0
    assert SagaExecution.objects.get().context["payment_id"] == "pi_7"


def test_a_saga_in_doubt_is_undone_when_it_did_not_happen(command, in_doubt):
    said = command("saga_resolve", "t-1", "pay", "not_done", *WHY)

    assert said.lines[0] == "✓ 2/3 pay: resolved by hand as not done"
    assert said.lines[1] == "↶ undo book"
    assert said.code == 3


def test_detach_leaves_the_rest_to_the_workers(command, in_doubt):
    said = command("saga_resolve", "t-1", "pay", "done", *WHY, "--detach")

    assert said.lines[1] == "trip t-1: Running. 2 of 3 steps are done. Nothing to do. It goes on by itself."
    assert said.code == 0


def test_detach_after_the_last_step_leaves_only_the_end_to_the_workers(command, registered, stage):
    pay = stage.step("pay", OutcomeUnknown("No answer"), undo=None, pivot=True, retry_count=0)
    registered(pay)
    assert command("run_saga", "trip", "--saga-id", "t-1").code == 4

    said = command("saga_resolve", "t-1", "pay", "done", *WHY, "--detach")

    assert said.lines[1] == "trip t-1: Running. 1 of 1 step is done. Nothing to do. It goes on by itself."
    assert said.code == 0
    assert command("run_saga", "trip", "--saga-id", "t-1").lines[-1] == "  Done: pay."


def test_json_is_one_document(command, partially_compensated):
    said = command("saga_resolve", "b-1", "create_nf", "undone", *WHY, "--json")

    assert (said.document["state"], said.document["remaining"], said.document["exit_code"]) == ("failed", [], 3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nope", "create_nf", "undone", *WHY], "There is no execution 'nope'."),
        (
            ["b-1", "nope", "undone", *WHY],
            (
                "resolve of 'b-1' is not possible: it has no step 'nope'; its steps are create_nf, send_email, "
                "send_whatsapp, add_calendar. Possible now: retry, resolve."
            ),
        ),
        (
            ["b-1", "send_email", "undone", *WHY],
            ("resolve of 'b-1' is not possible: step 'send_email' has nothing to undo. Possible now: retry, resolve."),
        ),
        (["b-1", "create_nf", "undone", "--reason", "x"], "The following arguments are required: --evidence."),
        (["b-1", "create_nf", "undone", "--evidence", "x"], "The following arguments are required: --reason."),
        (
            ["b-1", "create_nf", "undone", *WHY, "--output", "{}"],
            (
                "Refused; nothing was started or changed:\n"
                "  output: must be a mapping, and is allowed only with the outcome done"
            ),
        ),
        (
            ["b-1", "create_nf", "done", *WHY, "--output", "[]"],
            (
                "Refused; nothing was started or changed:\n"
                '  --output: must be a JSON object, like \'{"sale_id": "S-1"}\', not a list.'
            ),
        ),
    ],
)
def test_what_cannot_be_resolved_is_a_sentence_and_exit_2(command, partially_compensated, words, sentence):
    said = command("saga_resolve", *words)

    assert (said.sentence, said.code, said.out) == (sentence, 2, "")
    assert SagaExecution.objects.get().state is SagaState.PARTIALLY_COMPENSATED


def test_an_unknown_outcome_is_refused(command, partially_compensated):
    said = command("saga_resolve", "b-1", "create_nf", "gone", *WHY)

    assert said.sentence.startswith("Argument outcome: invalid choice: 'gone' (choose from ")
    assert said.code == 2
