"""The API does what its OpenAPI document says, whatever is sent: Schemathesis makes it up."""

import os

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("SAGAS_EXAMPLES", "200"))
pytestmark = [pytest.mark.prove, pytest.mark.django_db]
AS_THEY_COME = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def described(db):
    return schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@AS_THEY_COME
def test_every_operation_answers_as_it_is_described(case, everybody):
    case.call_and_validate(headers=everybody)
