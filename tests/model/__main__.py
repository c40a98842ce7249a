"""What the model says, as a table; or the counterexample of an engine without one rule.

python -m tests.model
python -m tests.model "the dead key"
"""

import argparse
import sys
import tempfile
from pathlib import Path

from .mutants import BREACHES, ENGINE, TO_THE_END, without
from .tlc import Answer, Question, check, lacking


def main() -> int:
    """Check the model, print the answers, and return the exit code."""
    options = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__.splitlines()[0])
    options.add_argument("rule", nargs="?", choices=sorted({rule for rule, _ in BREACHES}), metavar="RULE")
    rule = options.parse_args().rule
    if missing := lacking():
        print(missing, file=sys.stderr)
        return 2
    return tell_table() if rule is None else tell_counterexamples(rule)


def tell_table() -> int:
    """Check the engine and each mutant; return 1 if the engine breaks a promise or a mutant breaks none."""
    kept = [_row("the engine", question) for question in (ENGINE, TO_THE_END)]
    broken = [_row(f"without {rule}", without(rule, promise)) for rule, promise in BREACHES]
    return int(any(answer.broken for answer in kept) or not all(answer.broken for answer in broken))


def tell_counterexamples(rule: str) -> int:
    """Print, for each promise that depends on the rule, the states that lead to its violation."""
    for promise in [promise for name, promise in BREACHES if name == rule]:
        answer = ask(without(rule, promise))
        print(f"Without {rule}, {answer.broken or 'nothing'} is violated.\n{answer.trace}")
    return 0


def ask(question: Question) -> Answer:
    """Check the question in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sagas-model-") as folder:
        return check(question, Path(folder))


def _row(name: str, question: Question) -> Answer:
    answer = ask(question)
    bounds = f"{question.workers} workers, faults: {question.faults}"
    verdict = f"{answer.broken} violated in {len(answer.actions)} steps" if answer.broken else "all promises hold"
    print(f"{name:<32} {bounds:<20} {answer.states:>9,} states  {verdict}", flush=True)
    return answer


if __name__ == "__main__":
    sys.exit(main())
