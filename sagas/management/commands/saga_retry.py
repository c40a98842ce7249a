"""manage.py saga_retry: retry failed executions and failed compensations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sagas import operations
from sagas.definition.exceptions import ActRefused
from sagas.definition.states import Direction, SagaState
from sagas.engine import new_execution
from sagas.management.arguments import operator, sentence
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit, worst
from sagas.management.report import document
from sagas.operations import Operation, Preview
from sagas.orchestrator import get_saga_orchestrator
from sagas.presentation.execution_view import find_view

STATES = (SagaState.FAILED.value, SagaState.PARTIALLY_COMPENSATED.value)
YES = {"y", "yes"}


class Command(SagaCommand):
    """Retry executions, after a preview and a confirmation."""

    help = (
        "Retries failed executions as new runs; of partially compensated ones, retries what could not be undone. "
        "Shows what will be done and asks first. Exit codes: as of run_saga; of several executions, the worst."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options: which executions, the reason, and whether to ask."""
        parser.add_argument("saga_ids", nargs="*", metavar="ID", help="the executions to retry")
        parser.add_argument("--state", choices=STATES, help="retry all in this state")
        parser.add_argument("--reason", type=sentence, required=True, metavar="TEXT", help="why; stored")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--dry-run", action="store_true", help="only show what would be done")
        how.add_argument("--detach", action="store_true", help="only queue them; the workers continue")

    def run(self, options: dict[str, Any]) -> Exit:
        """Show the previews, ask for confirmation, retry the executions one by one, and print the reports."""
        previews = self._previews(options)
        for preview in previews:
            self._show(preview)
        if options["dry_run"] or not previews:
            self.console.say("Nothing was done." if previews else "There is nothing to retry.")
            self.console.document({"previews": [_described(preview) for preview in previews], "exit_code": 0})
            return Exit.SUCCEEDED
        if not options["yes"]:
            self._ask(len(previews))
        self._waiting = [preview.saga_id for preview in previews]
        refused = [sentence for preview in previews if (sentence := self._retry(preview, options))]
        return self._conclude(previews, refused, queued=options["detach"])

    def interrupted(self) -> str:
        """Return the message for an interrupted command, with the executions that were not retried."""
        others = [saga_id for saga_id in self._waiting if saga_id != self.current_saga_id]
        rest = f"\nNot retried: {', '.join(others)}." if others else ""
        return super().interrupted() + rest

    _waiting: Sequence[str] = ()

    def _conclude(self, previews: list[Preview], refused: list[str], *, queued: bool) -> Exit:
        found = [view for preview in previews if (view := find_view(preview.saga_id))]
        code = self.tell(found, queued=queued)
        code = worst([code, Exit.REFUSED]) if refused else code
        documents = [document(view) for view in found]
        self.console.document({"executions": documents, "refused": refused, "exit_code": int(code)})
        return code

    def _previews(self, options: dict[str, Any]) -> list[Preview]:
        """Preview each retry.

        If a named execution cannot be retried, raise ActRefused. If --state found the execution, leave it out.
        """
        if bool(options["saga_ids"]) == bool(options["state"]):
            raise CommandError("Name the executions to retry, or give --state.", returncode=Exit.REFUSED)
        if options["saga_ids"]:
            saga_ids = dict.fromkeys(map(new_execution.checked_id, options["saga_ids"]))
            return [operations.plan(Operation.RETRY, saga_id) for saga_id in saga_ids]
        found = get_saga_orchestrator().list_executions(options["state"]).order_by("created_at", "id")
        previews = []
        for saga_id in found.values_list("saga_id", flat=True):
            try:
                previews.append(operations.plan(Operation.RETRY, saga_id))
            except ActRefused as refused:
                self.console.say(f"Left out: {refused}")
        return previews

    def _show(self, preview: Preview) -> None:
        self.console.say(f"{preview.operation} {preview.saga_id}: {preview.sentence}")
        calls = [f"undo {c.step}" if c.direction is Direction.COMPENSATION else c.step for c in preview.calls]
        for lead, names in (
            ("will be called", calls),
            ("will not be repeated", preview.not_repeated),
            ("in doubt", preview.in_doubt),
        ):
            if names:
                self.console.say(f"  {lead}: {', '.join(names)}")

    def _ask(self, count: int) -> None:
        if not sys.stdin.isatty():
            sentence = "Cannot ask: standard input is not a terminal. Use --yes to retry without asking."
            raise CommandError(sentence, returncode=Exit.REFUSED)
        self.console.say(f"Retry {count} {'execution' if count == 1 else 'executions'}? [y/N]")
        if sys.stdin.readline().strip().lower() not in YES:
            raise CommandError("Nothing was done.", returncode=Exit.REFUSED)

    def _retry(self, preview: Preview, options: dict[str, Any]) -> str:
        """Retry the execution. Return "", or why it cannot be retried, such as a change since the preview."""
        saga_id, reason = preview.saga_id, options["reason"]
        try:
            operations.perform(Operation.RETRY, saga_id, reason=reason, by=operator(), version=preview.version)
        except ActRefused as refused:
            self.console.say(str(refused))
            return str(refused)
        if not options["detach"]:
            self.console.say(f"{preview.operation} {saga_id}")
            self.follow(saga_id, lambda: get_saga_orchestrator().resume(saga_id))
        self._waiting = [other for other in self._waiting if other != saga_id]
        return ""


def _described(preview: Preview) -> dict[str, Any]:
    calls = [{"step": call.step, "direction": call.direction.value} for call in preview.calls]
    return {
        "operation": preview.operation.value,
        "saga_id": preview.saga_id,
        "version": preview.version,
        "sentence": preview.sentence,
        "calls": calls,
        "not_repeated": list(preview.not_repeated),
        "in_doubt": list(preview.in_doubt),
    }
