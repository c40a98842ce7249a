"""`run_saga` as a separate process: pipes, signals, and a SIGKILL in the middle of a step."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from integrations.models import SandboxEffect, SandboxFault
from sagaproject.bookings.sagas import CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.testing import violations_of
from tests.commands.conftest import BOOKED, BOOKING, REFUSED_AND_UNDONE, nothing_exists
from tests.support.bookings import SandboxProviders
from tests.support.processes import ROOT, wait_for

EFFECTS = [
    ("calendar", "add", "confirmed"),
    ("email", "send", "sent"),
    ("invoices", "issue", "authorized"),
    ("whatsapp", "send_template", "sent"),
]
GO_ON = "Workers continue it. To continue it here: python manage.py run_saga create_booking --saga-id b-1"


def start(shell, booking, *words, **environment):
    return shell.start("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", *words, **environment)


def fault_taken() -> bool:
    return not SandboxFault.objects.filter(remaining__gt=0).exists()


def in_the_ledger():
    return sorted(SandboxEffect.objects.values_list("port", "operation", "state"))


def test_a_context_comes_by_standard_input(shell):
    said = shell("run_saga", "create_booking", "--context", "-", "--saga-id", "b-1", given=json.dumps(BOOKING).encode())

    assert said.lines[-2:] == BOOKED
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (b"", "is not JSON: Expecting value: line 1 column 1 (char 0)."),
        (b'{"name": "\xff"}', "cannot be read from standard input: it is not UTF-8 text."),
    ],
)
def test_bad_standard_input_is_refused(shell, given, sentence):
    said = shell("run_saga", "create_booking", "--context", "-", given=given)

    assert said.err == f"Refused; nothing was started or changed:\n  --context: {sentence}\n"
    assert (said.code, said.out) == (2, "")
    assert nothing_exists()


def test_a_usage_error_is_exit_2_with_a_sentence_and_one_document(shell):
    said = shell("run_saga", "create_booking", "--wait", "soon", "--json")

    sentence = "Argument --wait: must be a number of seconds, 0 or more, not 'soon'."
    assert said.document == {"error": sentence, "exit_code": 2}
    assert said.err.startswith("usage: manage.py run_saga ")
    assert said.err.endswith(f"\n{sentence}\n")
    assert said.code == 2


def test_exit_codes_reach_the_shell(shell, booking, plant):
    plant("calendar", "add", "refuse")

    said = shell.end(start(shell, booking, "--json"))

    assert (said.code, said.document["exit_code"], said.document["state"]) == (3, 3, "failed")
    assert said.err.splitlines()[-4:] == REFUSED_AND_UNDONE


def test_a_terminal_without_the_signs_gets_others(shell, booking, plant):
    plant("calendar", "add", "refuse")

    said = shell.end(start(shell, booking, PYTHONIOENCODING="ascii"))

    assert said.lines[1:6] == [
        "ok 1/4 create_nf",
        "ok 2/4 send_email",
        "ok 3/4 send_whatsapp",
        "x 4/4 add_calendar: The provider refuses the request (refused)",
        "<- undo send_whatsapp",
    ]
    assert said.code == 3


@pytest.mark.prove
@pytest.mark.once
def test_a_reader_who_goes_away_stops_nothing(shell, booking, plant):
    plant("invoices", "issue", "latency", latency_ms=1_000)
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_saga", "create_booking", "--context", booking, "--saga-id", "b-1"],
        cwd=ROOT,
        env=shell.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert os.read(reading, 100) == b"create_booking b-1\n"
    os.close(reading)

    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, b"")
    assert SagaExecution.objects.get().state is SagaState.SUCCEEDED


def test_after_ctrl_c_in_a_step_the_saga_goes_on_under_the_same_id(shell, booking, plant):
    plant("email", "send", "latency", latency_ms=4_000)
    process = start(shell, booking)
    wait_for(fault_taken)
    process.send_signal(signal.SIGINT)

    said = shell.end(process)

    assert said.lines[:2] == ["create_booking b-1", "✓ 1/4 create_nf"]
    assert re.fullmatch(r"\? in doubt 2/4 send_email: KeyboardInterrupt \(attempt 2 in [01]\.\d s\)", said.lines[2])
    assert said.err == f"Interrupted; the saga goes on. It is in progress, 1 of 4 steps done. {GO_ON}\n"
    assert said.code == 130
    assert SagaExecution.objects.get().leased is False

    again = shell("run_saga", "create_booking", "--saga-id", "b-1")

    assert again.lines[1:] == [
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✓ 4/4 add_calendar",
        *BOOKED,
    ]
    assert in_the_ledger() == EFFECTS


@pytest.mark.prove
@pytest.mark.once
def test_ctrl_c_in_a_wait_says_that_the_saga_goes_on(shell, registered, plant):
    plant("email", "send", "fail_before", remaining=9)
    given = BOOKING | {"customer_email": "ana@example.com"}
    process = shell.start("run_saga", "create_booking", "--context", json.dumps(given), "--saga-id", "b-1", "--json")
    wait_for(lambda: SagaExecution.objects.filter(leased=False, state=SagaState.IN_PROGRESS).exists())
    process.send_signal(signal.SIGINT)

    said = shell.end(process)

    assert said.document["error"].startswith("Interrupted; the saga goes on. It is in progress, 1 of 4 steps done. ")
    assert said.document["exit_code"] == said.code == 130


KILLED = {
    # The fault delays a step: "latency" before the effect, "timeout" after the effect. The kill hits during the delay.
    "b-1": ("invoices", "issue", "latency", "1/4 create_nf"),
    "b-2": ("calendar", "add", "timeout", "4/4 add_calendar"),
}


@pytest.mark.prove
@pytest.mark.once
def test_killed_in_the_middle_of_a_step_it_goes_on_with_the_same_id(shell, booking, plant):
    for saga_id, (port, operation, mode, _) in KILLED.items():
        plant(port, operation, mode, match=f"{saga_id}:", latency_ms=6_000 if mode == "latency" else 0)

    # The leases of the killed processes must still be valid when their successors start.
    first = [start_with_lease(shell, booking, saga_id, 6) for saga_id in KILLED]
    wait_for(lambda: fault_taken() and SandboxEffect.objects.filter(port="calendar").exists())
    for process in first:
        process.kill()
        assert shell.end(process).code == -signal.SIGKILL
    second = [start_with_lease(shell, booking, saga_id, 2) for saga_id in KILLED]

    for saga_id, process, dead in zip(KILLED, second, first, strict=True):
        said, step = shell.end(process), KILLED[saga_id][3]
        assert said.lines[0].startswith(f"Going on: create_booking {saga_id}, in progress, ")
        assert re.fullmatch(rf"\S+:{dead.pid} is working on it; its lease ends at [\d :-]+ unless .*", said.lines[1])
        assert said.lines[2:4] == [
            f"? in doubt {step}: A worker crashed during this attempt, or lost its connection.",
            f"✓ {step}",
        ]
        assert said.lines[-2] == f"create_booking {saga_id}: Everything is done. Nothing to do."
        assert (said.code, said.err) == (0, "")
        execution = SagaExecution.objects.get(saga_id=saga_id)
        assert violations_of(CREATE_BOOKING_SAGA, saga_id, SandboxProviders().effects(execution)) == []
    assert in_the_ledger() == sorted(EFFECTS * 2)


def start_with_lease(shell, booking, saga_id, lease):
    """Start `run_saga` with a short lease. Skip the system checks, because they warn about a short lease."""
    words = ["run_saga", "create_booking", "--context", booking, "--saga-id", saga_id, "--skip-checks"]
    return shell.start(*words, SAGAS_SETTINGS=json.dumps({"LEASE": lease}))


@pytest.mark.prove
@pytest.mark.once
def test_while_another_process_has_it_in_hand_its_steps_are_told(shell, booking, plant):
    plant("invoices", "issue", "latency", latency_ms=5_000)
    first = start(shell, booking)
    wait_for(fault_taken)

    said = shell.end(start(shell, booking))

    assert shell.end(first).code == 0
    assert f":{first.pid} is working on it; its lease ends at " in said.lines[1]
    assert said.lines[2:] == [
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✓ 4/4 add_calendar",
        *BOOKED,
    ]
    assert said.code == 0
    assert in_the_ledger() == EFFECTS


def test_a_database_that_fails_is_a_sentence_and_exit_1(shell, tmp_path):
    said = shell("saga_status", "b-1", "--json", DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")

    sentence = "The database failed: no such table: sagas_execution."
    assert (said.document, said.err, said.code) == ({"error": sentence, "exit_code": 1}, f"{sentence}\n", 1)


def test_settings_that_cannot_work_are_one_document_and_exit_1(shell):
    said = shell("saga_stats", "--json", SAGAS_SETTINGS='{"LEESE": 2}')

    assert "SAGAS has the unknown key 'LEESE'." in said.document["error"]
    assert (said.document["exit_code"], said.code) == (1, 1)
