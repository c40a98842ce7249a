"""Trap 9: a step that kills its process is quarantined after MAX_RECOVERIES; all other work continues."""

import os
from functools import partial

import pytest

from sagas import SagaState
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import violations_of
from sagas.testing.child_process import run_in_child
from sagas.testing.crash_points import expire_lease
from tests.support.toys import ToyProviders, act_once, refuse, step, toy

pytestmark = pytest.mark.django_db(transaction=True)

KILLED = 70


def kill(context):
    act_once(context)
    os._exit(KILLED)


def kill_in_undo(context):
    os._exit(KILLED)


def executions_until_it_lives(saga):
    """Execute the saga until a process survives; return how many processes were killed before."""
    killed = 0
    while run_in_child(partial(execute, saga), expected_exit=KILLED, patience=30).code == KILLED:
        killed += 1
        assert killed < 10, "it goes on killing"
        expire_lease("poison")
    return killed


def execute(saga):
    get_saga_orchestrator().execute("poison", "toy", saga)


def wrong(saga):
    return violations_of(saga, "poison", ToyProviders().effects(SagaExecution.objects.get(saga_id="poison")))


def test_a_step_that_kills_its_process_is_undone_after_max_recoveries():
    saga = toy(step("first"), step("poison", kill), step("last"))

    assert executions_until_it_lives(saga) == 3

    execution = SagaExecution.objects.get()
    assert (execution.state, execution.failed_step) == (SagaState.FAILED, "poison")
    assert execution.needs_attention
    assert wrong(saga) == []
    assert get_saga_orchestrator().execute("other", "toy", toy(step("first"))).state is SagaState.SUCCEEDED


def test_an_undo_that_kills_its_process_is_held_after_max_recoveries():
    saga = toy(step("poison", compensation=kill_in_undo), step("last", refuse))

    assert executions_until_it_lives(saga) == 3

    execution = SagaExecution.objects.get()
    assert execution.state is SagaState.COMPENSATING
    assert execution.held == (
        "The compensation of step 'poison' keeps crashing its worker. "
        "Fix the cause, then release; or mark the step as resolved."
    )
    assert wrong(saga) == []
    assert get_saga_orchestrator().execute("other", "toy", toy(step("first"))).state is SagaState.SUCCEEDED


def test_a_released_undo_is_tried_again():
    executions_until_it_lives(toy(step("poison", compensation=kill_in_undo), step("last", refuse)))
    mended = toy(step("poison"), step("last", refuse))

    get_saga_orchestrator().release("poison", reason="mended")
    execution = get_saga_orchestrator().execute("poison", "toy", mended)

    assert execution.state is SagaState.FAILED
    assert wrong(mended) == []
