"""What keeps each promise, and the test that turns red without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One text of one file, replaced, and the test that must fail then; `database` is the one that test needs."""

    path: str
    text: str
    replacement: str
    test: str
    database: str = "sqlite"


MUTANTS: dict[str, Mutant] = {
    "a checkpoint goes without the version": Mutant(
        "sagas/journal/writes.py",
        "WHERE id = %s AND version = %s {unless_wanted}",
        "WHERE id = %s AND version >= %s {unless_wanted}",
        "tests/spec/test_fences.py::test_an_owner_whose_lease_was_lost_follows_the_new_one",
    ),
    "each attempt has an idempotency key of its own": Mutant(
        "sagas/histories.py",
        'key = f"{history.saga_id}:{history.run}:{step}"',
        'key = f"{history.saga_id}:{history.run}:{step}:{len(history.attempts)}"',
        "tests/crash/test_lost_replies.py::test_a_charge_that_took_effect_and_timed_out_is_one_charge[confirm]",
    ),
    "UNCERTAIN counts as FAILED": Mutant(
        "sagas/histories.py",
        "IN_DOUBT = frozenset({Outcome.UNCERTAIN, Outcome.PENDING})",
        "IN_DOUBT = frozenset({Outcome.PENDING})",
        "tests/crash/test_lost_replies.py::test_a_refusal_after_a_lost_reply_is_still_undone",
    ),
    "the undo of a charge in doubt that is not found leaves its key alive": Mutant(
        "integrations/payments/sandbox.py",
        "        identity = external_id or self._create(request, action_key, deadline).external_id\n",
        "        if ledger.find(self.port, 'charge', action_key) is None:\n"
        "            return Undone(nothing_to_undo=True, external_id='')\n"
        "        identity = external_id or self._create(request, action_key, deadline).external_id\n",
        "tests/bookings/test_collect_payment.py"
        "::test_a_charge_in_doubt_that_never_took_place_cannot_take_place_once_it_is_undone",
    ),
    "the undo of a charge that was not confirmed does not cancel it": Mutant(
        "integrations/payments/sandbox.py",
        "canceled = ledger.move(payment, EffectState.CANCELED, of=NOT_CHARGED)",
        "canceled = False",
        "tests/crash/test_paused_worker.py"
        "::test_the_late_call_of_a_paused_process_finds_its_key_dead_and_its_failure_is_not_written",
    ),
    "the undo of a calendar event in doubt that is not found leaves its id alive": Mutant(
        "integrations/calendar/sandbox.py",
        "        identity = event_id(action_key)\n",
        "        identity = event_id(action_key)\n"
        "        if ledger.find(self.port, 'add', action_key) is None:\n"
        "            return Undone(nothing_to_undo=True, external_id=identity)\n",
        "tests/bookings/test_create_booking.py::test_an_event_in_doubt_can_no_longer_be_added_once_it_is_undone",
    ),
    "leases go by the host's clock": Mutant(
        "sagas/journal/driver.py",
        "    return _timed_sql(template, vendor, CLOCK.ahead)\n",
        """\
    from django.utils import timezone

    now = f"'{timezone.now().isoformat()}'::timestamptz"
    return _timed_sql(template, vendor, CLOCK.ahead).replace("statement_timestamp()", now)
""",
        "tests/worker/test_database.py::test_leases_go_by_the_databases_clock",
        database="postgresql",
    ),
    "an operator's request raises the version of a leased row": Mutant(
        "sagas/operations/performers.py",
        "rows.update(wants=act.value)",
        "rows.update(wants=act.value, version=situation.execution.version + 1)",
        "tests/spec/test_fences.py::test_a_request_leaves_the_version_of_a_leased_row_to_its_owner",
    ),
    "a saga settles although a request has come": Mutant(
        "sagas/journal/writes.py",
        "\"AND COALESCE(wants, '') IN ('', %s)\"",
        "\"AND COALESCE(wants, '') IN ('', wants, %s)\"",
        "tests/spec/test_cancel.py::test_a_request_during_the_last_step_undoes_all",
    ),
    "the checkpoint before the pivot ignores that a request has come": Mutant(
        "sagas/checkpoints.py",
        "unless_wanted=to_pivot and not step.stay",
        "unless_wanted=False",
        "tests/spec/test_between_steps.py"
        "::test_whoever_asks_again_before_the_pivot_is_told_of_the_first_request_and_not_of_the_pivot",
    ),
    "the mark of a step that must not be repeated ignores that a request has come": Mutant(
        "sagas/journal/writes.py",
        "WHERE id = %s AND version = %s AND wants IS NULL",
        "WHERE id = %s AND version = %s",
        "tests/spec/test_between_steps.py::test_a_cancel_between_two_steps_keeps_the_second_from_being_called",
    ),
    "nobody looks for an answer that got lost": Mutant(
        "sagas/database.py",
        "found = find() if find and broke and not done else None",
        "found = None",
        "tests/spec/test_lost_answers.py::test_a_checkpoint_between_two_steps_that_got_lost_does_not_cost_the_lease",
        database="postgresql",
    ),
    "a step may kill as many workers as it likes": Mutant(
        "sagas/engine.py",
        "poisoned = execution.recoveries >= get_settings().MAX_RECOVERIES",
        "poisoned = False",
        "tests/spec/test_fences.py::test_a_step_that_keeps_killing_its_worker_is_given_up",
    ),
    "the retry of a failed saga keeps the old keys": Mutant(
        "sagas/histories.py",
        'key = f"{history.saga_id}:{history.run}:{step}"',
        'key = f"{history.saga_id}:1:{step}"',
        "tests/spec/test_keys.py::test_a_retry_of_a_failed_saga_is_a_new_run_with_new_keys",
    ),
}
