"""Promise 17 and the orchestrator's methods: ids, input, waiting and queries."""

import uuid
from decimal import Decimal

import pytest
from rest_framework import serializers

from sagas import DefinitionError, InvalidInput, Priority, Saga, SagaConflict, SagaState, StepFailed, UnknownSaga
from sagas.definition.exceptions import UnknownExecution
from sagas.models import SagaExecution
from tests.support import new_id, run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("call", ["start", "execute"])
def test_the_same_id_with_the_same_input_is_the_same_execution(stage, registered, orchestrator, call):
    registered(stage.step("a"))
    first = orchestrator.execute("once", "trip", context={"a": 1, "b": Decimal("2.0")})

    again = getattr(orchestrator, call)("once", "trip", context={"b": "2.0", "a": 1})

    assert again.pk == first.pk
    assert again.state is SagaState.SUCCEEDED
    assert stage.told == ["a"]


@pytest.mark.parametrize("call", ["start", "execute"])
@pytest.mark.parametrize(("name", "context"), [("trip", {"a": 2}), ("trip", {}), ("tour", {"a": 1})])
def test_the_same_id_with_another_saga_or_input_is_a_conflict(stage, registered, orchestrator, call, name, context):
    registered(stage.step("a"))
    registered(stage.step("a"), name="tour")
    orchestrator.start("taken", "trip", context={"a": 1})

    with pytest.raises(SagaConflict) as error:
        getattr(orchestrator, call)("taken", name, context=context)

    assert str(error.value) == "'taken' is already a trip execution with other input; use a new id."
    assert (error.value.saga_id, error.value.saga_name) == ("taken", "trip")
    assert SagaExecution.objects.count() == 1
    assert stage.told == []


def test_an_execution_without_an_id_gets_a_random_one(stage, orchestrator):
    execution = orchestrator.execute(None, "trip", [stage.step("a")])

    assert str(uuid.UUID(execution.saga_id)) == execution.saga_id


@pytest.mark.parametrize("saga_id", ["", " ", "a b", "a/b", "é", "a" * 151, "a\n", "a\x00", 7, ".", ".."])
def test_a_bad_id_is_refused(stage, saga_id, orchestrator):
    with pytest.raises(InvalidInput) as error:
        orchestrator.execute(saga_id, "trip", [stage.step("a")])

    assert error.value.errors == {"saga_id": "must be 1 to 150 characters of A-Z a-z 0-9 . _ : ~ -, and not . or .."}
    assert not SagaExecution.objects.exists()


def test_an_id_may_have_150_characters(stage):
    longest = "Az9._:~-" * 18 + "abcdef"

    execution = run(stage.step("a" * 64, undo=[StepFailed("no")]), saga_id=longest)

    assert len(longest) == 150
    assert execution.state is SagaState.SUCCEEDED
    assert len(stage.keys[0]) == 217


def test_an_unregistered_saga_is_refused(registered, stage, orchestrator):
    registered(stage.step("a"), name="a_known_one")

    for call in (orchestrator.execute, orchestrator.start):
        with pytest.raises(UnknownSaga) as error:
            call("x", "unheard_of")
        assert str(error.value) == (
            "No saga named 'unheard_of' is registered (registered: a_known_one, collect_payment, create_booking)."
        )


def test_steps_of_another_saga_are_refused(stage, orchestrator):
    with pytest.raises(DefinitionError) as error:
        orchestrator.execute("x", "trip", Saga("tour", [stage.step("a")]))

    assert str(error.value) == "saga_name is 'trip', but the steps are those of saga 'tour'"


def test_a_queued_saga_must_be_registered(stage, orchestrator):
    with pytest.raises(UnknownSaga):
        orchestrator.start("x", "trip", [stage.step("a")])


def test_queued_steps_must_be_registered(stage, registered, orchestrator):
    registered(stage.step("a"))

    with pytest.raises(DefinitionError) as error:
        orchestrator.start("x", "trip", [stage.step("a"), stage.step("b")])

    assert str(error.value) == "saga 'trip': workers know no step 'b'; register it, or use execute()"
    assert not SagaExecution.objects.exists()


def test_some_of_the_registered_steps_can_be_queued(stage, registered, orchestrator):
    saga = registered(stage.step("a"), stage.step("b"))

    orchestrator.start("x", "trip", [saga.step("b")])

    assert orchestrator.resume("x").steps_completed == ["b"]
    assert stage.told == ["b"]


@pytest.mark.parametrize("priority", [7, -1, "high"])
def test_an_unknown_priority_is_refused(stage, orchestrator, priority):
    with pytest.raises(InvalidInput) as error:
        orchestrator.execute("x", "trip", [stage.step("a")], priority=priority)

    assert error.value.errors == {"priority": f"must be one of 0 (LOW), 1 (NORMAL), 2 (HIGH), not {priority!r}"}


def test_the_priority_defaults_to_that_of_the_saga(stage, registered, orchestrator):
    registered(stage.step("a"), priority=Priority.HIGH)

    assert orchestrator.start(new_id(), "trip").priority == Priority.HIGH
    assert orchestrator.start(new_id(), "trip", priority=0).priority == Priority.LOW


def test_each_rank_of_priority_is_worth_one_ageing(stage, registered, orchestrator):
    registered(stage.step("a"))
    low, high = (orchestrator.start(new_id(), "trip", priority=priority) for priority in (0, 2))
    ranks = [SagaExecution.objects.get(pk=one.pk) for one in (low, high)]

    assert round((ranks[0].rank_at - ranks[0].due_at).total_seconds()) == 0
    assert round((ranks[1].due_at - ranks[1].rank_at).total_seconds()) == 1200


class Input(serializers.Serializer):
    sale = serializers.CharField(max_length=5)
    amount = serializers.DecimalField(max_digits=8, decimal_places=2)
    when = serializers.DateTimeField(required=False)
    items = serializers.ListField(child=serializers.IntegerField(), required=False)


def test_the_validated_input_is_stored(stage, registered, orchestrator):
    saga = registered(stage.step("a"), schema=Input)
    given = {"sale": " S1 ", "amount": "7.5", "when": "2026-12-01T10:00:00-03:00"}
    execution = orchestrator.execute(new_id(), "trip", saga, context=given)

    kept = {"sale": "S1", "amount": "7.50", "when": "2026-12-01T10:00:00-03:00"}
    assert execution.input == kept
    assert stage.calls[0].context == kept


@pytest.mark.parametrize(
    ("context", "errors"),
    [
        ({}, {"sale": "This field is required.", "amount": "This field is required."}),
        (None, {"sale": "This field is required.", "amount": "This field is required."}),
        ({"sale": "S1", "amount": "much"}, {"amount": "A valid number is required."}),
        (
            {"sale": "S1", "amount": 1, "items": [1, "x"]},
            {"items.1": "A valid integer is required."},
        ),
        (
            {"sale": "S1", "amount": 1, "seal": "S1"},
            {"seal": "is not an input of trip; its inputs are sale, amount, when, items"},
        ),
    ],
)
def test_invalid_input_is_refused_by_key(stage, registered, orchestrator, context, errors):
    registered(stage.step("a"), schema=Input)

    for call in (orchestrator.execute, orchestrator.start):
        with pytest.raises(InvalidInput) as error:
            call("x", "trip", context=context)
        assert error.value.errors == errors
        assert str(error.value) == "; ".join(f"{key}: {sentence}" for key, sentence in errors.items())
    assert not SagaExecution.objects.exists()


class Leg(serializers.Serializer):
    seats = serializers.IntegerField()
    days = serializers.ListField(child=serializers.IntegerField(), required=False)


class Journey(serializers.Serializer):
    legs = Leg(many=True)

    def validate_legs(self, legs):
        crowded = [{"seats": ["Nine seats are the most."]} if leg["seats"] > 9 else {} for leg in legs]
        if any(crowded):
            raise serializers.ValidationError(crowded)
        return legs

    def validate(self, journey):
        if len(journey["legs"]) > 2:
            raise serializers.ValidationError(["Two legs are the most.", "Book the others apart."])
        return journey


@pytest.mark.parametrize(
    ("legs", "errors", "text"),
    [
        (
            [{"seats": 1}, {"seats": "x", "days": [1, 2, "y"]}],
            {"legs.1.seats": "A valid integer is required.", "legs.1.days.2": "A valid integer is required."},
            "legs.1.seats: A valid integer is required.; legs.1.days.2: A valid integer is required.",
        ),
        ("x", {"legs": 'Expected a list of items but got type "str".'}, None),
        ([{"seats": 1}, 7], {"legs.1": "Invalid data. Expected a dictionary, but got int."}, None),
        ([{"seats": 1}, {"seats": 10}], {"legs.1.seats": "Nine seats are the most."}, None),
        (
            [{"seats": 1}] * 3,
            {"": "Two legs are the most. Book the others apart."},
            "Two legs are the most. Book the others apart.",
        ),
    ],
)
def test_invalid_nested_input_is_refused_by_its_dotted_key(stage, registered, orchestrator, legs, errors, text):
    registered(stage.step("a"), schema=Journey)

    with pytest.raises(InvalidInput) as error:
        orchestrator.start("x", "trip", context={"legs": legs})

    assert error.value.errors == errors
    assert str(error.value) == (text or "; ".join(f"{key}: {sentence}" for key, sentence in errors.items()))
    assert not SagaExecution.objects.exists()


class Strict(serializers.Serializer):
    sale = serializers.CharField(max_length=3)


@pytest.mark.parametrize("call", ["start", "execute"])
def test_a_repeated_start_returns_the_execution_if_its_input_is_now_bad(stage, registered, orchestrator, call):
    registered(stage.step("a"))
    orchestrator.execute("once", "trip", context={"sale": "S-100"})
    registered(stage.step("a"), schema=Strict)

    assert getattr(orchestrator, call)("once", "trip", context={"sale": "S-100"}).state is SagaState.SUCCEEDED
    for saga_id, sale in [("once", "S-200"), ("other", "S-100"), ("no id", "S-100")]:
        with pytest.raises(InvalidInput) as error:
            getattr(orchestrator, call)(saga_id, "trip", context={"sale": sale})
        assert error.value.errors == {"sale": "Ensure this field has no more than 3 characters."}
    assert stage.told == ["a"]
    assert SagaExecution.objects.count() == 1


def test_a_queued_execution_runs_under_its_id(stage, registered, orchestrator):
    saga = registered(stage.step("a"))
    execution = orchestrator.start("queued", "trip")
    assert (execution.state, execution.started_at, execution.duration()) == (SagaState.PENDING, None, 0.0)

    execution = orchestrator.execute("queued", "trip", saga)

    assert execution.state is SagaState.SUCCEEDED
    assert execution.started_at
    assert execution.duration() >= 0.0
    assert execution.success_rate() == 1.0


def test_wait_returns_after_its_timeout(stage, registered, orchestrator):
    registered(stage.step("a"))
    orchestrator.start("waited", "trip")

    assert orchestrator.wait("waited", 0.05).state is SagaState.PENDING
    orchestrator.resume("waited")
    assert orchestrator.wait("waited", 60).state is SagaState.SUCCEEDED


def test_an_unknown_id_is_refused(orchestrator):
    assert orchestrator.get_status("nobody") is None
    assert orchestrator.get_status("no\x00body") is None
    for call in (orchestrator.cancel, orchestrator.resume, orchestrator.retry_failed, orchestrator.acknowledge):
        with pytest.raises(UnknownExecution) as error:
            call("nobody")
        assert str(error.value) == "There is no execution 'nobody'."
    with pytest.raises(UnknownExecution):
        orchestrator.wait("nobody", 0)


def test_a_loaded_state_is_a_member_and_filters_accept_both(stage, orchestrator):
    run(stage.step("a"), saga_id="good")
    run(stage.step("a", StepFailed("no")), saga_id="bad")

    assert isinstance(orchestrator.get_status("good").state, SagaState)
    for state in (SagaState.FAILED, "failed"):
        assert [found.saga_id for found in orchestrator.list_executions(state)] == ["bad"]
        assert SagaExecution.objects.filter(state=state).get().saga_id == "bad"
    assert [found.saga_id for found in orchestrator.list_executions()] == ["bad", "good"]
    with pytest.raises(ValueError):
        orchestrator.list_executions("done")


def test_references_are_found_in_any_case(stage, registered, orchestrator):
    saga = registered(
        stage.step("a", {"payment": "PAY-7", "secret_note": "x"}), references=["mail", "payment", "number", "list"]
    )
    context = {"mail": " Ana@Example.com", "number": 7, "list": [1]}
    orchestrator.execute("found", "trip", saga, context=context)

    for value in ("ana@example.COM", "pay-7", 7, "7", "found"):
        assert [found.saga_id for found in SagaExecution.objects.referring_to(value)] == ["found"]
    assert not SagaExecution.objects.referring_to("x").exists()


def test_statistics_are_zero_while_nothing_has_finished(orchestrator):
    numbers = orchestrator.get_stats()

    assert numbers == {
        "total": 0,
        "by_state": {state.value: 0 for state in SagaState},
        "success_rate": 0.0,
        "avg_duration_seconds": 0.0,
        "p50_duration_seconds": 0.0,
        "p95_duration_seconds": 0.0,
        "sagas": {},
    }


def test_statistics_count_all_executions(stage, registered, orchestrator):
    registered(stage.step("a"))
    run(stage.step("a"))
    run(stage.step("a", StepFailed("no")))
    run(stage.step("a", StepFailed("no")), name="tour")
    orchestrator.start(new_id(), "trip")
    numbers = orchestrator.get_stats()

    assert numbers["total"] == 4
    assert numbers["success_rate"] == pytest.approx(1 / 3)
    assert numbers["by_state"]["failed"] == 2
    assert numbers["sagas"]["trip"]["success_rate"] == 0.5
    assert numbers["sagas"]["tour"]["total"] == 1
    assert 0.0 <= numbers["p50_duration_seconds"] <= numbers["p95_duration_seconds"] < 10
    assert orchestrator.print_stats().splitlines()[0].startswith("all")
