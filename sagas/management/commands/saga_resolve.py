"""manage.py saga_resolve: puts down what a person found out about a step, and goes on from there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from sagas import operations
from sagas.definition.states import Resolution
from sagas.engine import new_execution
from sagas.management.arguments import context_from, operator, sentence
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.operations import Operation
from sagas.orchestrator import get_saga_orchestrator


class Command(SagaCommand):
    """Resolves a step by hand."""

    help = (
        "Puts down what has become of a step of an execution that is held or partially compensated, with the "
        "evidence, and goes on from there. No provider is called for the step itself. Exits as run_saga does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Which step, what became of it, and how that is known."""
        parser.add_argument("saga_id", metavar="ID", help="the execution")
        parser.add_argument("step", metavar="STEP", help="the step's name")
        outcomes = [outcome.value for outcome in Resolution]
        parser.add_argument("outcome", choices=outcomes, help="what has become of it")
        parser.add_argument("--reason", type=sentence, required=True, metavar="TEXT", help="why; it is kept")
        parser.add_argument("--evidence", type=sentence, required=True, metavar="TEXT", help="how you know; it is kept")
        parser.add_argument("--output", metavar="JSON", help="with done: what the step would have returned")
        parser.add_argument("--detach", action="store_true", help="leave what follows to the workers")

    def run(self, options: dict[str, Any]) -> Exit:
        """Resolve, go on, conclude."""
        saga_id, given = new_execution.checked_id(options["saga_id"]), options["output"]
        output = None if given is None else context_from(given, "--output")

        def resolve() -> None:
            operations.perform(
                Operation.RESOLVE,
                saga_id,
                reason=options["reason"],
                by=operator(),
                step=options["step"],
                outcome=options["outcome"],
                output=output,
                evidence=options["evidence"],
            )
            if not options["detach"]:
                get_saga_orchestrator().resume(saga_id)

        self.follow(saga_id, resolve)
        return self.conclude(saga_id, queued=options["detach"])
