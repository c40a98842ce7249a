"""manage.py saga_prove: crash a registered saga at each crash point and report violations."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.core.management.base import CommandParser
from django.utils.module_loading import import_string

from sagas.conf import get_settings
from sagas.definition.registry import get_saga
from sagas.definition.saga import Saga
from sagas.engine import new_execution
from sagas.management.arguments import context_from
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.testing.databases import temporary_databases
from sagas.testing.proof import ScenarioResult, prove
from sagas.testing.providers import NoProviders, Providers

ID = "{saga_id}"
VALIDATED_ID = "validated-before-the-proof"
ROW = "{:<44} {:>6}  {:<36} {:>10}"


class Command(SagaCommand):
    """Run a saga to each possible outcome, and kill the process at each crash point."""

    help = (
        "Proves a registered saga in temporary databases: runs it into success and into the failure of each step and "
        "of each compensation, kills it before and after each commit and each call to a provider, recovers it, and "
        "compares its tables with what the providers report. Exits 0 if nothing is wrong, 1 otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add NAME and the options for its input."""
        parser.add_argument("name", metavar="NAME", help="the saga")
        parser.add_argument(
            "--context",
            metavar="JSON|@FILE|-",
            help=f"the input of each execution; {ID} is replaced by its id. Default: from SAGAS['PROOF_PROVIDERS']",
        )

    def run(self, options: dict[str, Any]) -> Exit:
        """Prove the saga and print a line for each scenario."""
        saga = get_saga(options["name"])
        providers: Providers = import_string(name)() if (name := get_settings().PROOF_PROVIDERS) else NoProviders()
        context = _context(saga, providers, options["context"])
        new_execution.new_execution(saga, VALIDATED_ID, context(VALIDATED_ID), None)
        logging.getLogger("sagas").setLevel(logging.CRITICAL)  # the crashes are intentional, so do not log them
        if isinstance(providers, NoProviders):
            self.console.say("SAGAS['PROOF_PROVIDERS'] is not set, so only the tables of sagas are checked.")
        self.console.say(ROW.format("scenario", "points", "outcomes", "violations"))
        with temporary_databases() as folder:
            results = [self._print(result) for result in prove(saga, context, providers, folder / "trace")]
        return self._conclude(saga, results)

    _printed: frozenset[str] = frozenset()

    def _print(self, result: ScenarioResult) -> ScenarioResult:
        outcomes = ", ".join(f"{count} {state}" for state, count in result.outcomes.items())
        self.console.say(ROW.format(result.scenario, result.points or "-", outcomes, len(result.violations)))
        for sentence in result.violations:
            if sentence not in self._printed:
                self.console.say(f"  ✗ {sentence}")
        self._printed |= set(result.violations)
        return result

    def _conclude(self, saga: Saga, results: list[ScenarioResult]) -> Exit:
        points, violations = sum(one.points for one in results), len(self._printed)
        code = Exit.ERROR if violations else Exit.SUCCEEDED
        self.console.say(f"{saga.name}: {points} crash points in {len(results)} scenarios, {violations} violations.")
        self.console.document(
            {
                "saga": saga.name,
                "points": points,
                "violations": violations,
                "scenarios": [vars(one) for one in results],
                "exit_code": int(code),
            }
        )
        return code


def _context(saga: Saga, providers: Providers, given: str | None) -> Callable[[str], Mapping[str, Any]]:
    if given is not None:
        text = json.dumps(context_from(given))
        return lambda saga_id: dict(json.loads(text.replace(ID, saga_id)))
    proposed: Any = getattr(providers, "input_for", lambda *_: {})
    return lambda saga_id: dict(proposed(saga.name, saga_id))
