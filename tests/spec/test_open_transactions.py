"""Trap 7, reversed: a transaction that a step leaves open loses the step's own writes and harms no other work."""

import sys
import time

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction

from integrations.models import SandboxFault
from sagas import SagaState, StepFailed
from tests.support import run, story

pytestmark = pytest.mark.django_db(transaction=True)

LEFT_OPEN = "the step left a transaction open, which was rolled back"


def without_autocommit():
    transaction.set_autocommit(False)


def atomic():
    transaction.atomic().__enter__()


def by_hand():
    """Begin a transaction without Django's knowledge."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")


@pytest.fixture(params=[without_autocommit, atomic, by_hand])
def opens(request):
    """Make a step function that begins a transaction, writes in it, and leaves it open."""

    def function(outcome):
        def step(context):
            request.param()
            Group.objects.create(name="books")
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return step

    return function


def test_a_step_that_leaves_a_transaction_open_is_in_doubt(stage, opens):
    execution = run(stage.step("a", opens({"id": 7}), {"id": 8}), stage.step("b"))

    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded", "b action 1 succeeded"]
    first = execution.step_executions.first()
    assert (first.error_type, first.error_message, first.changes) == ("OutcomeUnknown", LEFT_OPEN, {})
    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"id": 8}
    assert not Group.objects.exists()
    assert not connection.in_atomic_block
    assert connection.get_autocommit()


def test_a_step_that_fails_and_leaves_a_transaction_open_has_failed(stage, opens):
    execution = run(stage.step("a"), stage.step("b", opens(StepFailed("no such account"))))

    assert stage.told == ["a", "b", "a.undo"]
    assert execution.state is SagaState.FAILED
    assert execution.step_executions[1].error_message == "no such account"
    assert not Group.objects.exists()


def test_an_undo_that_leaves_a_transaction_open_is_made_again(stage, opens):
    execution = run(stage.step("a", undo=[opens({}), {}]), stage.step("b", StepFailed("no")))

    assert execution.state is SagaState.FAILED
    assert story(execution)[2:] == ["a compensation 1 uncertain", "a compensation 2 succeeded"]
    assert not Group.objects.exists()


@pytest.mark.untraced
@pytest.mark.django_db(transaction=True, databases=["default", "sandbox"])
def test_an_interrupted_block_on_another_database_loses_no_later_write(stage):
    def wait_at_the_end(frame, event, argument):
        if frame.f_code is transaction.Atomic.__exit__.__code__:
            sys.settrace(None)
            time.sleep(30)

    def write(remaining):
        faults = SandboxFault.objects.using("sandbox")
        faults.create(port="payments", operation="charge", mode="refuse", remaining=remaining)

    def cut_off(context):
        with transaction.atomic(using="sandbox"):
            write(1)
            sys.settrace(wait_at_the_end)

    def in_time(context):
        with transaction.atomic(using="sandbox"):
            write(2)

    execution = run(stage.step("a", cut_off, in_time, timeout=0.3))
    connections["sandbox"].close()
    del connections["sandbox"]

    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]
    assert list(SandboxFault.objects.using("sandbox").values_list("remaining", flat=True)) == [2]
