"""What a provider, a step or a follower says in an error is kept without what is personal in it."""

import json
import time
import traceback
from urllib.parse import quote, urlencode

import pytest
from rest_framework import serializers

from sagas import ActRefused, InvalidInput, OutcomeUnknown, RetryLater, SagaState, StepFailed, StillPending
from sagas.models import SagaExecution
from tests.support import new_id, run, story

pytestmark = pytest.mark.django_db

PERSONAL = {
    "name": "João d'Ávila",
    "mail": "Joao.Avila@example.com",
    "phone": "+5511987654321",
    "document": "52998224725",
    "number": 123456789,
    "address": {"street": "Rua das Flores", "more": ["Fundos B", None, True]},
}
INPUT = PERSONAL | {"sale_id": "SALE-001", "city": "Recife"}
CARDS = ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005"]


@pytest.fixture
def executed(registered, orchestrator):
    """Executes these steps as a saga with personal keys."""

    def execute(*steps, **options):
        saga = registered(*steps, personal=list(PERSONAL))
        return orchestrator.execute(new_id(), "trip", saga, context=INPUT, **options)

    return execute


def messages(execution):
    return [run.error_message for run in execution.step_executions]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no mailbox Joao.Avila@example.com", "no mailbox [mail]"),
        ("no mailbox joao.avila@EXAMPLE.com", "no mailbox [mail]"),
        ("GET https://example.org/Joao.Avila%40example.com: 404", "GET https://example.org/[mail]: 404"),
        ("POST /people?" + urlencode({"n": PERSONAL["name"], "s": "1"}), "POST /people?n=[name]&s=1"),
        ("GET /people/" + quote(PERSONAL["name"]), "GET /people/[name]"),
        (json.dumps({"n": PERSONAL["name"]}), '{"n": "[name]"}'),
        (repr({"n": PERSONAL["name"]}), "{'n': \"[name]\"}"),
        (repr(repr({"n": PERSONAL["name"]})), "'{\\'n\\': \"[name]\"}'"),
        (json.dumps({"body": json.dumps({"n": PERSONAL["name"]})}), '{"body": "{\\"n\\": \\"[name]\\"}"}'),
        ("<td>João d&#x27;Ávila</td>", "<td>[name]</td>"),
        ("CPF 529.982.247-25 is unknown", "CPF [document] is unknown"),
        ("+55 (11) 98765-4321 and 5511987654321", "[phone] and [phone]"),
        ("number 123456789", "number [number]"),
        ("Rua das Flores, Fundos B", "[address], [address]"),
        ("João d'Ávila <Joao.Avila@example.com>", "[name] <[mail]>"),
        ("SALE-001 in Recife has None, True", "SALE-001 in Recife has None, True"),
    ],
)  # fmt: skip
def test_an_error_is_kept_without_the_values_of_personal_keys(stage, executed, said, kept):
    execution = executed(stage.step("a", StepFailed(said)))

    assert messages(execution) == [kept]


@pytest.mark.parametrize(
    "error", [StepFailed, OutcomeUnknown, ValueError, OSError, KeyError, lambda text: RetryLater(0, text)]
)
def test_whatever_the_error_is(stage, executed, error):
    execution = executed(stage.step("a", error("no mailbox Joao.Avila@example.com"), retry_count=0))

    assert messages(execution)[0].strip("'") == "no mailbox [mail]"


def test_in_an_undo_and_in_an_asking_too(stage, executed, orchestrator):
    no = StepFailed("no mailbox Joao.Avila@example.com")
    asked = stage.step("b", OutcomeUnknown("?"), undo=None, verify=[no], timeout=0.001, retry_count=0, jitter=False)
    execution = executed(stage.step("a", undo=[no]), asked)

    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert set(messages(execution)[2:]) == {"no mailbox [mail]"}
    assert {run.direction for run in execution.step_executions if "[mail]" in run.error_message} == {
        "compensation",
        "verify",
    }


def test_what_an_earlier_step_or_the_failed_attempt_itself_has_found_out_counts_too(stage, executed):
    def finds_out(context):
        context["mail"] = "other@example.com"
        raise StepFailed("neither other@example.com nor Joao.Avila@example.com nor third@example.com")

    execution = executed(stage.step("a", {"mail": "third@example.com"}), stage.step("b", finds_out))

    assert messages(execution)[1] == "neither [mail] nor [mail] nor [mail]"


def test_a_strange_thing_left_in_the_context_is_no_obstacle(stage, executed):
    def leaves(context):
        context["address"] = endless = [{1, 2}, object()]
        endless.append(endless)
        raise StepFailed("no mailbox Joao.Avila@example.com")

    assert messages(executed(stage.step("a", leaves))) == ["no mailbox [mail]"]


def test_thousands_of_values_take_no_longer_than_a_person_waits(stage, registered, orchestrator):
    people = [f"person-{number}@example.com" for number in range(5000)]
    saga = registered(stage.step("a", StepFailed("nobody knows " * 100 + people[4321])), personal=["mail"])
    begun = time.monotonic()
    execution = orchestrator.execute(new_id(), "trip", saga, context={"mail": people})

    assert messages(execution) == ["nobody knows " * 100 + "[mail]"]
    assert time.monotonic() - begun < 5


def test_a_short_value_is_left_where_it_is(stage, registered, orchestrator):
    saga = registered(stage.step("a", StepFailed("no row")), personal=["short"])

    execution = orchestrator.execute(new_id(), "trip", saga, context={"short": "row"})

    assert messages(execution) == ["no row"]


def test_a_value_is_masked_before_the_message_is_cut_off(stage, executed):
    execution = executed(stage.step("a", StepFailed("x" * 1990 + "Joao.Avila@example.com")))

    assert messages(execution) == ["x" * 1990 + "[mail]"]


@pytest.mark.parametrize("number", CARDS)
def test_a_card_number_in_an_error_is_masked_for_every_saga(stage, number):
    execution = run(stage.step("a", StepFailed(f"card={number} declined, order 4111111111111112")))

    assert messages(execution) == ["card=[card number] declined, order 4111111111111112"]


@pytest.mark.parametrize(
    "value", [*CARDS, 4111111111111111, "paid with 4111111111111111.", ["4111111111111111"]], ids=str
)
@pytest.mark.parametrize("way", ["returned", "written", "pending"])
def test_a_card_number_that_a_step_reports_is_not_kept(stage, value, way):
    def action(context):
        if way == "written":
            context["paid"] = value
            return None
        if way == "pending":
            raise StillPending(0, {"paid": value})
        return {"paid": value}

    execution = run(stage.step("a", action, retry_count=0))

    first = execution.step_executions[0]
    assert (first.outcome, first.output, first.changes) == ("uncertain", None, {})
    path = "paid.0" if isinstance(value, list) else "paid"
    assert first.error_message == f"{path}: looks like a card number; pass a token or a reference"
    assert execution.context == {}


@pytest.mark.parametrize("value", [*CARDS, 4111111111111111, "(4111111111111111)"], ids=str)
def test_a_card_number_starts_nothing(stage, value):
    with pytest.raises(InvalidInput) as error:
        run(stage.step("a"), context={"card": value})

    assert error.value.errors == {"card": "looks like a card number; pass a token or a reference"}
    assert not SagaExecution.objects.exists()


@pytest.mark.parametrize(
    "value",
    ["https://pay.example.com/r/4111111111111111", "ref-4111111111111111", "41111111111111111", 10**20],
    ids=str,
)
def test_a_long_number_within_something_else_is_somebodys_id(stage, value):
    assert run(stage.step("a", {"ref": value}), context={"ref": value}).context == {"ref": value}


def follower(text):
    def follow(execution, old, new):
        raise ValueError(text)

    return follow


def test_what_a_follower_says_is_masked_where_it_holds_the_saga(stage, registered, orchestrator):
    follow = follower("no booking of Joao.Avila@example.com\nmore of João d'Ávila")
    saga = registered(stage.step("a"), personal=list(PERSONAL), on_change=follow)

    execution = orchestrator.execute(new_id(), "trip", saga, context=INPUT)

    reason = (
        "What follows from its end could not be written down: ValueError: no booking of [mail]. Mend it and release."
    )
    assert execution.held == reason
    assert execution.events.get().data["held"] == reason


def test_and_where_it_refuses_an_act_in_every_line_of_the_traceback(stage, registered, orchestrator):
    registered(stage.step("a"), personal=list(PERSONAL), on_change=follower("no booking of Joao.Avila@example.com"))
    saga_id = orchestrator.start(new_id(), "trip", context=INPUT).saga_id

    with pytest.raises(ActRefused) as error:
        orchestrator.cancel(saga_id)

    assert (
        error.value.sentence
        == "nothing was changed, because on_change raised an error: ValueError: no booking of [mail]"
    )
    assert "Joao.Avila" not in "".join(traceback.format_exception(error.value))


class Picky(serializers.Serializer):
    size = serializers.ChoiceField(choices=["S", "M"])


def test_a_refusal_of_the_input_does_not_quote_it(stage, registered, orchestrator):
    registered(stage.step("a"), schema=Picky, personal=["size"])

    with pytest.raises(InvalidInput) as error:
        orchestrator.start(new_id(), "trip", context={"size": "as Ana Souza"})

    assert error.value.errors == {"size": '"[size]" is not a valid choice.'}


def test_masking_changes_nothing_in_what_is_stored_for_the_steps(stage, executed):
    execution = executed(stage.step("a", {"mail": "new@example.com"}))

    assert execution.context == INPUT | {"mail": "new@example.com"}
    assert story(execution) == ["a action 1 succeeded"]
