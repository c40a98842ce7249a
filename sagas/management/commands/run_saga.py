"""manage.py run_saga: run a saga in this process and print its progress."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from sagas.definition.exceptions import SagaConflict
from sagas.definition.registry import all_sagas, get_saga
from sagas.definition.saga import Saga
from sagas.definition.states import TERMINAL, Priority
from sagas.engine import new_execution
from sagas.management.arguments import context_from, seconds
from sagas.management.console import SagaCommand
from sagas.management.exit_codes import Exit
from sagas.management.report import local, state_label
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator

PRIORITIES = {priority.name.lower(): priority for priority in Priority}


class Command(SagaCommand):
    """Start an execution, or continue an existing one."""

    help = (
        "Runs a saga in this process and prints a line for each attempt. With the ID of an existing execution and "
        "without --context, it continues that execution. Exit codes: 0 succeeded, 2 refused, 3 failed and undone, "
        "4 needs attention, 5 goes on by itself, 6 the ID is taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add NAME and the options for the run."""
        parser.add_argument("name", nargs="?", metavar="NAME", help="the saga; --list prints all")
        parser.add_argument("--saga-id", metavar="ID", help="the execution's ID; default: a random one")
        parser.add_argument("--context", metavar="JSON|@FILE|-", help="the input: JSON, a file, or stdin")
        parser.add_argument("--priority", choices=PRIORITIES, help="the priority; default: the saga's own")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--detach", action="store_true", help="only queue it; the workers run it")
        how.add_argument("--wait", type=seconds, metavar="SECONDS", help="stop waiting then; the saga goes on")
        how.add_argument("--dry-run", action="store_true", help="check the input and print the plan; start nothing")
        how.add_argument("--list", action="store_true", help="print the sagas and their steps")

    def run(self, options: dict[str, Any]) -> Exit:
        """List the sagas, print the plan, or run the saga, depending on the options."""
        if options["list"]:
            return self._list()
        if not options["name"]:
            raise CommandError("Name a saga; --list prints all.", returncode=Exit.REFUSED)
        saga = get_saga(options["name"])
        existing = None
        if options["saga_id"] is not None:
            existing = get_saga_orchestrator().get_status(new_execution.checked_id(options["saga_id"]))
        if existing and options["context"] is None:
            return self._go_on(saga, existing, options)
        return self._begin(saga, existing, options)

    def _list(self) -> Exit:
        sagas = [saga for _, saga in sorted(all_sagas().items())]
        for saga in sagas:
            self.console.say(": ".join(part for part in (saga.name, saga.description) if part))
            self._say_plan(saga)
        self.console.document({"sagas": [_described(saga) for saga in sagas], "exit_code": 0})
        return Exit.SUCCEEDED

    def _go_on(self, saga: Saga, existing: SagaExecution, options: dict[str, Any]) -> Exit:
        if existing.saga_name != saga.name:
            raise SagaConflict(existing.saga_id, existing.saga_name)
        if options["dry_run"]:
            return self._plan(saga, existing, existing)
        self._say_existing(existing)
        if options["detach"]:
            return self.conclude(existing.saga_id, queued=True)
        return self._run(existing.saga_id, None, options)

    def _begin(self, saga: Saga, existing: SagaExecution | None, options: dict[str, Any]) -> Exit:
        # Check all arguments before printing or storing anything.
        context = {} if options["context"] is None else context_from(options["context"])
        new = new_execution.new_execution(saga, options["saga_id"], context, PRIORITIES.get(options["priority"] or ""))
        if existing and (existing.saga_name, existing.input_hash) != (new.saga_name, new.input_hash):
            raise SagaConflict(existing.saga_id, existing.saga_name)
        if options["dry_run"]:
            return self._plan(saga, new, existing)
        if existing:
            self._say_existing(existing)
        else:
            self.console.say(f"{saga.name} {new.saga_id}")
        if options["detach"]:
            get_saga_orchestrator().start(new.saga_id, saga.name, context=context, priority=Priority(new.priority))
            return self.conclude(new.saga_id, queued=True)
        return self._run(new.saga_id, new, options, context)

    def _run(
        self, saga_id: str, new: SagaExecution | None, options: dict[str, Any], context: dict[str, Any] | None = None
    ) -> Exit:
        orchestrator, limit = get_saga_orchestrator(), options["wait"]

        def work() -> SagaExecution:
            if new is None:
                return orchestrator.resume(saga_id, max_seconds=limit)
            priority = Priority(new.priority)
            return orchestrator.execute(saga_id, new.saga_name, context=context, priority=priority, max_seconds=limit)

        self.follow(saga_id, work)
        return self.conclude(saga_id)

    def _plan(self, saga: Saga, execution: SagaExecution, existing: SagaExecution | None) -> Exit:
        priority = Priority(execution.priority).name.lower()
        self.console.say(f"{saga.name} {execution.saga_id}, priority {priority}. Nothing was started; it would do:")
        self._say_plan(saga)
        if existing:
            self._say_existing(existing)
        plan = _described(saga) | {"saga_id": execution.saga_id, "priority": priority, "exists": bool(existing)}
        self.console.document({**plan, "exit_code": 0})
        return Exit.SUCCEEDED

    def _say_plan(self, saga: Saga) -> None:
        for place, step in enumerate(saga, 1):
            retries = "1 retry" if step.retry_count == 1 else f"{step.retry_count} retries"
            undo = f"undo in {step.effective_compensation_timeout:g} s" if step.compensation else "no undo"
            kinds = [kind for kind in ("transactional", "pivot", "optional") if getattr(step, kind)]
            terms = ", ".join([f"{step.timeout:g} s", retries, undo, *kinds])
            self.console.say(f"  {place}/{len(saga)} {step.name}: {terms}")

    def _say_existing(self, existing: SagaExecution) -> None:
        self.current_saga_id = existing.saga_id
        done = f"{len(existing.steps_completed)} of {len(existing.plan)} steps done"
        state = f"{state_label(existing.state)}, {done}, started {local(existing.created_at)}"
        ended = existing.state in TERMINAL or existing.held
        lead = "There is one already" if ended else "Going on"
        self.console.say(f"{lead}: {existing.saga_name} {existing.saga_id}, {state}.")


def _described(saga: Saga) -> dict[str, Any]:
    steps = [
        {
            "name": step.name,
            "timeout": step.timeout,
            "retry_count": step.retry_count,
            "undo": step.compensation is not None,
            "undo_timeout": step.effective_compensation_timeout,
            "undo_retry_count": step.effective_compensation_retry_count,
            "transactional": step.transactional,
            "pivot": step.pivot,
            "optional": step.optional,
        }
        for step in saga
    ]
    return {"saga": saga.name, "description": str(saga.description), "steps": steps}
