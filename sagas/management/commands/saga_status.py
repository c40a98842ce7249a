"""manage.py saga_status: how an execution stands, found by its id or by what people know of it."""

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
    """Tells how an execution stands."""

    help = (
        "Tells how an execution stands, found by its id or by a reference (a sale, an e-mail address, a provider's "
        "id). Exits as run_saga does: 0 succeeded, 3 failed and undone, 4 needs a person, 5 goes on by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """REF and whether to stay."""
        parser.add_argument("ref", metavar="REF", help="an execution's id, or one of its references")
        parser.add_argument("--watch", action="store_true", help="follow it until it has ended or is held")

    def run(self, options: dict[str, Any]) -> Exit:
        """Find, tell, and follow where asked to."""
        found = _find(options["ref"])
        if not found:
            raise CommandError(f"Nothing has the id or reference {options['ref']!r}.", returncode=Exit.REFUSED)
        if len(found) == 1:
            return self._tell_one(found[0], watch=options["watch"])
        if options["watch"]:
            sentence = f"{options['ref']!r} refers to {len(found)} executions; watch one of them by its id."
            raise CommandError(sentence, returncode=Exit.REFUSED)
        return self._tell_all(found)

    def _tell_one(self, execution: SagaExecution, *, watch: bool) -> Exit:
        self.current_saga_id = execution.saga_id
        run = f", run {execution.run}" if execution.run > 1 else ""
        self.console.say(f"{execution.saga_name} {execution.saga_id}{run}, started {local(execution.created_at)}")
        with ProgressReporter(execution.saga_id, self.console.say, waiting=watch, anew=True) as follower:
            while watch and not _is_over(follower.look()):
                time.sleep(POLL_SECONDS)
        return self.conclude(execution.saga_id)

    def _tell_all(self, found: list[SagaExecution]) -> Exit:
        views = [view_of(execution) for execution in found]
        for view in views:
            self.console.say(listed(view))
        code = worst(map(code_of, views))
        documents = [document(view) for view in views]
        self.console.document({"executions": documents, "exit_code": int(code)})
        return code


def _find(reference: str) -> list[SagaExecution]:
    """The execution with that very id or, without one, all that refer to it, newest first."""
    executions, reference = SagaExecution.objects.using(database.alias()), json_values.clean_text(reference)
    exact = executions.filter(saga_id=reference)
    return list(exact) or list(executions.referring_to(reference).order_by("-created_at", "-id"))


def _is_over(execution: SagaExecution | None) -> bool:
    return execution is None or execution.state in TERMINAL or bool(execution.held)
