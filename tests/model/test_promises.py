"""The model keeps its promises, and each promise breaks when a rule that it depends on is left out."""

import os

import pytest

from .mutants import BREACHES, ENGINE, TO_THE_END, without
from .tlc import STATES, STEPS, check, lacking

pytestmark = [pytest.mark.prove, pytest.mark.once]


@pytest.fixture(autouse=True)
def _tools():
    if missing := lacking():
        (pytest.fail if "CI" in os.environ else pytest.skip)(missing)


def test_every_promise_holds_for_three_workers_and_five_faults(tmp_path):
    answer = check(ENGINE, tmp_path)

    print(f"{answer.states} states")
    assert answer.broken == "", answer.trace
    assert answer.states > 100_000


def test_a_saga_ends_although_its_owner_dies_or_is_paused_for_good(tmp_path):
    answer = check(TO_THE_END, tmp_path)

    print(f"{answer.states} states")
    assert answer.broken == "", answer.trace
    assert answer.states > 1_000


@pytest.mark.parametrize(("rule", "promise"), BREACHES)
def test_without_the_rule_the_promise_is_broken(rule, promise, tmp_path):
    answer = check(without(rule, promise), tmp_path)

    print(f"without {rule}: {answer.broken} is violated after {' '.join(answer.actions)} ({answer.states} states)")
    assert answer.broken == promise
    assert answer.actions


def test_no_promise_is_idle():
    assert {promise for _, promise in BREACHES} == {*STATES, *STEPS, *TO_THE_END.promises}
