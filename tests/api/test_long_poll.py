"""`Prefer: wait` delays the response until the saga has ended; only a limited number of requests may wait."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from django.db import connections
from rest_framework.test import APIClient

from sagas.api import long_poll
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.support.processes import wait_for

from .conftest import EXECUTIONS
from .sites import served, working

START = {"saga": "order", "context": {}}


def post(client, prefer, **wanted):
    return client.post(EXECUTIONS, START | wanted, format="json", headers={"Prefer": prefer})


@pytest.fixture
def at_once(ana, order):
    """Return a function that starts a saga as ana in another thread."""

    def send(prefer, **wanted):
        client = APIClient()
        client.credentials(**ana._credentials)
        try:
            return post(client, prefer, **wanted)
        finally:
            connections.close_all()

    with ThreadPoolExecutor() as pool:
        yield lambda *words, **wanted: pool.submit(send, *words, **wanted)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10.0),
        ("respond-async, Wait = 5", 5.0),
        ('wait="3"; foo', 3.0),
        ("wait=500", 30.0),
        ("wait=-1", 0.0),
        ("wait=soon", 0.0),
        ("await=3", 0.0),
        ("wait=99999999999999999999", 0.0),
        ("", 0.0),
    ],
)
def test_the_seconds_of_a_prefer_header(prefer, seconds):
    assert long_poll.requested_seconds(prefer) == seconds


def test_without_workers_the_response_comes_after_the_wait(ana, order):
    response = post(ana, "wait=1")

    assert (response.status_code, response["Preference-Applied"]) == (202, "wait=1")
    assert response.json()["state"] == "pending"


def test_a_saga_that_has_ended_is_returned_at_once(ana, order):
    post(ana, "", saga_id="O-1")
    get_saga_orchestrator().resume("O-1")
    response = post(ana, "wait=30", saga_id="O-1")

    assert (response.status_code, response.json()["state"]) == (200, "succeeded")


@pytest.mark.django_db(transaction=True)
def test_requests_beyond_the_limit_do_not_wait(ana, at_once, settings):
    settings.SAGAS = {"API_WAITERS": 2}
    waiters = [at_once("wait=30", saga_id=f"O-{number}") for number in range(2)]
    wait_for(lambda: SagaExecution.objects.count() == 2 and long_poll.waiting_requests() == 2)
    beyond = post(ana, "wait=30", saga_id="O-9")
    for number in range(2):
        get_saga_orchestrator().resume(f"O-{number}")
    answers = [waiter.result() for waiter in waiters]

    assert (beyond.status_code, "Preference-Applied" in beyond) == (202, False)
    assert [answer.status_code for answer in answers] == [201, 201]
    assert {answer.json()["state"] for answer in answers} == {"succeeded"}
    assert long_poll.waiting_requests() == 0


@pytest.mark.django_db(transaction=True)
def test_workers_end_a_saga_while_the_client_waits(ana):
    headers = {
        "Authorization": ana._credentials["HTTP_AUTHORIZATION"],
        "Content-Type": "application/json",
        "Prefer": "wait=30",
    }
    with served() as site, working(), closing(HTTPConnection(urlsplit(site).netloc)) as line:
        line.request("POST", EXECUTIONS, json.dumps({"saga": "note", "context": {"a": 1}}), headers)
        response = line.getresponse()
        body = json.load(response)

    assert (response.status, body["state"], body["result"]) == (201, "succeeded", {"write": {"written": 1}})
