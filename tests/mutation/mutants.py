"""Mutants of the engine. Each mutant breaks one promise and names the test that must then fail."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

MUTANTS: dict[str, Mutant] = {}


@dataclass(frozen=True)
class Mutant:
    """A change that breaks a promise, the test that must fail with it, and the database that this test needs."""

    apply: Callable[[], None]
    test: str
    database: str = "sqlite"


def mutant(name: str, test: str, database: str = "sqlite") -> Callable[[Callable[[], None]], None]:
    """Register the decorated function as the mutant of this name."""

    def register(apply: Callable[[], None]) -> None:
        MUTANTS[name] = Mutant(apply, test, database)

    return register


def replace_everywhere(original: Any, replacement: Any) -> None:
    """Replace a function or constant in each of our modules that imports it."""
    ours = [module for name, module in list(sys.modules.items()) if name.startswith(("sagas", "integrations"))]
    for module in ours:
        for name in [name for name, value in vars(module).items() if value is original]:
            setattr(module, name, replacement)


def change_statements(names: tuple[str, ...], condition: str, changed: str) -> None:
    """Change a condition in the named SQL statements of the checkpoint."""
    from sagas.storage import checkpoint

    for name in names:
        statement = getattr(checkpoint, name)
        assert condition in statement, f"{name} no longer has the condition {condition!r}"
        setattr(checkpoint, name, statement.replace(condition, changed))


PARKING = ("PARK", "PARK_WITH_STEP_RUN")
GOING_ON = ("GO_ON", "GO_ON_WITH_STEP_RUN")


@mutant(
    "a checkpoint goes without the version",
    "tests/spec/test_fences.py::test_an_owner_whose_lease_was_lost_follows_the_new_one",
)
def _() -> None:
    change_statements((*PARKING, *GOING_ON), "AND version = %(version)s", "AND version >= %(version)s")


@mutant(
    "each attempt has an idempotency key of its own",
    "tests/crash/test_lost_replies.py::test_a_charge_that_took_effect_and_timed_out_is_one_charge[confirm]",
)
def _() -> None:
    from sagas.engine.history import key_of

    replace_everywhere(key_of, lambda history, *args: f"{key_of(history, *args)}:{len(history.attempts)}")


@mutant(
    "UNCERTAIN counts as FAILED",
    "tests/crash/test_lost_replies.py::test_a_refusal_after_a_lost_reply_is_still_undone",
)
def _() -> None:
    from sagas.definition.states import Outcome
    from sagas.engine.history import IN_DOUBT

    replace_everywhere(IN_DOUBT, frozenset({Outcome.PENDING}))


@mutant(
    "the undo of a charge in doubt that is not found leaves its key alive",
    "tests/bookings/test_collect_payment.py::test_a_charge_in_doubt_cannot_take_place_after_its_compensation",
)
def _() -> None:
    from integrations import Undone, ledger
    from integrations.payments.sandbox import SandboxGateway

    refund = SandboxGateway.refund

    def refund_what_is_found(
        self: Any, *args: Any, action_key: str, external_id: str | None = None, **rest: Any
    ) -> Any:
        if external_id is None and ledger.find(self.port, "charge", action_key) is None:
            return Undone(nothing_to_undo=True, external_id="")
        return refund(self, *args, action_key=action_key, **rest)

    SandboxGateway.refund = refund_what_is_found


@mutant(
    "the undo of a charge that was not confirmed does not cancel it",
    "tests/crash/test_paused_worker.py::test_a_late_call_of_a_paused_process_finds_its_key_dead",
)
def _() -> None:
    from integrations import ledger
    from integrations.models import EffectState

    move = ledger.move
    ledger.move = lambda effect, to, *, of, response=None: (
        False if to == EffectState.CANCELED else move(effect, to, of=of, response=response)
    )


@mutant(
    "the undo of a calendar event in doubt that is not found leaves its id alive",
    "tests/bookings/test_create_booking.py::test_an_event_in_doubt_can_no_longer_be_added_once_it_is_undone",
)
def _() -> None:
    from integrations import Undone, ledger
    from integrations.calendar.sandbox import SandboxCalendar, event_id

    remove = SandboxCalendar.remove

    def remove_what_is_found(self: Any, *, action_key: str, **rest: Any) -> Any:
        if ledger.find(self.port, "add", action_key) is None:
            return Undone(nothing_to_undo=True, external_id=event_id(action_key))
        return remove(self, action_key=action_key, **rest)

    SandboxCalendar.remove = remove_what_is_found


@mutant(
    "leases go by the host's clock",
    "tests/worker/test_database.py::test_leases_use_the_clock_of_the_database",
    database="postgresql",
)
def _() -> None:
    from django.utils import timezone

    from sagas.storage.sql import render

    def render_host_time(statement: str, vendor: str) -> str:
        now = f"'{timezone.now().isoformat()}'::timestamptz"
        return render(statement, vendor).replace("statement_timestamp()", now)

    replace_everywhere(render, render_host_time)


@mutant(
    "an operator's request raises the version of a leased row",
    "tests/spec/test_fences.py::test_a_request_leaves_the_version_of_a_leased_row_to_its_owner",
)
def _() -> None:
    from django.db.models import F

    from sagas.models import SagaExecution
    from sagas.operations.row_update import request

    def request_and_raise_version(view: Any, *args: Any) -> Any:
        execution = request(view, *args)
        SagaExecution.objects.filter(pk=execution.pk).update(version=F("version") + 1)
        return execution

    replace_everywhere(request, request_and_raise_version)


@mutant(
    "a saga settles although a request has come",
    "tests/spec/test_cancel.py::test_a_request_during_the_last_step_undoes_all",
)
def _() -> None:
    change_statements(PARKING, "NOT %(unless_requested)s OR", "TRUE OR")


@mutant(
    "the checkpoint before the pivot ignores that a request has come",
    "tests/spec/test_between_steps.py::test_a_second_request_before_the_pivot_is_refused_for_the_first_one",
)
def _() -> None:
    change_statements(GOING_ON, "NOT %(unless_requested)s OR", "TRUE OR")


@mutant(
    "the mark of a step that must not be repeated ignores that a request has come",
    "tests/spec/test_between_steps.py::test_a_cancel_between_two_steps_keeps_the_second_from_being_called",
)
def _() -> None:
    change_statements(("MARK_STARTED",), "AND pending_request IS NULL", "")


@mutant(
    "nobody looks for an answer that got lost",
    "tests/spec/test_lost_answers.py::test_a_lost_answer_to_a_checkpoint_between_steps_keeps_the_lease",
    database="postgresql",
)
def _() -> None:
    from sagas.storage.database import persist

    replace_everywhere(persist, lambda write, find=None: persist(write))


@mutant(
    "a step may kill as many workers as it likes",
    "tests/spec/test_fences.py::test_a_step_that_keeps_killing_its_worker_is_given_up",
)
def _() -> None:
    from sagas.engine import recovery

    recovery.get_settings = lambda: SimpleNamespace(MAX_RECOVERIES=1_000_000)


@mutant(
    "the retry of a failed saga keeps the old keys",
    "tests/spec/test_keys.py::test_a_retry_of_a_failed_saga_is_a_new_run_with_new_keys",
)
def _() -> None:
    from sagas.engine.history import key_of

    replace_everywhere(key_of, lambda history, *args: key_of(dataclasses.replace(history, run=1), *args))
