"""manage.py saga_verify: does what the rows say follow from the history."""

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
from sagas.monitoring.audit import Finding
from sagas.storage import database


class Command(SagaCommand):
    """Folds the history of each execution and compares it with the row."""

    help = (
        "Tells, for each execution, where its row does not follow from its history. It goes by today's definitions, "
        "changes nothing and may run beside the workers. Exit code: 0 all is right, 1 something is not, 2 usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Which ones; all of them without."""
        parser.add_argument("saga_ids", nargs="*", metavar="SAGA_ID", help="the executions to verify; default: all")
        parser.add_argument("--state", choices=[state.value for state in SagaState], help="those in this state")

    def run(self, options: dict[str, Any]) -> int:
        """Look at one after the other, and tell at once what is wrong with it."""
        looked_at, violations, unverifiable = 0, [], []
        for finding in audit.examine(_chosen(options["saga_ids"], options["state"])):
            looked_at += 1
            self._tell(finding)
            violations += [_violations(finding)] if finding.violations else []
            unverifiable += [_unverifiable(finding)] if finding.unverifiable else []
        code = Exit.ERROR if violations else Exit.SUCCEEDED
        self._final_text = _summary(looked_at, len(violations), len(unverifiable))
        self.console.say(self._final_text)
        told = {"looked_at": looked_at, "violations": violations, "not_verifiable": unverifiable}
        self.console.document({**told, "exit_code": int(code)})
        return code

    def _tell(self, finding: Finding) -> None:
        name = f"{finding.saga_name} {finding.saga_id}"
        for sentence in finding.violations:
            self.console.say(f"✗ {name}: {sentence}.")
        if finding.unverifiable:
            self.console.say(f"? {name}: not verifiable, {finding.unverifiable}.")


def _chosen(saga_ids: list[str], state: str | None) -> ExecutionQuerySet:
    executions: ExecutionQuerySet = SagaExecution.objects.using(database.alias())
    if saga_ids and state:
        raise CommandError("Name the executions or give --state, not both.", returncode=Exit.REFUSED)
    if state:
        return executions.in_state(state)
    return executions.filter(pk__in=[_key_of(saga_id) for saga_id in saga_ids]) if saga_ids else executions


def _key_of(saga_id: str) -> int:
    key = SagaExecution.objects.using(database.alias()).with_id(saga_id).values_list("pk", flat=True).first()
    if key is None:
        raise UnknownExecution(saga_id)
    return key


def _violations(finding: Finding) -> dict[str, Any]:
    return {"saga_id": finding.saga_id, "saga": finding.saga_name, "sentences": list(finding.violations)}


def _unverifiable(finding: Finding) -> dict[str, Any]:
    return {"saga_id": finding.saga_id, "saga": finding.saga_name, "reason": finding.unverifiable}


def _summary(looked_at: int, wrong: int, unverifiable: int) -> str:
    parts = [
        ngettext("%(count)d execution looked at", "%(count)d executions looked at", looked_at) % {"count": looked_at},
        f"not right: {wrong}",
        f"not verifiable: {unverifiable}",
    ]
    return "; ".join(parts) + "."
