"""`run_saga` runs a saga, prints a line for each step and a diagnosis, and returns an exit code."""

import argparse
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils.formats import date_format
from django.utils.timezone import localtime
from rest_framework import serializers

from integrations.models import SandboxEffect
from sagas import OutcomeUnknown, RetryLater, SagaState, StillPending
from sagas.definition.registry import all_sagas
from sagas.management.arguments import context_from
from sagas.management.commands.run_saga import Command
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.commands.conftest import BOOKED, BOOKING, REFUSED_AND_UNDONE, effects, nothing_exists
from tests.support.bookings import PAYMENT

INPUTS = (
    "sale_id, customer_name, customer_email, description, amount, customer_phone, customer_document, starts_at, ends_at"
)
REFUSED = "Refused; nothing was started or changed:\n  "
GO_ON = "Workers continue it. To continue it here: python manage.py run_saga"


def test_a_saga_that_succeeds_is_a_line_a_step_and_exit_0(command, booking):
    said = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")

    assert said.lines == [
        "create_booking b-1",
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✓ 4/4 add_calendar",
        *BOOKED,
    ]
    assert (said.code, said.err) == (0, "")


def test_a_saga_without_an_id_gets_a_random_one_and_says_it_first(command):
    said = command("run_saga", "collect_payment", "--context", json.dumps(PAYMENT))

    name, saga_id = said.lines[0].split()
    assert (name, said.code) == ("collect_payment", 0)
    assert SagaExecution.objects.get().saga_id == saga_id


def test_a_step_refused_for_good_is_undone_in_reverse_and_exit_3(command, booking, plant):
    plant("calendar", "add", "refuse")

    said = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")

    assert said.lines == [
        "create_booking b-1",
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✗ 4/4 add_calendar: The provider refuses the request (refused)",
        "↶ undo send_whatsapp",
        "↶ undo send_email",
        "↶ undo create_nf",
        *REFUSED_AND_UNDONE,
    ]
    assert said.code == 3


def test_a_refused_compensation_names_the_step_and_the_command(command, booking, plant):
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")

    said = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")

    refusal = next(line for line in said.lines if line.startswith("✗ undo create_nf: ")).removeprefix("✗ undo ")
    issued = SandboxEffect.objects.get(operation="issue")
    until = date_format(localtime(issued.created_at + timedelta(days=5)), "DATETIME_FORMAT")
    assert said.out.endswith(
        "create_booking b-1: Could not be undone: “Invoice”. Below is what the provider answered. "
        "Undo it there and mark the step as resolved, or retry.\n"
        "  Undone: send_email, send_whatsapp.\n"
        "  Could not be undone: create_nf.\n"
        f"  {refusal} The city's tax office can cancel invoice {issued.response['number']} until "
        f"{until}; request it in the office's portal.\n"
        "  add_calendar: The provider refuses the request (refused)\n"
        '  python manage.py saga_resolve --reason "…" --evidence "…" b-1 create_nf undone\n'
        '  python manage.py saga_retry --reason "…" b-1\n'
    )
    assert said.code == 4
    assert SagaExecution.objects.get().state is SagaState.PARTIALLY_COMPENSATED


def test_a_declined_card_leaves_nothing_to_undo(command):
    declined = json.dumps(PAYMENT | {"payment_method": "pm_card_chargeDeclined"})

    said = command("run_saga", "collect_payment", "--context", declined, "--saga-id", "p-1")

    assert said.lines[1:] == [
        "✗ 1/4 process_payment: The card was declined (card_declined)",
        ("collect_payment p-1: Failed at “Charge”. There was nothing to undo. Nothing to clean up. It can be retried."),
        "  process_payment: The card was declined (card_declined)",
        '  python manage.py saga_retry --reason "…" p-1',
    ]
    assert said.code == 3


def test_a_skipped_step_says_why(command):
    context = json.dumps({key: value for key, value in BOOKING.items() if key != "customer_phone"})

    said = command("run_saga", "create_booking", "--context", context)

    assert "✓ 3/4 send_whatsapp: skipped, the customer gave no telephone number" in said.lines
    assert said.code == 0


def test_each_attempt_is_a_line_with_when_the_next_one_comes(command, registered, stage):
    registered(
        stage.step("book", RetryLater(0, "Come back"), {}),
        stage.step("pay", OutcomeUnknown("No answer"), StillPending(0), KeyError("x"), {}),
        stage.step("greet", ValueError("no\nbody"), retry_count=0, optional=True),
    )

    said = command("run_saga", "trip", "--saga-id", "t-1")

    assert said.lines == [
        "trip t-1",
        "✗ 1/3 book: Come back (attempt 2 in 0.0 s)",
        "✓ 1/3 book",
        "? in doubt 2/3 pay: No answer (attempt 2 in 0.0 s)",
        "… 2/3 pay: accepted, not finished (attempt 3 in 0.0 s)",
        "✗ 2/3 pay: KeyError: 'x' (attempt 4 in 0.0 s)",
        "✓ 2/3 pay",
        "✗ 3/3 greet: ValueError: no body (no retry is left) (optional, so the saga goes on)",
        "trip t-1: Done, without “Greet”. It is optional: nothing else depends on it.",
        "  Done: book, pay.",
        "  greet: ValueError: no body",
    ]


def test_a_step_without_an_undo_is_named_when_the_rest_was_undone(command, registered, stage):
    registered(stage.step("book"), stage.step("greet", undo=None), stage.step("pay", ValueError(), retry_count=0))

    said = command("run_saga", "trip", "--saga-id", "t-1")

    assert said.lines[-5:] == [
        (
            "trip t-1: Failed at “Pay”. This cannot be undone and stays: “Greet”. "
            "Look at the last answer below. Fix the cause and retry, or acknowledge it."
        ),
        "  Done: greet.",
        "  Undone: book.",
        "  pay: ValueError",
        '  python manage.py saga_retry --reason "…" t-1',
    ]


def test_undos_that_are_set_aside_go_on_by_themselves_and_are_exit_5(command, registered, stage):
    book = stage.step("book", undo=[RetryLater(600)], compensation_retry_count=0)
    registered(book, stage.step("pay", ValueError("no"), retry_count=0))

    said = command("run_saga", "trip", "--saga-id", "t-1")

    assert said.lines[3] == "✗ undo book: not possible now, retry in 600 s (attempt 2 in 600.0 s)"
    assert re.fullmatch(
        r"trip t-1: Undoing “Book” keeps failing\. Next try at .+\. "
        r"It gives up at .+; then someone must see to it\.",
        said.lines[4],
    )
    assert said.lines[5:] == [
        "  book: not possible now, retry in 600 s",
        "  pay: ValueError: no",
        f"  {GO_ON} trip --saga-id t-1",
    ]
    assert said.code == 5


def test_a_wait_that_ends_before_the_saga_exits_with_5(command, booking, plant):
    plant("invoices", "issue", "throttle")

    said = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", "--wait", "0")

    assert said.lines[1] == "✗ 1/4 create_nf: The provider asks for fewer requests (rate_limit) (attempt 2 in 1.0 s)"
    assert said.lines[2].startswith("create_booking b-1: Waiting. Next try of “Invoice” at ")
    assert said.lines[-1] == f"  {GO_ON} create_booking --saga-id b-1"
    assert said.code == 5

    again = command("run_saga", "create_booking", "--saga-id", "b-1")

    assert again.lines[0].startswith("Going on: create_booking b-1, in progress, 0 of 4 steps done, started ")
    assert again.lines[1:] == [
        "✓ 1/4 create_nf",
        "✓ 2/4 send_email",
        "✓ 3/4 send_whatsapp",
        "✓ 4/4 add_calendar",
        *BOOKED,
    ]


def test_the_same_id_with_the_same_input_does_nothing_twice(command, booking):
    first = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")
    done = effects()

    for context in (["--context", booking], []):
        again = command("run_saga", "create_booking", "--saga-id", "b-1", *context)
        assert again.lines[0].startswith("There is one already: create_booking b-1, succeeded, 4 of 4 steps done, ")
        assert again.lines[1:] == first.lines[-2:] == BOOKED
        assert again.code == 0
    assert effects() == done


def test_an_id_used_with_other_input_is_exit_6_and_starts_nothing(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")
    done = effects()
    other = json.dumps(BOOKING | {"amount": "421.00"})
    conflict = "'b-1' is already a create_booking execution with other input; use a new id."

    for words in (
        ["create_booking", "--context", other],
        ["create_booking", "--context", other, "--dry-run"],
        ["create_booking", "--context", other, "--detach"],
        ["collect_payment", "--context", json.dumps(PAYMENT)],
        ["collect_payment"],
    ):
        said = command("run_saga", *words, "--saga-id", "b-1")
        assert (said.out, said.sentence, said.code) == ("", conflict, 6)
    assert effects() == done
    assert SagaExecution.objects.count() == 1


def test_a_held_saga_needs_a_person_and_is_exit_4(command, booking, plant):
    plant("invoices", "issue", "throttle")
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", "--wait", "0")
    get_saga_orchestrator().hold("b-1", reason="ask her first")

    said = command("run_saga", "create_booking", "--saga-id", "b-1")

    assert said.lines[0].startswith("There is one already: create_booking b-1, in progress, ")
    assert said.lines[1:] == [
        (
            "create_booking b-1: On hold, by somebody. Nothing goes on until someone releases it. "
            "Release it when it may go on. Reason: ask her first"
        ),
        "  create_nf: The provider asks for fewer requests (rate_limit)",
    ]
    assert said.code == 4


def test_a_saga_held_in_doubt_names_the_step_and_the_command(command, registered, stage):
    registered(stage.step("pay", OutcomeUnknown("No answer"), undo=None, pivot=True, retry_count=0))

    said = command("run_saga", "trip", "--saga-id=-t", "--wait", "9")

    assert said.lines[-4:] == [
        (
            "trip -t: On hold. We don't know whether this was done: “Pay”. "
            "Check with the provider, then mark the step as resolved, with evidence."
        ),
        "  In doubt: pay.",
        "  pay: No answer",
        '  python manage.py saga_resolve --reason "…" --evidence "…" -- -t pay done',
    ]
    assert said.code == 4


def test_detach_only_queues(command, booking):
    said = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", "--detach")

    assert said.lines == [
        "create_booking b-1",
        (
            "create_booking b-1: Waiting to start. "
            "It starts by itself. If that takes minutes, call whoever runs the system."
        ),
        f"  {GO_ON} create_booking --saga-id b-1",
    ]
    assert said.code == 0
    assert SagaExecution.objects.get().state is SagaState.PENDING
    assert effects() == []
    assert command("run_saga", "create_booking", "--saga-id", "b-1", "--detach").code == 0
    assert command("run_saga", "create_booking", "--saga-id", "b-1").code == 0


def test_a_priority_is_stored(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--priority", "low", "--detach")

    assert SagaExecution.objects.get().priority == 0


def test_a_dry_run_prints_the_plan_and_starts_nothing(command):
    words = ["run_saga", "collect_payment", "--context", json.dumps(PAYMENT), "--saga-id", "p-1", "--dry-run"]

    said = command(*words)

    assert said.lines == [
        "collect_payment p-1, priority high. Nothing was started; it would do:",
        "  1/4 process_payment: 15 s, 3 retries, undo in 15 s",
        "  2/4 create_invoice: 5 s, 2 retries, undo in 5 s, transactional",
        "  3/4 send_receipt: 5 s, 2 retries, no undo",
        "  4/4 log_analytics: 2 s, 1 retry, no undo, optional",
    ]
    assert said.code == 0
    assert nothing_exists()
    document = command(*words, "--json").document
    assert [step["name"] for step in document["steps"]][:2] == ["process_payment", "create_invoice"]
    assert (document["saga_id"], document["priority"], document["exists"]) == ("p-1", "high", False)


def test_a_dry_run_of_an_id_that_exists_says_how_it_stands(command, booking):
    command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1")

    said = command("run_saga", "create_booking", "--saga-id", "b-1", "--dry-run")

    assert said.lines[-1].startswith("There is one already: create_booking b-1, succeeded, 4 of 4 steps done, ")
    assert said.code == 0


def test_a_list_names_all_sagas_and_their_steps(command):
    said = command("run_saga", "--list")

    assert "collect_payment: Charges a customer and enters the payment into the books." in said.lines
    assert "  1/4 create_nf: 10 s, 3 retries, undo in 10 s" in said.lines
    assert said.code == 0
    names = [saga["saga"] for saga in command("run_saga", "--list", "--json").document["sagas"]]
    assert {"collect_payment", "create_booking"} <= set(names)


def test_json_is_one_document_and_the_words_go_to_stderr(command, booking, plant):
    plant("calendar", "add", "refuse")

    said = command("run_saga", "create_booking", "--context", booking, "--saga-id", "b-1", "--json")

    document = said.document
    assert {name: document[name] for name in ("saga_id", "saga", "state", "failed_step", "undone", "exit_code")} == {
        "saga_id": "b-1",
        "saga": "create_booking",
        "state": "failed",
        "failed_step": "add_calendar",
        "undone": ["send_whatsapp", "send_email", "create_nf"],
        "exit_code": 3,
    }
    assert [(step["step"], step["direction"], step["outcome"]) for step in document["steps"]][3:5] == [
        ("add_calendar", "action", "failed"),
        ("send_whatsapp", "compensation", "succeeded"),
    ]
    assert said.err.splitlines()[1] == "✓ 1/4 create_nf"
    assert said.code == 3
    for personal in ("customer_name", "customer_email", "customer_phone"):
        assert BOOKING[personal] not in said.out + said.err


BAD = {
    "no saga": ([], "Name a saga; --list prints all."),
    "bad JSON": (
        ["create_booking", "--context", "{bad"],
        (
            f"{REFUSED}--context: is not JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)."
        ),
    ),
    "empty JSON": (
        ["create_booking", "--context", ""],
        f"{REFUSED}--context: is not JSON: Expecting value: line 1 column 1 (char 0).",
    ),
    "a list": (
        ["create_booking", "--context", "[1]"],
        f'{REFUSED}--context: must be a JSON object, like \'{{"sale_id": "S-1"}}\', not a list.',
    ),
    "null": (
        ["create_booking", "--context", "null"],
        f'{REFUSED}--context: must be a JSON object, like \'{{"sale_id": "S-1"}}\', not null.',
    ),
    "a number": (
        ["create_booking", "--context", "7"],
        f'{REFUSED}--context: must be a JSON object, like \'{{"sale_id": "S-1"}}\', not a number.',
    ),
    "a key twice": (
        ["create_booking", "--context", '{"amount": "1", "amount": "2"}'],
        f"{REFUSED}--context: is not JSON: it has the key 'amount' twice.",
    ),
    "a number that is none": (
        ["create_booking", "--context", '{"amount": NaN}'],
        f"{REFUSED}amount: is nan, which JSON cannot hold",
    ),
    "JSON without a bottom": (
        ["create_booking", "--context", '{"a":' * 100_000],
        f"{REFUSED}--context: is nested too deeply.",
    ),
    "a file that is not there": (
        ["create_booking", "--context", "@/nowhere/booking.json"],
        f"{REFUSED}--context: cannot be read from '/nowhere/booking.json': No such file or directory.",
    ),
    "a folder": (
        ["create_booking", "--context", "@/"],
        f"{REFUSED}--context: cannot be read from '/': Is a directory.",
    ),
    "missing input": (
        ["collect_payment", "--context", json.dumps({key: PAYMENT[key] for key in ("sale_id", "amount", "currency")})],
        (
            f"{REFUSED}customer_name: This field is required.\n"
            "  customer_email: This field is required.\n"
            "  description: This field is required.\n"
            "  payment_method: This field is required."
        ),
    ),
    "no input at all": (
        ["collect_payment", "--saga-id", "p-1"],
        (
            f"{REFUSED}sale_id: This field is required.\n"
            "  customer_name: This field is required.\n"
            "  customer_email: This field is required.\n"
            "  description: This field is required.\n"
            "  amount: This field is required.\n"
            "  payment_method: This field is required."
        ),
    ),
    "invalid input": (
        ["collect_payment", "--context", json.dumps(PAYMENT | {"amount": "-1"})],
        f"{REFUSED}amount: Ensure this value is greater than or equal to 0.01.",
    ),
    "unknown input": (
        ["create_booking", "--context", json.dumps(BOOKING | {"foo": 1})],
        f"{REFUSED}foo: is not an input of create_booking; its inputs are {INPUTS}",
    ),
    "a bad id": (
        ["create_booking", "--context", json.dumps(BOOKING), "--saga-id", "b 1"],
        f"{REFUSED}saga_id: must be 1 to 150 characters of A-Z a-z 0-9 . _ : ~ -, and not . or ..",
    ),
    "an empty id": (
        ["create_booking", "--saga-id", ""],
        f"{REFUSED}saga_id: must be 1 to 150 characters of A-Z a-z 0-9 . _ : ~ -, and not . or ..",
    ),
    "an unknown option": (
        ["create_booking", "--foo"],
        "Unrecognized arguments: --foo.",
    ),
    "a wait that is no number": (
        ["create_booking", "--wait", "soon"],
        "Argument --wait: must be a number of seconds, 0 or more, not 'soon'.",
    ),
    "a wait below 0": (
        ["create_booking", "--wait=-1"],
        "Argument --wait: must be a number of seconds, 0 or more, not '-1'.",
    ),
    "two ways at once": (
        ["create_booking", "--wait", "1", "--detach"],
        "Argument --detach: not allowed with argument --wait.",
    ),
}


@pytest.mark.parametrize(("words", "sentence"), [pytest.param(*case, id=name) for name, case in BAD.items()])
def test_bad_input_is_a_sentence_with_exit_2_and_starts_nothing(command, words, sentence):
    said = command("run_saga", *words)

    assert (said.sentence, said.code, said.out) == (sentence, 2, "")
    assert nothing_exists()


def test_an_unknown_saga_is_refused_with_the_names_of_those_there_are(command):
    said = command("run_saga", "nope", "--context", json.dumps(BOOKING))

    known = ", ".join(sorted(all_sagas()))
    assert said.sentence == f"No saga named 'nope' is registered (registered: {known})."
    assert (said.code, said.out) == (2, "")
    assert nothing_exists()


def test_an_unknown_priority_is_refused(command):
    said = command("run_saga", "create_booking", "--priority", "urgent")

    assert said.sentence.startswith("Argument --priority: invalid choice: 'urgent' (choose from ")
    assert said.code == 2


def test_json_of_what_is_refused_says_why(command):
    said = command("run_saga", "collect_payment", "--context", json.dumps(PAYMENT | {"amount": "-1"}), "--json")

    assert said.document == {
        "error": f"{REFUSED}amount: Ensure this value is greater than or equal to 0.01.",
        "errors": {"amount": "Ensure this value is greater than or equal to 0.01."},
        "exit_code": 2,
    }


def test_an_error_that_nobody_foresaw_is_still_one_document(command, registered, stage):
    registered(stage.step("book"), schema=ExplodingSchema)
    out = io.StringIO()

    with pytest.raises(ZeroDivisionError):
        call_command("run_saga", "trip", "--json", stdout=out)

    assert json.loads(out.getvalue()) == {"error": "ZeroDivisionError: boom", "exit_code": 1}


class ExplodingSchema(serializers.Serializer):
    """An input schema that raises an unexpected exception."""

    def validate(self, attrs):
        raise ZeroDivisionError("boom")


def test_a_context_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "context.json"
    path.write_bytes(b'\xef\xbb\xbf{"name": "S\xc3\xa3o"}')

    assert context_from(f"@{path}") == {"name": "São"}


def test_a_context_that_is_not_utf_8_is_refused(command, tmp_path):
    path = tmp_path / "context.json"
    path.write_bytes(b'{"name": "S\xe3o"}')

    said = command("run_saga", "create_booking", "--context", f"@{path}")

    assert said.sentence == f"{REFUSED}--context: cannot be read from '{path}': it is not UTF-8 text."
    assert said.code == 2


def test_help_names_the_exit_codes():
    parser = Command().create_parser("manage.py", "run_saga")

    assert isinstance(parser, argparse.ArgumentParser)
    assert "Exit codes: 0 succeeded, 2 refused, 3 failed and undone" in " ".join(parser.format_help().split())
