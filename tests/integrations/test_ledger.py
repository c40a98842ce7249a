"""The ledger of the sandbox uses its own database connection, so that a rollback of the caller does not change it."""

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections, transaction

from integrations import ledger
from integrations.analytics import AnalyticsEvent
from integrations.analytics.sandbox import SandboxAnalytics
from integrations.exceptions import Kind, ProviderError
from integrations.models import SandboxEffect, SandboxFault
from tests.integrations.conftest import in_time


def track(key: str = "s1:1:log"):
    event = AnalyticsEvent("payment_collected", "SALE-001")
    return SandboxAnalytics().track(event, key=key, deadline=in_time())


@pytest.mark.django_db(transaction=True)
def test_a_rollback_of_the_caller_does_not_undo_what_a_provider_did():
    with transaction.atomic():
        User.objects.create(username="ana")
        track()
        transaction.set_rollback(True)

    assert not User.objects.exists()
    assert SandboxEffect.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("statement", "kind"), [("SELECT", Kind.UNAVAILABLE), ("INSERT", Kind.UNKNOWN)])
def test_trouble_with_the_sandboxs_database_is_told_as_a_providers_trouble(statement, kind):
    def break_down(execute, sql, params, many, context):
        if sql.startswith(statement):
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    with connections[ledger.alias()].execute_wrapper(break_down), pytest.raises(ProviderError) as caught:
        track()

    assert (caught.value.kind, caught.value.code) == (kind, "sandbox_database")
    assert not track().replayed


@pytest.mark.django_db
def test_the_sandbox_lives_under_its_own_alias():
    assert ledger.alias() == "sandbox"


@pytest.mark.django_db
def test_rows_are_told_apart_in_the_admin():
    track()
    fault = SandboxFault.objects.create(port="email", mode="refuse", remaining=2)

    assert str(SandboxEffect.objects.get()) == "analytics track s1:1:log: done"
    assert str(fault) == "email *: refuse x 2"
