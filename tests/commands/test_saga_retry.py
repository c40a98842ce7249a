"""`saga_retry` shows a preview, asks for confirmation, and retries."""

import os
import pty
import pwd

import pytest

from sagas import SagaState
from sagas.definition.exceptions import UnknownExecution
from sagas.models import SagaEvent, SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.commands.conftest import BOOKED, REFUSED_AND_UNDONE
from tests.support.processes import wait_for

PREVIEW = [
    "retry b-1: Retries what could not be undone.",
    "  will be called: undo create_nf",
    "  will not be repeated: send_email, send_whatsapp",
]


def failed(command, booking, plant, saga_id):
    plant("calendar", "add", "refuse")
    command("run_saga", "create_booking", "--context", booking, "--saga-id", saga_id)


def test_what_is_not_undone_is_tried_again(command, partially_compensated):
    said = command("saga_retry", "b-1", "--reason", "the city allows it", "--yes")

    assert said.lines == [*PREVIEW, "retry b-1", "↶ undo create_nf", *REFUSED_AND_UNDONE]
    assert said.code == 3
    event = SagaEvent.objects.get(kind=SagaEvent.Kind.RETRY)
    assert (event.source, event.reason) == ("cli", "the city allows it")
    assert event.actor_name


def test_a_failed_one_is_run_anew(command, booking, plant):
    failed(command, booking, plant, "b-1")

    said = command("saga_retry", "b-1", "--reason", "calendar mended", "--yes")

    assert said.lines == [
        "retry b-1: Starts run 2 from the first step, with new idempotency keys.",
        "  will be called: create_nf, send_email, send_whatsapp, add_calendar",
        "retry b-1",
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✓ 4/4 add_calendar",
        *BOOKED,
    ]
    assert said.code == 0


def test_all_in_a_state_are_retried_and_the_worst_is_the_exit_code(command, booking, plant):
    for saga_id in ("b-1", "b-2"):
        failed(command, booking, plant, saga_id)
    plant("calendar", "add", "refuse", match="b-2:")

    said = command("saga_retry", "--state", "failed", "--reason", "mended", "--yes", "--json")

    assert [(e["saga_id"], e["exit_code"]) for e in said.document["executions"]] == [("b-1", 0), ("b-2", 3)]
    assert (said.document["exit_code"], said.code) == (3, 3)


def test_one_in_the_state_that_cannot_be_retried_is_left_out(command, registered, stage, booking, plant):
    registered(stage.step("book", ValueError("no"), retry_count=0))
    command("run_saga", "trip", "--saga-id", "t-1")
    registered.forget()
    failed(command, booking, plant, "b-1")

    said = command("saga_retry", "--state", "failed", "--reason", "mended", "--yes")

    assert said.lines[0] == (
        "Left out: retry of 't-1' is not possible: no saga named 'trip' is registered here. Possible now: acknowledge."
    )
    assert said.lines[-2:] == BOOKED
    assert said.code == 0


def test_a_dry_run_only_shows(command, partially_compensated):
    said = command("saga_retry", "--state", "partially_compensated", "--reason", "x", "--dry-run")

    assert said.lines == [*PREVIEW, "Nothing was done."]
    assert said.code == 0
    assert SagaExecution.objects.get().state is SagaState.PARTIALLY_COMPENSATED
    document = command("saga_retry", "b-1", "--reason", "x", "--dry-run", "--json").document
    assert document["previews"][0]["calls"] == [{"step": "create_nf", "direction": "compensation"}]


def test_nothing_to_retry_is_no_failure(command):
    said = command("saga_retry", "--state", "failed", "--reason", "x")

    assert (said.lines, said.code) == (["There is nothing to retry."], 0)


def test_detach_only_queues(command, partially_compensated):
    said = command("saga_retry", "b-1", "--reason", "x", "--yes", "--detach")

    assert "create_booking b-1: Being undone: “Invoice”. " in said.out
    assert said.code == 0
    assert command("run_saga", "create_booking", "--saga-id", "b-1").code == 3


def test_without_a_terminal_and_yes_nothing_is_done(shell, command, partially_compensated):
    said = shell("saga_retry", "b-1", "--reason", "x", given=b"y\n")

    assert said.lines == PREVIEW
    assert said.err == "Cannot ask: standard input is not a terminal. Use --yes to retry without asking.\n"
    assert said.code == 2
    assert SagaExecution.objects.get().state is SagaState.PARTIALLY_COMPENSATED


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 3), (b"n\n", 2), (b"\n", 2)])
def test_a_person_is_asked(shell, partially_compensated, answer, code):
    ours, theirs = pty.openpty()
    os.write(ours, answer)

    process = shell.start("saga_retry", "b-1", "--reason", "x", stdin=theirs)
    said = shell.end(process)

    assert said.lines[3] == "Retry 1 execution? [y/N]"
    assert said.err == ("" if code == 3 else "Nothing was done.\n")
    assert said.code == code
    os.close(ours)
    os.close(theirs)


def test_one_that_has_moved_while_the_question_was_open_is_not_retried(shell, partially_compensated):
    """The preview shows one compensation to repeat. After a colleague's retry, "y" would start a whole new run."""
    ours, theirs = pty.openpty()
    process = shell.start("saga_retry", "b-1", "--reason", "x", stdin=theirs)
    wait_for(lambda: process.stdout.readline().startswith(b"Retry 1 execution?"))
    assert get_saga_orchestrator().retry_failed("b-1", reason="a colleague's").state is SagaState.FAILED
    os.write(ours, b"y\n")

    said = shell.end(process)

    assert said.lines[0] == (
        "retry of 'b-1' is not possible: it has changed since you looked at it. Look again, then decide. "
        "Possible now: retry, correct."
    )
    assert said.lines[1:] == REFUSED_AND_UNDONE
    assert said.code == 2
    assert SagaExecution.objects.get().run == 1
    assert [event.reason for event in SagaEvent.objects.filter(kind=SagaEvent.Kind.RETRY)] == ["a colleague's"]
    os.close(ours)
    os.close(theirs)


def test_who_has_no_name_here_is_told_by_number(command, partially_compensated, monkeypatch):
    def no_name(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_name)

    command("saga_retry", "b-1", "--reason", "x", "--yes", "--detach")

    event = SagaEvent.objects.get(kind=SagaEvent.Kind.RETRY)
    assert (event.source, event.actor_name) == ("cli", f"uid {os.getuid()}")


def test_with_traceback_an_error_of_ours_is_raised_as_it_is(command):
    with pytest.raises(UnknownExecution) as error:
        command("saga_retry", "nope", "--reason", "x", "--traceback")

    assert str(error.value) == "There is no execution 'nope'."


def test_interrupted_at_the_question_it_has_done_nothing(shell, partially_compensated):
    ours, theirs = pty.openpty()
    process = shell.start("saga_retry", "b-1", "--reason", "x", stdin=theirs)
    wait_for(lambda: process.stdout.readline().startswith(b"Retry 1 execution?"))
    process.send_signal(2)

    said = shell.end(process)

    assert (said.err, said.code) == ("Interrupted; nothing was started.\n", 130)
    os.close(ours)
    os.close(theirs)


def test_interrupted_between_two_it_names_the_one_it_did_not_retry(shell, command, booking, plant):
    for saga_id in ("b-1", "b-2"):
        failed(command, booking, plant, saga_id)
    fault = plant("email", "send", "latency", latency_ms=4_000)
    process = shell.start("saga_retry", "b-1", "b-2", "--reason", "x", "--yes")
    wait_for(lambda: type(fault).objects.get(pk=fault.pk).remaining == 0)
    process.send_signal(2)

    said = shell.end(process)

    assert said.err.startswith("Interrupted; the saga goes on. It is in progress, 1 of 4 steps done. ")
    assert said.err.endswith("\nNot retried: b-2.\n")
    assert said.code == 130


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nope", "--reason", "x"], "There is no execution 'nope'."),
        (
            ["no pe", "--reason", "x"],
            (
                "Refused; nothing was started or changed:\n"
                "  saga_id: must be 1 to 150 characters of A-Z a-z 0-9 . _ : ~ -, and not . or .."
            ),
        ),
        (["--reason", "x"], "Name the executions to retry, or give --state."),
        (["b-1", "--state", "failed", "--reason", "x"], "Name the executions to retry, or give --state."),
        (["b-1"], "The following arguments are required: --reason."),
        (["b-1", "--reason", " "], "Argument --reason: must not be empty."),
    ],
)
def test_bad_arguments_are_sentences_and_exit_2(command, words, sentence):
    said = command("saga_retry", *words, "--yes")

    assert (said.sentence, said.code, said.out) == (sentence, 2, "")


def test_one_that_cannot_be_retried_keeps_all_from_being_retried(command, booking, plant):
    failed(command, booking, plant, "b-1")
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-2")

    said = command("saga_retry", "b-1", "b-2", "--reason", "x", "--yes")

    assert said.sentence == (
        "retry of 'b-2' is not possible: it can be retried only after it failed, and it is “Succeeded”. "
        "Possible now: compensate."
    )
    assert said.code == 2
    assert SagaExecution.objects.get(saga_id="b-1").run == 1
