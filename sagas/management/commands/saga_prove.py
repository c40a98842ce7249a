"""manage.py saga_prove: shows that a saga survives whatever happens to it, or what it does not survive."""

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
from sagas.management.exits import Exit
from sagas.testing.databases import databases_of_our_own
from sagas.testing.proof import Nowhere, Shown, prove

ID = "{saga_id}"
ROW = "{:<44} {:>6}  {:<36} {:>10}"


class Command(SagaCommand):
    """Runs a saga into each of its outcomes and kills it at each moment on the way."""

    help = (
        "Proves a registered saga in databases of its own: it runs into success and into the failure of each step and "
        "of each undo, is killed before and after each commit and each provider's call, and goes on; then the "
        "providers' ledger is compared with the saga's. Exits 0 if nothing is wrong, 1 if anything is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """NAME and its input."""
        parser.add_argument("name", metavar="NAME", help="the saga")
        parser.add_argument(
            "--context",
            metavar="JSON|@FILE|-",
            help=f"the input of each execution, in which {ID} stands for its id; else what SAGAS['WORLD'] proposes",
        )

    def run(self, options: dict[str, Any]) -> Exit:
        """Prove it, a line a scenario."""
        saga = get_saga(options["name"])
        world = import_string(name)() if (name := get_settings().WORLD) else Nowhere()
        context = _context(saga, world, options["context"])
        new_execution.new_execution(saga, "refused-here-if-at-all", context("refused-here-if-at-all"), None)
        logging.getLogger("sagas").setLevel(logging.CRITICAL)  # deaths are what this is about
        if isinstance(world, Nowhere):
            self.console.say("SAGAS['WORLD'] names no world, so only the tables of sagas can be looked at.")
        self.console.say(ROW.format("scenario", "points", "outcomes", "violations"))
        with databases_of_our_own() as folder:
            shown = [self._told(one) for one in prove(saga, context, world, folder / "notes")]
        return self._conclude(saga, shown)

    _said: frozenset[str] = frozenset()

    def _told(self, shown: Shown) -> Shown:
        outcomes = ", ".join(f"{count} {state}" for state, count in shown.outcomes.items())
        self.console.say(ROW.format(shown.scenario, shown.points or "-", outcomes, len(shown.violations)))
        for sentence in shown.violations:
            if sentence not in self._said:
                self.console.say(f"  ✗ {sentence}")
        self._said |= set(shown.violations)
        return shown

    def _conclude(self, saga: Saga, shown: list[Shown]) -> Exit:
        points, violations = sum(one.points for one in shown), len(self._said)
        code = Exit.ERROR if violations else Exit.SUCCEEDED
        self.console.say(f"{saga.name}: {points} crash points in {len(shown)} scenarios, {violations} violations.")
        self.console.document(
            {
                "saga": saga.name,
                "points": points,
                "violations": violations,
                "scenarios": [vars(one) for one in shown],
                "exit_code": int(code),
            }
        )
        return code


def _context(saga: Saga, world: Any, given: str | None) -> Callable[[str], Mapping[str, Any]]:
    if given is not None:
        text = json.dumps(context_from(given))
        return lambda saga_id: dict(json.loads(text.replace(ID, saga_id)))
    proposed: Any = getattr(world, "input_for", lambda *_: {})
    return lambda saga_id: dict(proposed(saga.name, saga_id))
