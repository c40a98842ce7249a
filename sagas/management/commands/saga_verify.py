"""manage.py saga_verify: check that the row of each execution follows from its history."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import ngettext

from sagas.definition.exceptions import UnknownExecution
from sagas.definition.states import SagaState
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.models import SagaExecution
from sagas.models.querysets import ExecutionQuerySet
from sagas.monitoring import audit
from sagas.storage import database


class Command(SagaCommand):
    """Replay the history of each execution and compare the result with its row."""

    help = (
        "Checks for each execution that its row follows from its history and from the current definition. Changes "
        "nothing and may run beside the workers. Exit codes: 0 no violations, 1 violations, 2 wrong usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options that select the executions."""
        parser.add_argument("saga_ids", nargs="*", metavar="SAGA_ID", help="the executions to verify; default: all")
        parser.add_argument("--state", choices=[state.value for state in SagaState], help="verify those in this state")

    def run(self, options: dict[str, Any]) -> int:
        """Verify the executions and print each finding as soon as it is known."""
        looked_at = 0
        violations: list[dict[str, Any]] = []
        unverifiable: list[dict[str, Any]] = []
        for finding in audit.examine(_chosen(options["saga_ids"], options["state"])):
            looked_at += 1
            execution = {"saga_id": finding.saga_id, "saga": finding.saga_name}
            name = f"{finding.saga_name} {finding.saga_id}"
            for sentence in finding.violations:
                self.console.say(f"✗ {name}: {sentence}.")
            if finding.violations:
                violations.append({**execution, "sentences": list(finding.violations)})
            if finding.unverifiable:
                self.console.say(f"? {name}: not verifiable, {finding.unverifiable}.")
                unverifiable.append({**execution, "reason": finding.unverifiable})
        code = Exit.ERROR if violations else Exit.SUCCEEDED
        self._final_text = _summary(looked_at, len(violations), len(unverifiable))
        self.console.say(self._final_text)
        numbers = {"looked_at": looked_at, "violations": violations, "not_verifiable": unverifiable}
        self.console.document({**numbers, "exit_code": int(code)})
        return code


def _chosen(saga_ids: list[str], state: str | None) -> ExecutionQuerySet:
    executions: ExecutionQuerySet = SagaExecution.objects.using(database.alias())
    if saga_ids and state:
        raise CommandError("Name the executions or give --state, not both.", returncode=Exit.REFUSED)
    if state:
        return executions.in_state(state)
    if not saga_ids:
        return executions
    keys = []
    for saga_id in saga_ids:
        key = executions.with_id(saga_id).values_list("pk", flat=True).first()
        if key is None:
            raise UnknownExecution(saga_id)
        keys.append(key)
    return executions.filter(pk__in=keys)


def _summary(looked_at: int, wrong: int, unverifiable: int) -> str:
    parts = [
        ngettext("%(count)d execution looked at", "%(count)d executions looked at", looked_at) % {"count": looked_at},
        f"not right: {wrong}",
        f"not verifiable: {unverifiable}",
    ]
    return "; ".join(parts) + "."
