"""The sandbox in the admin: staff can plan faults, and can only view effects."""

import pytest

from integrations.analytics import AnalyticsEvent
from integrations.analytics.sandbox import SandboxAnalytics
from integrations.models import SandboxEffect, SandboxFault
from tests.integrations.conftest import in_time

FAULTS, EFFECTS = "/admin/integrations/sandboxfault/", "/admin/integrations/sandboxeffect/"
ORDER = {
    "port": "calendar",
    "operation": "add",
    "match": "",
    "mode": "refuse",
    "remaining": 2,
    "latency_ms": 0,
}


@pytest.fixture
def effect(db) -> SandboxEffect:
    event = AnalyticsEvent("payment_collected", "SALE-001")
    SandboxAnalytics().track(event, key="s1:1:log", deadline=in_time())
    return SandboxEffect.objects.get()


def test_a_fault_is_ordered_in_the_admin(admin_client):
    answer = admin_client.post(f"{FAULTS}add/", ORDER)

    assert answer.status_code == 302
    assert SandboxFault.objects.get().mode == "refuse"


def test_a_fault_that_could_never_strike_is_refused_in_the_form(admin_client):
    answer = admin_client.post(f"{FAULTS}add/", {**ORDER, "operation": "ad"})

    assert "Choose one of add, get, remove, or leave it empty." in answer.content.decode()
    assert not SandboxFault.objects.exists()


def test_effects_are_listed_and_shown(admin_client, effect):
    assert "s1:1:log" in admin_client.get(EFFECTS).content.decode()
    assert "SALE-001" in admin_client.get(f"{EFFECTS}{effect.pk}/change/").content.decode()


def test_nobody_adds_changes_or_deletes_an_effect(admin_client, effect):
    for path in ("add/", f"{effect.pk}/delete/"):
        assert admin_client.post(EFFECTS + path, {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{EFFECTS}{effect.pk}/change/", {"state": "sent"}).status_code == 403
    assert SandboxEffect.objects.get().state == "done"


def test_the_sandbox_is_closed_to_staff_without_permission(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ana", is_staff=True))

    assert client.get(EFFECTS).status_code == 403
    assert client.post(f"{FAULTS}add/", ORDER).status_code == 403
    assert not SandboxFault.objects.exists()
