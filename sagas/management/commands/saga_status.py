"""manage.py saga_status: print the status of an execution, found by its ID or by a reference."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sagas.definition import json_values
from sagas.definition.states import TERMINAL
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit, worst
from sagas.management.progress import POLL_SECONDS, ProgressReporter
from sagas.management.report import code_of, document, listed, local
from sagas.models import SagaExecution
from sagas.presentation.execution_view import view_of
from sagas.storage import database


class Command(SagaCommand):
    """Print the attempts and the diagnosis of one execution, or a list if several match."""

    help = (
        "Prints the status of an execution, found by its ID or by a reference (a sale, an e-mail address, a "
        "provider's ID). Exit codes: 0 succeeded, 3 failed and undone, 4 needs attention, 5 goes on by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add REF and --watch."""
        parser.add_argument("ref", metavar="REF", help="an execution's ID, or one of its references")
        parser.add_argument("--watch", action="store_true", help="follow it until it has ended or is on hold")

    def run(self, options: dict[str, Any]) -> Exit:
        """Find the executions by ID or reference and print them."""
        executions, reference = SagaExecution.objects.using(database.alias()), json_values.clean_text(options["ref"])
        exact = list(executions.filter(saga_id=reference))
        found = exact or list(executions.referring_to(reference).order_by("-created_at", "-id"))
        if not found:
            raise CommandError(f"No execution has the ID or reference {options['ref']!r}.", returncode=Exit.REFUSED)
        if len(found) == 1:
            return self._print_one(found[0], watch=options["watch"])
        if options["watch"]:
            sentence = f"{options['ref']!r} refers to {len(found)} executions; watch one of them by its ID."
            raise CommandError(sentence, returncode=Exit.REFUSED)
        return self._print_all(found)

    def _print_one(self, execution: SagaExecution, *, watch: bool) -> Exit:
        self.current_saga_id = execution.saga_id
        run = f", run {execution.run}" if execution.run > 1 else ""
        self.console.say(f"{execution.saga_name} {execution.saga_id}{run}, started {local(execution.created_at)}")
        with ProgressReporter(execution.saga_id, self.console.say, waiting=watch, anew=True) as follower:
            while watch and (current := follower.look()) and current.state not in TERMINAL and not current.held:
                time.sleep(POLL_SECONDS)
        return self.conclude(execution.saga_id)

    def _print_all(self, found: list[SagaExecution]) -> Exit:
        views = [view_of(execution) for execution in found]
        for view in views:
            self.console.say(listed(view))
        code = worst(map(code_of, views))
        documents = [document(view) for view in views]
        self.console.document({"executions": documents, "exit_code": int(code)})
        return code
