"""Workers write no personal data to their logs or to their database rows."""

import pytest

from integrations.models import SandboxFault
from sagas import SagaState
from sagas.models import SagaExecution, SagaWorker, StepRun
from sagas.orchestrator import get_saga_orchestrator
from tests.support.bookings import booking_input, payment_input
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "Zefira Canary"
MAIL = "zefira.canary@example.com"


def test_workers_neither_log_nor_report_personal_data(cluster):
    """One saga succeeds, one fails, and a step of the third raises SystemExit with personal data in its message."""
    SandboxFault.objects.create(port="payments", operation="create", mode="refuse", remaining=1)
    workers = cluster("saga_workers", workers=1, environment={"SAGAS_LOG_LEVEL": "DEBUG"})
    orchestrator, who = get_saga_orchestrator(), {"customer_name": CANARY, "customer_email": MAIL}
    orchestrator.start("b", "create_booking", context=booking_input("b") | who)
    orchestrator.start("p", "collect_payment", context=payment_input("p") | who)
    orchestrator.start("q", "quit", context={"customer": CANARY})
    states = {saga_id: orchestrator.wait(saga_id, 60).state for saga_id in ("b", "p", "q")}

    reported = str(list(SagaWorker.objects.values()))
    assert states == {"b": SagaState.SUCCEEDED, "p": SagaState.FAILED, "q": SagaState.FAILED}
    assert StepRun.objects.get(step="quit", direction="action").error_message == "no such customer: [customer]"
    wait_for(lambda: "execution.failed" in workers.said)
    assert "error_type=SystemExit" in workers.said
    assert "quit_loudly" in workers.said
    assert SagaExecution.objects.filter(context__contains=CANARY).count() == 3
    assert [text for text in (workers.said, reported) if "canary" in text.lower()] == []
