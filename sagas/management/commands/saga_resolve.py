"""manage.py saga_resolve: record what really happened to a step, and continue the execution."""

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
    """Resolve a step: an operator states its true outcome."""

    help = (
        "Records what really happened to a step of an execution that is on hold or partially compensated, with "
        "evidence, and continues from there. No provider is called for the step itself. Exit codes: as of run_saga."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the step, its outcome and the evidence."""
        parser.add_argument("saga_id", metavar="ID", help="the execution")
        parser.add_argument("step", metavar="STEP", help="the step's name")
        outcomes = [outcome.value for outcome in Resolution]
        parser.add_argument("outcome", choices=outcomes, help="what happened to it")
        parser.add_argument("--reason", type=sentence, required=True, metavar="TEXT", help="why; stored")
        parser.add_argument("--evidence", type=sentence, required=True, metavar="TEXT", help="how you know it; stored")
        parser.add_argument("--output", metavar="JSON", help="with done: the output that the step would have returned")
        parser.add_argument("--detach", action="store_true", help="only record it; the workers continue")

    def run(self, options: dict[str, Any]) -> Exit:
        """Resolve the step, continue the execution and print the report."""
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
