"""`saga_status` finds an execution by its ID or a reference and prints its status."""

import json

import pytest

from sagas import SagaState
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.commands.conftest import BOOKED, BOOKING
from tests.support.bookings import PAYMENT
from tests.support.processes import wait_for


def test_it_prints_each_attempt_and_the_diagnosis(command, partially_compensated):
    said = command("saga_status", partially_compensated)

    assert said.lines[0].startswith("create_booking b-1, started ")
    assert said.lines[1:7] == [
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✗ 4/4 add_calendar: The provider refuses the request (refused)",
        "↶ undo send_whatsapp",
        "↶ undo send_email",
    ]
    assert said.lines[-1] == '  python manage.py saga_retry --reason "…" b-1'
    assert said.code == 4


def test_a_reference_finds_it_in_any_case_of_letters(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")

    for reference in ("sale-001", "CUSTOMER@example.com", "b-1"):
        said = command("saga_status", reference)
        assert said.lines[-2:] == BOOKED
        assert said.code == 0


def test_several_hits_are_listed_and_the_worst_is_the_exit_code(command, partially_compensated):
    command("run_saga", "collect_payment", "--context", json.dumps(PAYMENT), "--saga-id", "p-1")

    said = command("saga_status", "SALE-001")

    assert [line.split(", ")[0].partition("  started")[0] for line in said.lines] == [
        "p-1  collect_payment  succeeded",
        "b-1  create_booking  partially compensated",
    ]
    assert said.code == 4
    document = command("saga_status", "SALE-001", "--json").document
    assert [execution["saga_id"] for execution in document["executions"]] == ["p-1", "b-1"]
    assert document["exit_code"] == 4


def test_several_hits_cannot_be_watched(command, booking):
    for saga_id in ("b-1", "b-2"):
        command("run_saga", "create_booking", "--context", booking, "--saga-id", saga_id)

    said = command("saga_status", "SALE-001", "--watch")

    assert said.sentence == "'SALE-001' refers to 2 executions; watch one of them by its ID."
    assert said.code == 2


def test_an_unknown_reference_is_exit_2(command):
    for reference in ("nobody", "\udcff", "a\x00b"):
        said = command("saga_status", reference)
        assert (said.sentence, said.code) == (f"No execution has the ID or reference {reference!r}.", 2)


def test_a_queued_one_goes_on_by_itself(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", "--detach")

    said = command("saga_status", "b-1", "--json")

    assert (said.document["state"], said.document["exit_code"], said.code) == ("pending", 5, 5)


def test_one_that_was_cancelled_says_by_whom_and_why(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", "--detach")
    get_saga_orchestrator().cancel("b-1", reason="she changed her mind")

    said = command("saga_status", "b-1")

    assert said.lines[-1] == (
        "create_booking b-1: Cancelled by somebody. Nothing is left. Reason: she changed her mind"
    )
    assert said.code == 3


def test_a_reason_hides_personal_values_that_were_corrected(command):
    orchestrator = get_saga_orchestrator()
    orchestrator.start("b-1", "create_booking", context=BOOKING)
    orchestrator.hold("b-1", reason="customer@example.com is wrong")
    orchestrator.correct_input("b-1", BOOKING | {"customer_email": "other@example.com"}, reason="a typo")

    said = command("saga_status", "b-1")

    assert "Reason: [customer_email] is wrong" in said.out
    assert "customer@example.com" not in said.out


def test_one_that_was_undone_on_request_says_so(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")
    get_saga_orchestrator().compensate("b-1", reason="tour called off")

    said = command("saga_status", "b-1")

    assert said.lines[-2:] == [
        "create_booking b-1: Undone by somebody. Nothing is left. Reason: tour called off",
        "  Undone: create_nf, send_email, send_whatsapp, add_calendar.",
    ]


def test_one_whose_saga_is_gone_is_still_told(command, registered, stage):
    registered(stage.step("book"))
    command("run_saga", "trip", "--saga-id", "t-1", "--detach")
    registered.forget()

    said = command("saga_status", "t-1")

    assert said.lines[-1].startswith("trip t-1: It cannot go on here: its saga, trip, is not registered. ")
    assert said.code == 5


@pytest.mark.prove
@pytest.mark.once
def test_it_is_watched_to_its_end(shell, booking, plant):
    plant("invoices", "issue", "latency", latency_ms=5_000)
    watched = shell.start("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")
    wait_for(lambda: SagaExecution.objects.filter(state=SagaState.IN_PROGRESS).exists())

    said = shell("saga_status", "b-1", "--watch")

    assert f":{watched.pid} is working on it; its lease ends at " in said.lines[1]
    assert said.lines[2:] == [
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✓ 4/4 add_calendar",
        *BOOKED,
    ]
    assert said.code == 0


def test_a_watch_that_is_interrupted_says_that_the_saga_goes_on(shell, command, booking):
    command("run_saga", "create_booking", "--context", json.dumps(BOOKING), "--saga-id", "b-1", "--detach")
    process = shell.start("saga_status", "b-1", "--watch")
    assert process.stdout.readline().startswith(b"create_booking b-1, started ")
    process.send_signal(2)

    said = shell.end(process)

    assert said.err.startswith("Interrupted; the saga goes on. It is pending, 0 of 4 steps done. ")
    assert said.code == 130
