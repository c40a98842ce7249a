"""Every saga that is accepted under load ends."""

import os

import pytest
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token

from sagas.models import SagaExecution
from tests.support.processes import wait_for

from .load import start_for
from .sites import served, working

SECONDS = float(os.environ.get("SAGAS_LOAD_SECONDS", "8"))

pytestmark = [pytest.mark.prove, pytest.mark.django_db(transaction=True)]


def test_every_saga_accepted_under_load_ends():
    token = Token.objects.create(user=get_user_model().objects.create_user("front-end")).key
    with served(workers=2) as site, working():
        responses = start_for(SECONDS, site, token)
        print(f"{len(responses) / SECONDS:.0f} starts a second")
        wait_for(lambda: not SagaExecution.objects.unfinished().exists())

    assert {response.status for response in responses} == {202}
    assert SagaExecution.objects.in_state("succeeded").count() == len(responses)
    assert len({response.saga_id for response in responses}) == len(responses)
