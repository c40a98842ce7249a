"""Bulk operations are previewed, confirmed once, and carried out in small groups."""

import threading
import uuid
from collections import Counter
from decimal import Decimal
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models.expressions import RawSQL
from django.utils import translation

from sagas import RetryLater, StepFailed, signals
from sagas.definition.states import Direction
from sagas.models import BulkItem, BulkOperation, SagaEvent, SagaExecution
from sagas.operations import Actor, Operation, bulk, perform
from sagas.testing import drain
from sagas.testing.child_process import run_in_child
from sagas.testing.crash_points import CRASHED, CrashPointCounter, watch_commits
from tests.support import run

BY = Actor(name="ana", source="cli")
MOVED = "it has changed since you looked at it. Look again, then decide."


@pytest.fixture
def failed(stage, registered, db):
    """Return a function that creates executions that failed at their last step. Then the step is fixed."""

    def fail(count):
        charge = stage.step("charge", money="amount")
        steps = (charge, stage.step("ship", StepFailed("no ship")))
        pks = [run(*steps, saga_id=f"f-{number}", context={"amount": "10.50"}).pk for number in range(count)]
        registered(charge, stage.step("ship"))
        stage.calls.clear()
        return pks

    return fail


def confirmed(operation, pks, token=None):
    """Preview the bulk operation and confirm it at once; return the confirmed operation."""
    rows = bulk.plan(operation, pks).rows
    return bulk.confirm(token or uuid.uuid4(), operation, rows, reason="the ship is back", by=BY)


def results(bulk_operation):
    return Counter(bulk_operation.items.values_list("status", "sentence"))


def retries():
    return Counter(SagaEvent.objects.filter(kind="retry").values_list("execution__saga_id", flat=True))


def test_a_preview_counts_the_calls_and_sums_the_money(failed):
    preview = bulk.plan(Operation.RETRY, failed(3))

    assert preview.calls == {("charge", Direction.ACTION): 3, ("ship", Direction.ACTION): 3}
    assert preview.money == {(Direction.ACTION, "BRL"): Decimal("31.50")}
    assert (len(preview.rows), preview.refused, preview.unknown_amounts) == (3, {}, 0)
    assert preview.moves_money


def test_a_preview_sums_money_by_direction_and_currency(stage, registered, db):
    saga = registered(
        stage.step("charge", undo=[StepFailed("no refund")], money="amount"), stage.step("ship", StepFailed("no ship"))
    )
    inputs = ({"amount": "10", "currency": "EUR"}, {"amount": 5}, {"amount": "7.50"}, {"amount": "much"}, {})
    not_undone = [run(*saga, context=given).pk for given in inputs]

    preview = bulk.plan(Operation.RETRY, not_undone)

    assert preview.calls == {("charge", Direction.COMPENSATION): 5}
    assert preview.money == {
        (Direction.COMPENSATION, "EUR"): Decimal(10),
        (Direction.COMPENSATION, "BRL"): Decimal("12.50"),
    }
    assert preview.unknown_amounts == 2


def test_a_preview_groups_refused_executions_by_reason(failed, stage):
    pks = failed(2)
    done = [run(stage.step("a"), saga_id=f"done-{number}") for number in range(2)]
    stranger = run(stage.step("a", StepFailed("no")), saga_id="stranger", name="forgotten")

    preview = bulk.plan(Operation.RETRY, [*pks, *(execution.pk for execution in done), stranger.pk])

    assert preview.rows == [(pk, SagaExecution.objects.get(pk=pk).version) for pk in pks]
    assert preview.refused == {
        "it can be retried only after it failed, and it is “Succeeded”.": [(e.pk, e.saga_id) for e in done],
        "no saga named 'forgotten' is registered here.": [(stranger.pk, "stranger")],
    }


def test_an_unreadable_execution_is_left_out_of_the_preview(failed):
    pks = failed(5)
    SagaExecution.objects.filter(pk=pks[3]).update(context=RawSQL("%s", ["{"]))

    preview = bulk.plan(Operation.RETRY, pks)

    assert [pk for pk, _ in preview.rows] == [pk for pk in pks if pk != pks[3]]
    assert preview.unreadable == [(pks[3], "f-3")]


@pytest.mark.parametrize(
    "operation",
    [Operation.RETRY, Operation.HOLD, Operation.RELEASE, Operation.ACKNOWLEDGE, Operation.VERIFY, Operation.CANCEL],
)
def test_a_preview_of_a_hundred_executions_takes_three_queries(failed, operation, django_assert_num_queries):
    pks = failed(30)
    for pk in pks[:10]:
        perform(Operation.RETRY, SagaExecution.objects.get(pk=pk).saga_id)
        perform(Operation.HOLD, SagaExecution.objects.get(pk=pk).saga_id)

    with django_assert_num_queries(3):
        bulk.plan(operation, pks)


def test_the_preview_of_a_release_counts_all_calls_that_follow(stage, registered, orchestrator, db):
    registered(stage.step("order"), stage.step("charge", money="amount"), stage.step("ship"))
    held = orchestrator.start("held", "trip", context={"amount": "7"})
    perform(Operation.HOLD, "held", reason="wait")

    preview = bulk.plan(Operation.RELEASE, [held.pk])

    assert preview.calls == dict.fromkeys(
        [("order", Direction.ACTION), ("charge", Direction.ACTION), ("ship", Direction.ACTION)], 1
    )
    assert preview.money == {(Direction.ACTION, "BRL"): Decimal(7)}


def test_the_preview_of_a_released_rollback_counts_all_compensations(stage, registered, orchestrator, db):
    saga = registered(
        stage.step("charge", money="amount"),
        stage.step("order", undo=[RetryLater(3600)]),
        stage.step("ship", StepFailed("no ship")),
    )
    held = run(*saga, saga_id="held", context={"amount": "7"}, max_seconds=0.1)
    perform(Operation.HOLD, "held", reason="wait")

    preview = bulk.plan(Operation.RELEASE, [held.pk])

    assert preview.calls == {("order", Direction.COMPENSATION): 1, ("charge", Direction.COMPENSATION): 1}
    assert preview.money == {(Direction.COMPENSATION, "BRL"): Decimal(7)}


def test_a_preview_changes_nothing(failed):
    pks = failed(2)
    before = list(SagaExecution.objects.values())

    bulk.plan(Operation.RETRY, pks)

    assert list(SagaExecution.objects.values()) == before
    assert not BulkOperation.objects.exists()


def test_a_form_that_is_sent_twice_creates_one_bulk_operation(failed):
    pks, token = failed(3), uuid.uuid4()

    first, second = confirmed(Operation.RETRY, pks, token), confirmed(Operation.RETRY, pks, token)

    assert first == second
    assert (BulkOperation.objects.count(), BulkItem.objects.count()) == (1, 3)


def test_the_event_of_each_item_has_the_actor_and_the_reason(failed):
    failed_ones = failed(2)
    user = get_user_model().objects.create_superuser("ana")
    SagaExecution.objects.update(needs_attention=True)
    rows = bulk.plan(Operation.ACKNOWLEDGE, failed_ones).rows
    bulk_operation = bulk.confirm(
        uuid.uuid4(), Operation.ACKNOWLEDGE, rows, reason="seen", by=Actor(user=user, source="admin")
    )

    bulk.advance(bulk_operation)

    events = SagaEvent.objects.filter(kind="acknowledge").values_list("actor", "actor_name", "source", "reason")
    assert list(events) == [(user.pk, "ana", "admin", "seen")] * 2


def test_operations_that_call_providers_run_a_few_at_a_time(failed, settings, stage):
    settings.SAGAS = {"BULK_AT_ONCE": 4}
    bulk_operation = confirmed(Operation.RETRY, failed(10))
    seen = []

    for _ in range(10):
        bulk.advance(bulk_operation)
        seen.append(bulk.counts(bulk_operation))
        drain()

    assert [(now["running"], now["waiting"]) for now in seen[:4]] == [(4, 6), (4, 2), (2, 0), (0, 0)]
    assert bulk.counts(bulk_operation) == dict.fromkeys(bulk.PROGRESS, 0) | {"succeeded": 10}
    assert Counter(stage.told) == {"charge": 10, "ship": 10}


def test_a_held_item_makes_room_for_the_next(failed, settings):
    settings.SAGAS = {"BULK_AT_ONCE": 1}
    bulk_operation = confirmed(Operation.RETRY, failed(2))
    bulk.advance(bulk_operation)
    perform(Operation.HOLD, "f-0", reason="look at it")

    bulk.advance(bulk_operation)

    assert bulk.counts(bulk_operation) == dict.fromkeys(bulk.PROGRESS, 0) | {"running": 1, "needs_attention": 1}


@pytest.mark.parametrize("operation", [Operation.HOLD, Operation.ACKNOWLEDGE])
def test_operations_without_provider_calls_have_no_limit(failed, settings, operation):
    settings.SAGAS = {"BULK_AT_ONCE": 1}
    pks = failed(60)
    SagaExecution.objects.update(needs_attention=True)
    if operation is Operation.HOLD:
        for number in range(60):
            perform(Operation.RETRY, f"f-{number}")
    bulk_operation = confirmed(operation, pks)

    assert [bulk.advance_all(), bulk.advance_all(), bulk.advance_all()] == [True, True, False]

    assert results(bulk_operation) == {("done", ""): 60}
    bulk_operation.refresh_from_db()
    assert bulk_operation.finished_at is not None


def test_an_execution_that_changed_since_the_preview_is_refused(failed):
    bulk_operation = confirmed(Operation.RETRY, failed(3))
    perform(Operation.RETRY, "f-1", reason="somebody was quicker")

    bulk.advance(bulk_operation)

    assert results(bulk_operation) == {("done", ""): 2, ("refused", MOVED): 1}
    assert retries() == {"f-0": 1, "f-1": 1, "f-2": 1}


def test_two_bulk_operations_on_the_same_executions_run_once(failed):
    pks = failed(5)
    first, second = confirmed(Operation.RETRY, pks), confirmed(Operation.RETRY, pks)

    bulk.advance_all()

    assert results(first) == {("done", ""): 5}
    assert results(second) == {("refused", MOVED): 5}
    assert set(retries().values()) == {1}


def test_a_refusal_is_in_the_language_of_the_user_who_confirmed(stage, registered, db):
    def raise_the_language(execution, old, new):
        if old == "failed":
            raise ValueError(translation.get_language())

    saga = registered(stage.step("a", StepFailed("no")), on_change=raise_the_language)
    with translation.override("pt-br"):
        bulk_operation = confirmed(Operation.RETRY, [run(*saga).pk])

    bulk.advance(bulk_operation)

    assert bulk_operation.items.get().sentence.endswith("ValueError: pt-br")


def test_an_on_change_that_raises_refuses_only_its_own_item(stage, registered, db):
    def refuse(execution, old, new):
        if execution.saga_id == "f-1" and old == "failed":
            raise ValueError("not this one")

    steps = (stage.step("a", StepFailed("no")),)
    saga = registered(*steps, on_change=refuse)
    pks = [run(*saga, saga_id=f"f-{number}").pk for number in range(3)]
    bulk_operation = confirmed(Operation.RETRY, pks)

    bulk.advance(bulk_operation)

    sentence = "nothing was changed, because on_change raised an error: ValueError: not this one"
    assert results(bulk_operation) == {("done", ""): 2, ("refused", sentence): 1}
    assert retries() == {"f-0": 1, "f-2": 1}


def test_an_unreadable_execution_is_refused_and_the_others_go_on(failed):
    pks = failed(3)
    bulk_operation = confirmed(Operation.RETRY, pks)
    SagaExecution.objects.filter(pk=pks[1]).update(context=RawSQL("%s", ["{"]))

    bulk.advance(bulk_operation)

    statuses = list(bulk_operation.items.order_by("pk").values_list("status", flat=True))
    assert statuses == ["done", "refused", "done"]
    assert bulk_operation.items.get(status="refused").sentence.startswith("The column context cannot be read: ")


def test_the_beat_advances_unfinished_bulk_operations(failed):
    bulk_operation = confirmed(Operation.RETRY, failed(2))

    signals.beat.send_robust(None)

    assert results(bulk_operation) == {("done", ""): 2}


def test_a_beat_without_a_bulk_operation_is_one_query(db, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert bulk.advance_all() is False


@pytest.mark.django_db(transaction=True)
def test_a_crash_at_any_commit_repeats_nothing_and_loses_nothing(failed):
    pks = failed(3)
    bulk_operation = confirmed(Operation.RETRY, pks)

    def go_on(crash_at):
        counter = CrashPointCounter(crash_at)
        watch_commits(counter.reach)
        bulk.advance(bulk_operation)

    crashes = 0
    while run_in_child(partial(go_on, crashes + 1), expected_exit=CRASHED, patience=30).code == CRASHED:
        crashes += 1
        assert retries().total() == bulk_operation.items.filter(status="done").count()

    assert crashes > 3
    assert results(bulk_operation) == {("done", ""): 3}
    assert retries() == {"f-0": 1, "f-1": 1, "f-2": 1}


@pytest.mark.django_db(transaction=True)
def test_three_concurrent_workers_repeat_no_item_and_keep_the_limit(failed, settings):
    count = 40
    settings.SAGAS = {"BULK_AT_ONCE": 3}
    bulk_operation = confirmed(Operation.RETRY, failed(count))
    together, most = threading.Barrier(4), []

    def advance():
        together.wait(10)
        while not BulkOperation.objects.filter(pk=bulk_operation.pk, finished_at__isnull=False).exists():
            bulk.advance_all()
            most.append(bulk.counts(bulk_operation)["running"])
        connections.close_all()

    threads = [threading.Thread(target=advance) for _ in range(3)]
    for thread in threads:
        thread.start()
    together.wait(10)
    while any(thread.is_alive() for thread in threads):
        drain()
    for thread in threads:
        thread.join()
    drain()

    assert max(most) <= 3
    assert results(bulk_operation) == {("done", ""): count}
    assert set(retries().values()) == {1}
    assert bulk.counts(bulk_operation)["succeeded"] == count
