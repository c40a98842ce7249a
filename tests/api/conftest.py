"""Fixtures for the API tests: clients with tokens, and sagas for them."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tests.support import Registered

EXECUTIONS = "/api/v1/executions/"


def client_named(name, *permissions):
    """Create an API client; its user has these permissions of the app "sagas"."""
    user = get_user_model().objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="sagas"))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
    client.user = user
    return client


@pytest.fixture(autouse=True)
def _no_throttling_history(db):
    cache.clear()


@pytest.fixture
def anonymous():
    return APIClient()


@pytest.fixture
def ana(db):
    return client_named("ana")


@pytest.fixture
def bia(db):
    return client_named("bia")


@pytest.fixture
def support(db):
    return client_named("support", "view_sagaexecution", "retry_saga", "hold_saga", "resolve_step")


@pytest.fixture
def order(stage):
    """Register a saga of two steps; a call of the returned function registers it again with other steps."""
    sagas = Registered()

    def order(*steps, **more):
        steps = steps or (stage.step("charge", {"payment": "P-1"}), stage.step("ship"))
        return sagas(*steps, name="order", **more)

    order()
    yield order
    sagas.forget()


@pytest.fixture
def start(ana, order):
    """Return a function that starts an order, by default as ana, and returns the execution's id."""

    def start(client=ana, **wanted):
        response = client.post(EXECUTIONS, {"saga": "order", "context": {}} | wanted, format="json")
        assert response.status_code == 202, response.json()
        return response.json()["saga_id"]

    return start


@pytest.fixture
def everybody(db, settings):
    """Return the credentials of a superuser without rate limits."""
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {
        "DEFAULT_THROTTLE_RATES": dict.fromkeys(("sagas.start", "sagas.read", "sagas.operation"))
    }
    user = get_user_model().objects.create_superuser("everybody")
    return {"Authorization": f"Token {Token.objects.create(user=user).key}"}
