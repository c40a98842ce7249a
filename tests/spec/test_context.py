"""Test which values a context accepts, and that they are the same after a restart."""

import datetime as dt
import enum
import uuid
from decimal import Decimal

import pytest
from django.utils.translation import gettext_lazy

from sagas import InvalidInput, SagaState
from sagas.models import SagaExecution
from tests.support import new_id, run, story

pytestmark = pytest.mark.django_db


class Colour(enum.Enum):
    RED = "red"


def nested(levels):
    """Return a list nested to this depth."""
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


STORABLE = [
    (Decimal("420.00"), "420.00"),
    (dt.datetime(2026, 12, 1, 10, tzinfo=dt.UTC), "2026-12-01T10:00:00+00:00"),
    (dt.date(2026, 12, 1), "2026-12-01"),
    (dt.time(10, 30), "10:30:00"),
    ((1, 2), [1, 2]),
    ({"a": (None, True, {"b": Decimal(1)})}, {"a": [None, True, {"b": "1"}]}),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (Colour.RED, "red"),
    (SagaState.FAILED, "failed"),
    (gettext_lazy("Saga"), "Saga"),
    (1e300, 1e300),
    (10**30, 10**30),
    (0.1, 0.1),
    (-0.0, -0.0),
    ("a'b\"c\\d \u2028 é 😀 <script>", "a'b\"c\\d \u2028 é 😀 <script>"),
    (nested(31), nested(31)),
    ("4111111111111112", "4111111111111112"),
]


@pytest.mark.parametrize(("given", "stored"), STORABLE, ids=lambda value: type(value).__name__)
def test_a_value_is_the_same_before_and_after_a_restart(stage, given, stored):
    execution = run(stage.step("a", {"from_step": given}), stage.step("b"), context={"from_start": given})

    expected = {"from_start": stored, "from_step": stored}
    assert repr(stage.calls[1].context) == repr(expected)
    assert repr(execution.context) == repr(expected)
    assert repr(SagaExecution.objects.get(pk=execution.pk).context) == repr(expected)
    assert repr(stage.calls[1].outputs) == repr({"a": {"from_step": stored}})
    assert repr(execution.step_executions.first().output) == repr({"from_step": stored})


LIST_PATH = "key" + ".0" * 31
UNSTORABLE = [
    (float("nan"), {"key": "is nan, which JSON cannot hold"}),
    (float("-inf"), {"key": "is -inf, which JSON cannot hold"}),
    ("a\x00b", {"key": "contains a NUL character, which cannot be stored"}),
    ("a\ud800b", {"key": "contains a lone surrogate, which cannot be stored"}),
    ({1, 2}, {"key": "is a set, which JSON cannot hold"}),
    (b"x", {"key": "is a bytes, which JSON cannot hold"}),
    (object(), {"key": "is a object, which JSON cannot hold"}),
    ([1, {"deep": {"er": float("nan")}}], {"key.1.deep.er": "is nan, which JSON cannot hold"}),
    ({"a\x00": 1}, {"key.a\ufffd": "contains a NUL character, which cannot be stored"}),
    ({7: 1}, {"key": "has a key that is not a string: 7"}),
    (nested(32), {LIST_PATH: "is nested deeper than 32 levels"}),
    (nested(100_000), {LIST_PATH: "is nested deeper than 32 levels"}),
    ("x" * 1_000_000, {"key": "the context is 1000010 bytes, more than MAX_CONTEXT_BYTES (262144)"}),
    (1 << 5000, {"key": "is an integer of more than 4096 bits"}),
    ({"password": "hunter2"}, {"key.password": "secrets do not belong in a context; pass a token or a reference"}),
    ({"CVV": 1}, {"key.CVV": "secrets do not belong in a context; pass a token or a reference"}),
    ("4111111111111111", {"key": "looks like a card number; pass a token or a reference"}),
]
NAMES = [
    "nan", "inf", "nul", "surrogate", "set", "bytes", "object", "deep nan", "nul key", "integer key",
    "33 levels", "100000 levels", "1 MB", "integer", "password", "cvv", "card",
]  # fmt: skip


@pytest.mark.parametrize(("value", "errors"), UNSTORABLE, ids=NAMES)
@pytest.mark.parametrize("call", ["execute", "start"])
def test_an_unstorable_input_is_refused_by_key(stage, registered, orchestrator, call, value, errors):
    registered(stage.step("a"))

    with pytest.raises(InvalidInput) as error:
        getattr(orchestrator, call)("x", "trip", context={"key": value})

    assert error.value.errors == errors
    assert str(error.value) == "; ".join(f"{key}: {sentence}" for key, sentence in errors.items())
    assert not SagaExecution.objects.exists()
    assert stage.told == []


@pytest.mark.parametrize(("value", "errors"), UNSTORABLE[:-1], ids=NAMES[:-1])  # a card number is refused only in input
@pytest.mark.parametrize("way", ["returned", "written"])
def test_an_unstorable_output_leaves_the_attempt_in_doubt(stage, value, errors, way):
    def action(context):
        if way == "returned":
            return {"key": value}
        context["key"] = value
        return None

    execution = run(stage.step("a", action, retry_count=0))

    assert stage.told == ["a", "a.undo"]
    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]
    assert execution.step_executions.first().error_type == "InvalidInput"
    key, sentence = next(iter(errors.items()))
    message = execution.step_executions.first().error_message
    assert message == f"{key}: {sentence}" or (key == "key" and message.startswith("key: the context is "))
    assert execution.context == {}


@pytest.mark.parametrize("returned", [7, "text", [("a", 1)], True], ids=repr)
def test_an_output_that_is_not_a_mapping_leaves_the_attempt_in_doubt(stage, returned):
    execution = run(stage.step("a", lambda context: returned, retry_count=0))

    first = execution.step_executions.first()
    assert first.outcome == "uncertain"
    assert first.error_message == f"a step returns a mapping or None, not a {type(returned).__name__}"


def test_the_limit_counts_the_whole_context(stage, settings):
    settings.SAGAS = {"MAX_CONTEXT_BYTES": 1024}
    execution = run(stage.step("a", {"first": "x" * 600}), stage.step("b", {"second": "x" * 600}, retry_count=0))

    assert stage.told == ["a", "b", "b.undo", "a.undo"]
    last = execution.step_executions.filter(step="b").first()
    assert last.error_message == "first: the context is 1224 bytes, more than MAX_CONTEXT_BYTES (1024)"


def test_a_context_that_is_not_a_mapping_is_refused(stage, orchestrator):
    with pytest.raises(InvalidInput) as error:
        run(stage.step("a"), context=[1])

    assert error.value.errors == {"": "the context must be a mapping, not a list"}
    assert str(error.value) == "the context must be a mapping, not a list"


def test_deletions_and_the_output_are_merged_into_the_context(stage):
    def action(context):
        del context["a"]
        context["b"] = 2
        return {"c": 3}

    execution = run(stage.step("a", action), context={"a": 1, "keep": 0})

    assert execution.context == {"keep": 0, "b": 2, "c": 3}
    assert execution.input == {"a": 1, "keep": 0}
    assert execution.step_executions.get().changes == {"set": {"b": 2, "c": 3}, "deleted": ["a"]}
    assert execution.step_executions.get().output == {"c": 3}


def test_a_step_cannot_change_the_outputs_of_others(stage):
    def change_outputs(context):
        context.outputs["a"]["list"].append(2)
        raise ValueError

    run(stage.step("a", {"list": [1]}), stage.step("b", change_outputs, {}))

    assert stage.calls[2].outputs == {"a": {"list": [1]}}


def test_true_and_one_are_different_values(stage):
    execution = run(stage.step("a", {"flag": True}), context={"flag": 1})

    assert execution.context["flag"] is True
    assert execution.step_executions.get().changes == {"set": {"flag": True}}


def test_a_context_has_the_attributes_of_its_attempt(stage):
    seen = {}

    def action(context):
        seen.update(
            saga=context.saga_id,
            step=context.step,
            run=context.run,
            zone=context.deadline.tzinfo,
            left=context.remaining,
        )
        seen["text"] = repr(context)

    run(stage.step("a", action, timeout=30), saga_id="placed", context={"secretive": "Ana"})

    assert 25 < seen.pop("left") <= 30
    assert seen == {
        "saga": "placed",
        "step": "a",
        "run": 1,
        "zone": dt.UTC,
        "text": "<StepContext placed:1:a attempt 1 keys ['secretive']>",
    }


def test_unstorable_characters_of_a_message_are_replaced(stage):
    execution = run(stage.step("a", ValueError("a\x00b\ud800c"), retry_count=0))

    assert execution.step_executions.get().error_message == "a\ufffdb\ufffdc"


def test_an_exception_whose_str_raises_is_recorded(stage):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    execution = run(stage.step("a", Mute(), retry_count=0))

    assert execution.step_executions.get().error_message == "(its message could not be read)"
    assert execution.saga_id != new_id()
