"""Kill `manage.py run_saga` and run it again with the same id: both sagas reach their end.

The tests use real processes and a real lease of two seconds. Each new process waits until the lease has expired.
"""

import signal

import pytest

from integrations.models import SandboxFault
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.testing import violations_of
from tests.support.bookings import SandboxProviders, booking_input, payment_input
from tests.support.processes import KILLED, run_saga, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

BOOKING_CALLS = [("invoices", "issue"), ("email", "send"), ("whatsapp", "send_template"), ("calendar", "add")]
PAYMENT_CALLS = [("payments", "create"), ("payments", "confirm"), ("email", "send"), ("analytics", "track")]
SAGAS = [(CREATE_BOOKING_SAGA, booking_input, BOOKING_CALLS), (COLLECT_PAYMENT_SAGA, payment_input, PAYMENT_CALLS)]
MODES = ["kill_process_before", "kill_process_after"]
LEASE = 2


class Runs:
    """Run one execution, and start it again after each crash of its process."""

    def __init__(self, saga, given, saga_id):
        self.saga, self.context, self.saga_id = saga, given(saga_id), saga_id
        self.deaths = 0
        self.process = self.start()

    def start(self):
        return run_saga(self.saga.name, self.saga_id, self.context, LEASE=LEASE)

    def ended(self):
        """Return whether the process ended without being killed. Start a killed process again."""
        code = self.process.poll()
        if code in (KILLED, -signal.SIGKILL):
            self.process.communicate()
            self.deaths += 1
            self.process = self.start()
            return False
        return code is not None

    def verdict(self):
        """Return the exit code, the state, the violations, and the error output of a failed process."""
        _, error = self.process.communicate()
        execution = SagaExecution.objects.get(saga_id=self.saga_id)
        found = violations_of(self.saga, self.saga_id, SandboxProviders().effects(execution))
        return self.process.returncode, execution.state, found, error if self.process.returncode else ""


def have_ended(runs):
    """Return whether all runs have ended. Start each killed process again."""
    return [run.ended() for run in runs].count(False) == 0


def order(mode, calls, saga_id, **values):
    """Create one fault for each of these provider calls of the execution."""
    for port, operation in calls:
        SandboxFault.objects.create(
            port=port, operation=operation, mode=mode, match=f"{saga_id}:", remaining=1, **values
        )


@pytest.mark.prove
def test_sagas_killed_at_each_provider_call_end_as_if_they_had_not_been():
    for mode in MODES:
        for saga, _, calls in SAGAS:
            order(mode, calls, f"{saga.name}-{mode}")

    runs = [Runs(saga, given, f"{saga.name}-{mode}") for saga, given, _ in SAGAS for mode in MODES]
    wait_for(lambda: have_ended(runs))

    assert [run.verdict() for run in runs] == [(0, SagaState.SUCCEEDED, [], "")] * 4
    assert [run.deaths for run in runs] == [4] * 4


def test_sagas_killed_by_signal_9_during_a_call_end_as_usual():
    for saga, _, _ in SAGAS:
        order("latency", [("email", "send")], f"{saga.name}-9", latency_ms=4_000)

    runs = [Runs(saga, given, f"{saga.name}-9") for saga, given, _ in SAGAS]
    wait_for(lambda: not SandboxFault.objects.filter(remaining__gt=0).exists())
    for run in runs:
        run.process.kill()
    wait_for(lambda: have_ended(runs))

    assert [run.verdict() for run in runs] == [(0, SagaState.SUCCEEDED, [], "")] * 2
    assert [run.deaths for run in runs] == [1] * 2
