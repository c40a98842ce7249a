"""A bad value in a step or saga raises a DefinitionError that says which values are allowed."""

from functools import partial

import pytest
from django.utils.translation import gettext_lazy, ngettext_lazy, pgettext_lazy

from sagas import DefinitionError, Priority, Saga, SagaStep, register
from sagas.definition.registry import unregister

NAN = float("nan")
YEAR = "must be at most 3.16224e+07, a year, not 1e+300"


def does_nothing(context):
    """A function for a step."""


def why(make, *arguments, **fields):
    """Return the message of the DefinitionError."""
    with pytest.raises(DefinitionError) as error:
        make(*arguments, **fields)
    assert isinstance(error.value, ValueError)
    return str(error.value)


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a b", "é", "a" * 65, "_a", "a\n", None, 7])
def test_a_name_starts_with_a_letter(name):
    rule = "must start with a lower-case letter, then letters a-z, digits or _, at most 64 characters"

    assert why(SagaStep, name, does_nothing) == f"step name {name!r} {rule}"
    assert why(Saga, name, [SagaStep("a", does_nothing)]) == f"saga name {name!r} {rule}"


def test_a_name_may_have_64_characters():
    assert SagaStep("a" * 64, does_nothing).name == "a" * 64


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("action", None, "must be a function that takes the context"),
        ("action", "charge", "must be a function that takes the context"),
        ("compensation", 7, "must be a function that takes the context"),
        ("verify", "charge", "must be a function that takes the context"),
        ("timeout", 0, "must be more than 0, not 0"),
        ("timeout", -1.5, "must be more than 0, not -1.5"),
        ("timeout", None, "must be a number, not None"),
        ("timeout", "30", "must be a number, not '30'"),
        ("timeout", NAN, "must be a number, not nan"),
        ("timeout", float("inf"), "must be a number, not inf"),
        ("timeout", True, "must be a number, not True"),
        ("timeout", 1e300, YEAR),
        ("patience", 0, "must be more than 0, not 0"),
        ("patience", 1e300, YEAR),
        ("compensation_timeout", 0, "must be more than 0, not 0"),
        ("compensation_timeout", "1", "must be a number, not '1'"),
        ("retry_delay", -1, "must be at least 0, not -1"),
        ("retry_delay", None, "must be a number, not None"),
        ("max_delay", -1, "must be at least 0, not -1"),
        ("max_delay", 1e300, YEAR),
        ("backoff", 0.5, "must be at least 1, not 0.5"),
        ("retry_count", -1, "must be a whole number of at least 0, not -1"),
        ("retry_count", 1.5, "must be a whole number of at least 0, not 1.5"),
        ("retry_count", None, "must be a whole number of at least 0, not None"),
        ("retry_count", True, "must be a whole number of at least 0, not True"),
        ("compensation_retry_count", -1, "must be a whole number of at least 0, not -1"),
        ("jitter", 1, "must be True or False"),
        ("idempotent", None, "must be True or False"),
        ("transactional", "yes", "must be True or False"),
        ("pivot", 0, "must be True or False"),
        ("optional", 1, "must be True or False"),
        ("wording", "done", "must be a mapping of keys to templates"),
    ],
)
def test_a_bad_value_of_a_step_is_refused(field, value, cure):
    fields = {"action": does_nothing, field: value}

    assert why(SagaStep, "charge", **fields) == f"step 'charge': {field} {cure}"


NO_PLAIN_NAME = "has a placeholder that is not a plain name; write {key} or {key:format}"
KNOWN_FORMATS = "known formats: money, datetime, date, time"
NO_TEXT = "must be a text or a lazy translation without a plural"
BAD_TEMPLATES = [
    ("", "must not be empty"),
    (7, NO_TEXT),
    (None, NO_TEXT),
    (does_nothing, NO_TEXT),
    (gettext_lazy(""), "must not be empty"),
    (ngettext_lazy("one", "many", 1), NO_TEXT),
    (ngettext_lazy("one", "many", "n"), NO_TEXT),
    ("{", "cannot be parsed, '{': Single '{' encountered in format string"),
    ("}", "cannot be parsed, '}': Single '}' encountered in format string"),
    ("{}", f"cannot be parsed, '{{}}': {NO_PLAIN_NAME}"),
    ("{0}", f"cannot be parsed, '{{0}}': {NO_PLAIN_NAME}"),
    ("{a.b}", f"cannot be parsed, '{{a.b}}': {NO_PLAIN_NAME}"),
    ("{a[b]}", f"cannot be parsed, '{{a[b]}}': {NO_PLAIN_NAME}"),
    ("{a!r}", f"cannot be parsed, '{{a!r}}': {NO_PLAIN_NAME}"),
    ("{a b}", f"cannot be parsed, '{{a b}}': {NO_PLAIN_NAME}"),
    ("{a:.2f}", f"cannot be parsed, '{{a:.2f}}': has the unknown format '.2f'; {KNOWN_FORMATS}"),
    ("{a:{b}}", f"cannot be parsed, '{{a:{{b}}}}': has the unknown format '{{b}}'; {KNOWN_FORMATS}"),
    (gettext_lazy("{a.b}"), f"cannot be parsed, '{{a.b}}': {NO_PLAIN_NAME}"),
    (pgettext_lazy("a step", "{a.b}"), f"cannot be parsed, '{{a.b}}': {NO_PLAIN_NAME}"),
]


@pytest.mark.parametrize(("template", "cure"), BAD_TEMPLATES)
def test_a_bad_template_is_refused(template, cure):
    message = why(SagaStep, "charge", does_nothing, wording={"doing": "Charging.", "done": template})

    assert message == f"step 'charge': wording for 'done' {cure}"


def test_an_unknown_wording_key_is_refused_with_the_known_ones():
    message = why(SagaStep, "charge", does_nothing, wording={"failed": "Not charged."})

    known = (
        "doing, done, in_doubt, refused, compensating, compensated, compensation_in_doubt, not_compensated, by_hand, "
        "to_do, to_compensate, name"
    )
    assert message == f"step 'charge': wording has the unknown key 'failed'; known keys: {known}"


def test_the_name_of_a_step_has_no_placeholder():
    message = why(SagaStep, "charge", does_nothing, wording={"name": gettext_lazy("Charge of {amount:money}")})

    assert message == (
        "step 'charge': wording for 'name' must not have a placeholder: names are also shown without a context"
    )


def test_wording_does_not_change_the_hash_of_a_step():
    worded = SagaStep("charge", does_nothing, wording={"done": gettext_lazy("Charged {amount:money}.")})

    assert hash(worded) == hash(SagaStep("charge", does_nothing))


async def coroutine(context):
    """An async step."""


async def async_generator(context):
    yield


class AsyncCallable:
    async def __call__(self, context):
        """An async step."""

    async def method(self, context):
        """An async step."""


@pytest.mark.parametrize("field", ["action", "compensation", "verify"])
@pytest.mark.parametrize(
    "function",
    [coroutine, async_generator, AsyncCallable(), AsyncCallable().method, partial(coroutine), partial(AsyncCallable())],
    ids=["function", "generator", "callable", "method", "partial", "partial of a callable"],
)
def test_an_async_function_is_refused(field, function):
    message = why(SagaStep, "charge", **{"action": does_nothing, field: function})

    assert message == (
        f"step 'charge': {field} must not be async: steps run in threads. "
        "Define it with `def`, and call async code with asyncio.run"
    )


@pytest.mark.parametrize("keyword", ["breaker", "provider"])
def test_an_unknown_keyword_is_a_type_error(keyword):
    with pytest.raises(TypeError, match=keyword):
        SagaStep("charge", does_nothing, **{keyword: "payments"})


def test_a_pivot_cannot_be_optional():
    message = why(SagaStep, "pay", does_nothing, pivot=True, optional=True)

    assert message == "step 'pay': optional must be False for a pivot: the saga depends on its success"


def test_a_step_is_frozen():
    with pytest.raises(AttributeError):
        SagaStep("a", does_nothing).timeout = 5


def test_a_compensation_inherits_the_timeout_and_at_least_three_retries():
    plain = SagaStep("a", does_nothing, timeout=5, retry_count=1)
    more = SagaStep("a", does_nothing, retry_count=7)
    own = SagaStep("a", does_nothing, compensation_timeout=60, compensation_retry_count=0)

    assert (plain.effective_compensation_timeout, plain.effective_compensation_retry_count) == (5, 3)
    assert (more.effective_compensation_timeout, more.effective_compensation_retry_count) == (30.0, 7)
    assert (own.effective_compensation_timeout, own.effective_compensation_retry_count) == (60, 0)


A = SagaStep("a", does_nothing, does_nothing)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "steps must hold at least one SagaStep"),
        (None, "steps must be a sequence of SagaStep"),
        ("abc", "steps must be a sequence of SagaStep"),
        (7, "steps must be a sequence of SagaStep"),
        ([A, does_nothing], "steps must be SagaStep, not function"),
        ([A, A], "two steps are named 'a'; names must be unique"),
        (
            [SagaStep("p", does_nothing, pivot=True), SagaStep("q", does_nothing, pivot=True)],
            "it has 2 pivots; at most one is allowed",
        ),
        (
            [SagaStep("p", does_nothing, pivot=True), A],
            "step 'a' has a compensation, but steps after the pivot are never compensated",
        ),
    ],
)
def test_bad_steps_of_a_saga_are_refused(steps, message):
    assert why(Saga, "trip", steps) == f"saga 'trip': {message}"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", dict, "schema must be a DRF Serializer class"),
        ("schema", "Input", "schema must be a DRF Serializer class"),
        ("priority", 7, "priority must be a Priority, not 7"),
        ("priority", "high", "priority must be a Priority, not 'high'"),
        ("references", "sale", "references must be a sequence of context keys"),
        ("references", 7, "references must be a sequence of context keys"),
        ("references", [7], "references must hold context keys: strings that are not empty"),
        ("personal", "name", "personal must be a sequence of context keys"),
        ("personal", [""], "personal must hold context keys: strings that are not empty"),
        ("on_change", "follow", "on_change must be a function (execution, old, new)"),
        ("wording", "booked", "wording must be a mapping of keys to templates"),
        ("wording", {"confirmed": "{}"}, f"wording for 'confirmed' cannot be parsed, '{{}}': {NO_PLAIN_NAME}"),
        (
            "wording",
            {"gone": "Not booked."},
            "wording has the unknown key 'gone'; known keys: processing, confirmed, failed, checking",
        ),
    ],
)
def test_a_bad_value_of_a_saga_is_refused(field, value, message):
    assert why(Saga, "trip", [A], **{field: value}) == f"saga 'trip': {message}"


def test_a_saga_is_a_sequence_of_steps():
    other = SagaStep("b", does_nothing)
    saga = Saga("trip", (step for step in [A, other]), priority=2)

    assert list(saga) == [A, other]
    assert (len(saga), saga[0], saga[-1], list(saga[:1])) == (2, A, other, [A])
    assert (A in saga, saga.index(other), saga.names) == (True, 1, ("a", "b"))
    assert saga.priority is Priority.HIGH
    assert repr(saga) == "Saga('trip', ['a', 'b'])"


def test_only_sagas_with_unique_names_are_registered():
    saga = Saga("trip", [A])
    try:
        assert register(saga) is saga
        assert register(saga) is saga
        assert why(register, Saga("trip", [A])) == "saga 'trip' is already registered; names must be unique"
        assert why(register, [A]) == "register() requires a Saga, not a list"
    finally:
        unregister("trip")
