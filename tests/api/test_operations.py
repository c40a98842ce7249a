"""Operations over HTTP need a permission and a reason; a request may also require an unchanged version."""

import pytest

from sagas import StepFailed
from sagas.models import SagaEvent, SagaExecution
from sagas.orchestrator import get_saga_orchestrator

from .conftest import EXECUTIONS, client_named

NEEDS = {
    "retry": "retry_saga",
    "cancel": "cancel_saga",
    "compensate": "compensate_saga",
    "hold": "hold_saga",
    "release": "hold_saga",
    "verify": "retry_saga",
    "acknowledge": "retry_saga",
    "steps/ship/resolve": "resolve_step",
}
REASON = {"reason": "the customer asked"}


def operation(client, saga_id, what, **wanted):
    return client.post(f"{EXECUTIONS}{saga_id}/{what}/", REASON | wanted, format="json")


@pytest.fixture
def failed(order, start, stage):
    order(stage.step("charge"), stage.step("ship", StepFailed("no such street"), None))
    saga_id = start()
    get_saga_orchestrator().resume(saga_id)
    return saga_id


def test_a_retry_is_queued_and_recorded(support, failed):
    response = operation(support, failed, "retry")

    assert response.status_code == 202
    assert (response.json()["state"], response.json()["run"]) == ("pending", 2)
    assert response["Location"].endswith(f"{EXECUTIONS}{failed}/")
    event = SagaEvent.objects.get(kind="retry")
    assert (event.actor, event.source, event.reason) == (support.user, "api", "the customer asked")


def test_a_refused_operation_has_the_reason_and_what_is_allowed(support, start):
    response = operation(support, start(), "retry")

    assert response.status_code == 409
    assert response.json()["detail"] == "It can be retried only after it failed, and it is “Pending”."
    assert response.json()["allowed"] == ["cancel", "hold"]


def test_an_operation_on_an_old_version_is_refused(support, failed):
    seen = support.get(f"{EXECUTIONS}{failed}/preview/?action=retry").json()["version"]
    assert operation(support, failed, "retry", version=seen).status_code == 202
    response = operation(support, failed, "retry", version=seen)

    assert response.status_code == 412
    assert response.json()["detail"] == "It has changed since you looked at it. Look again, then decide."
    assert SagaEvent.objects.filter(kind="retry").count() == 1


def test_a_preview_has_the_calls_and_changes_nothing(support, failed):
    body = support.get(f"{EXECUTIONS}{failed}/preview/?action=retry").json()

    assert body["sentence"] == "Starts run 2 from the first step, with new idempotency keys."
    assert body["calls"] == [
        {"step": "charge", "direction": "action"},
        {"step": "ship", "direction": "action"},
    ]
    assert body["version"] == SagaExecution.objects.get().version
    assert not SagaEvent.objects.filter(kind="retry").exists()


def test_a_preview_of_a_refused_operation_has_what_is_allowed(support, start):
    response = support.get(f"{EXECUTIONS}{start()}/preview/?action=retry")

    assert response.status_code == 409
    assert response.json()["allowed"] == ["cancel", "hold"]


@pytest.mark.parametrize("query", ["", "?action=burn", "?action=retry&force=1", "?action=retry&outcome="])
def test_an_invalid_preview_is_refused(support, failed, query):
    assert support.get(f"{EXECUTIONS}{failed}/preview/{query}").status_code == 400


def test_a_step_is_resolved_by_hand_with_evidence(support, order, start, stage):
    order(stage.step("charge", undo=[StepFailed("closed")]), stage.step("ship", StepFailed("no"), None))
    saga_id = start()
    assert get_saga_orchestrator().resume(saga_id).state == "partially_compensated"
    response = operation(support, saga_id, "steps/charge/resolve", outcome="undone", evidence="mail of the bank")

    assert response.status_code == 202
    assert response.json()["state"] == "failed"
    assert SagaEvent.objects.get(kind="resolve").data["evidence"] == "mail of the bank"


@pytest.mark.parametrize(
    ("outcome", "output", "pointer", "detail"),
    [
        ("undone", {"a": 1}, "#/output", "must be a mapping, and is allowed only with the outcome done"),
        (
            "done",
            {"card": {"cvv": "1"}},
            "#/output/card/cvv",
            "secrets do not belong in a context; pass a token or a reference",
        ),
    ],
)
def test_an_invalid_output_is_reported_by_a_pointer(support, order, start, stage, outcome, output, pointer, detail):
    order(stage.step("charge", undo=[StepFailed("closed")]), stage.step("ship", StepFailed("no"), None))
    saga_id = start()
    get_saga_orchestrator().resume(saga_id)
    response = operation(support, saga_id, "steps/charge/resolve", outcome=outcome, output=output, evidence="a mail")

    assert response.status_code == 400
    assert response.json()["errors"] == [{"pointer": pointer, "detail": detail}]


@pytest.mark.parametrize("wanted", [{}, {"reason": ""}, {"reason": "a\x00b"}, {"reason": "x", "state": "failed"}])
def test_an_operation_without_a_valid_reason_is_refused(support, failed, wanted):
    response = support.post(f"{EXECUTIONS}{failed}/retry/", wanted, format="json")

    assert response.status_code == 400
    assert SagaExecution.objects.get().state == "failed"


@pytest.mark.parametrize("what", NEEDS)
@pytest.mark.parametrize("owns", [True, False], ids=["the owner", "support"])
def test_each_operation_needs_its_permission(order, start, what, owns):
    client = client_named("client", *([] if owns else ["view_sagaexecution"]), *(set(NEEDS.values()) - {NEEDS[what]}))
    saga_id = start(client) if owns else start()
    response = operation(client, saga_id, what, outcome="done", evidence="seen")

    assert response.status_code == 403
    assert response.json()["detail"] == f"The permission sagas.{NEEDS[what]} is required."
    assert SagaExecution.objects.get().version == 1
    assert not SagaEvent.objects.exists()


@pytest.mark.parametrize("what", NEEDS)
def test_with_the_permission_the_state_decides(order, start, what):
    client = client_named("client", NEEDS[what])
    response = operation(client, start(client), what, **({"outcome": "done", "evidence": "x"} if "/" in what else {}))

    assert response.status_code == (202 if what in ("cancel", "hold") else 409)


@pytest.mark.parametrize("what", NEEDS)
def test_operations_need_authentication(anonymous, start, what):
    assert operation(anonymous, start(), what).status_code == 401


def test_a_session_needs_its_csrf_token(support, failed):
    from rest_framework.test import APIClient

    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(support.user)

    assert operation(browser, failed, "retry").status_code == 403
    assert SagaExecution.objects.get().state == "failed"


def test_reading_changes_nothing(support, failed):
    before = SagaExecution.objects.values().get()
    for route in ("", "history/", "preview/?action=retry"):
        assert support.get(f"{EXECUTIONS}{failed}/{route}").status_code == 200

    assert SagaExecution.objects.values().get() == before
