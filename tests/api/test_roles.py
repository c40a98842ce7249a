"""What each role may do over HTTP, for each operation and each route."""

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from sagas.models import SagaEvent, SagaExecution
from sagas.orchestrator import get_saga_orchestrator

from .conftest import EXECUTIONS, client_named

OPERATIONS = ["retry", "cancel", "compensate", "hold", "release", "verify", "acknowledge", "steps/ship/resolve"]
FOR_SUPPORT = {"retry", "hold", "release", "verify", "acknowledge", "steps/ship/resolve"}
MAY = {
    "Support": FOR_SUPPORT,
    "Supervisor": set(OPERATIONS),
    "Auditor": set(),
    "": set(),  # a client without a role, on its own execution
}
WANTED = {"reason": "to see whether I may"}
RESOLUTION = WANTED | {"outcome": "done", "evidence": "none"}


@pytest.fixture
def clients(db):
    """Create one client for each role, and one without a role."""
    call_command("saga_roles", verbosity=0)
    made = {}
    for role in MAY:
        made[role] = client_named(role or "client")
        made[role].user.groups.set(Group.objects.filter(name=role))
    return made


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("role", MAY)
def test_a_role_performs_only_its_operations(clients, start, role, operation):
    client = clients[role]
    saga_id = start(clients[""])
    response = client.post(
        f"{EXECUTIONS}{saga_id}/{operation}/", RESOLUTION if "resolve" in operation else WANTED, format="json"
    )

    if operation in MAY[role]:
        assert response.status_code in (202, 409)
    else:
        assert response.status_code == 403
        assert SagaExecution.objects.get().version == 1
        assert not SagaEvent.objects.exists()


@pytest.mark.parametrize("route", ["", "history/", "preview/?action=hold"])
@pytest.mark.parametrize("role", MAY)
def test_a_role_sees_only_its_routes(clients, bia, start, role, route):
    theirs = start(bia)
    response = clients[role].get(f"{EXECUTIONS}{theirs}/{route}")

    if not role:
        assert response.status_code == 404
    elif role == "Auditor" and route.startswith("preview"):
        assert response.status_code == 403
    else:
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("Support", "[email]"),
        ("Supervisor", "ana@example.com"),
        ("Auditor", "ana@example.com"),
        ("", "[email]"),
    ],
)
def test_personal_values_need_their_permission(clients, order, start, stage, role, shown):
    order(stage.step("write", {"to": "ana@example.com"}), personal=["email"])
    saga_id = start(clients[""], context={"email": "ana@example.com"})
    get_saga_orchestrator().resume(saga_id)

    assert clients[role].get(f"{EXECUTIONS}{saga_id}/").json()["result"] == {"write": {"to": shown}}


@pytest.mark.parametrize("role", ["Support", ""])
def test_no_route_shows_a_personal_value_without_the_permission(clients, order, start, stage, role):
    canary = "canary@example.com"
    failure = stage.step("write", RuntimeError(f"cannot write to {canary}"), retry_count=0, undo=None)
    order(stage.step("pack", {"label": f"for {canary}"}), failure, personal=["email"], references=["email"])
    saga_id = start(clients[""], context={"email": canary})
    get_saga_orchestrator().resume(saga_id)
    routes = ["", f"{saga_id}/", f"{saga_id}/history/", f"{saga_id}/preview/?action=retry"]
    shown = "".join(clients[role].get(f"{EXECUTIONS}{route}").content.decode() for route in routes)

    assert saga_id in shown
    assert canary not in shown
