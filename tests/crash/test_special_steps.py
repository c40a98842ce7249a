"""Special kinds of steps keep their promises wherever their process crashes."""

from dataclasses import replace

import pytest

from sagas import SagaState
from sagas.definition.states import Outcome
from sagas.models import SagaExecution, StepRun
from sagas.testing import CrashTest, Effect, assert_survives_crashes
from tests.support.toys import ToyProviders, act_slowly, look, nothing, operation, refuse, step, toy

pytestmark = pytest.mark.django_db(transaction=True)


def survives(*steps, world=None):
    return assert_survives_crashes(toy(*steps), nothing, world or ToyProviders())


def states_of(trials):
    return {trial.state for trial in trials}


def test_a_step_that_must_not_run_twice_does_not_run_twice():
    trials = survives(step("first"), step("launch", operation, idempotent=False), step("last"))

    assert states_of(trials) == {SagaState.SUCCEEDED, SagaState.FAILED}


@pytest.mark.prove
def test_a_step_that_must_not_run_twice_and_can_be_asked_about_succeeds():
    trials = survives(step("launch", operation, idempotent=False, verify=look), step("last"))

    # If the provider reports no effect, a step that was marked as begun is not called again.
    assert states_of(trials) == {SagaState.SUCCEEDED, SagaState.FAILED}
    failed = [trial.saga_id for trial in trials if trial.state is SagaState.FAILED]
    runs = StepRun.objects.filter(execution__saga_id__in=failed, direction="verify")
    assert {run.outcome for run in runs} == {Outcome.FAILED}


@pytest.mark.prove
def test_nothing_is_undone_after_the_point_of_no_return():
    trials = survives(step("first"), step("turn", compensation=None, pivot=True), step("last", compensation=None))

    assert states_of(trials) == {SagaState.SUCCEEDED}


def test_a_failure_after_the_point_of_no_return_is_held():
    trials = survives(step("turn", compensation=None, pivot=True), step("last", refuse, None))

    assert states_of(trials) == {SagaState.IN_PROGRESS}
    assert not SagaExecution.objects.filter(held="").exists()


@pytest.mark.prove
def test_a_pending_step_goes_on_from_what_it_last_reported():
    trials = survives(step("slow", act_slowly), step("last"))

    assert states_of(trials) == {SagaState.SUCCEEDED}


@pytest.mark.prove
def test_a_pending_step_is_undone_when_a_later_one_fails():
    trials = survives(step("slow", act_slowly), step("last", refuse))

    assert states_of(trials) == {SagaState.FAILED}


@pytest.mark.prove
def test_an_optional_step_that_fails_is_passed_over():
    trials = survives(step("first"), step("extra", refuse, None, optional=True), step("last"))

    assert states_of(trials) == {SagaState.SUCCEEDED}


@pytest.mark.prove
def test_an_undo_that_is_refused_leaves_what_it_reports():
    trials = survives(step("first"), step("stuck", compensation=refuse), step("last", refuse))

    assert states_of(trials) == {SagaState.PARTIALLY_COMPENSATED}


@pytest.mark.prove
def test_a_saga_of_all_kinds_survives_two_deaths():
    kinds = [step("first"), step("launch", operation, idempotent=False), step("slow", act_slowly)]
    points = CrashTest(toy(*kinds, step("last", refuse)), nothing, ToyProviders())
    deaths = range(2, len(points.crash_points()) + 1, 9)

    assert [str(trial) for trial in points.pairs(deaths, every=5) if trial.violations] == []


def test_the_proof_notices_an_effect_that_a_crash_doubles():
    with pytest.raises(AssertionError) as caught:
        survives(step("careless", operation))

    # This happens once: at the crash between the effect and its checkpoint.
    assert "I1: careless took effect 2 times, not 1 to 1 times" in str(caught.value)


class Forgetful(ToyProviders):
    """Toy providers that compensate without removing the effect."""

    def effect(self, key):
        return replace(super().effect(key), compensated=0, remains=True)


def test_the_proof_notices_what_remains_after_a_failure():
    with pytest.raises(AssertionError) as caught:
        CrashTest(toy(step("first"), step("last", refuse)), nothing, Forgetful()).crash_points()

    assert "I2: the effect of first remains" in str(caught.value)


class Doubling(ToyProviders):
    """Toy providers that apply each compensation twice."""

    def effect(self, key):
        return Effect(done=1, compensated=2)


def test_the_proof_notices_an_undo_that_takes_effect_twice():
    with pytest.raises(AssertionError) as caught:
        CrashTest(toy(step("first"), step("last", refuse)), nothing, Doubling()).crash_points()

    assert "I5: first was compensated 2 times" in str(caught.value)
