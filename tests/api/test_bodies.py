"""Request bodies that reach the API through a real web server."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token

from sagas.models import SagaExecution

from .conftest import EXECUTIONS
from .sites import served

pytestmark = pytest.mark.django_db(transaction=True)

START = json.dumps({"saga": "note", "context": {"text": "hello"}}).encode()
LENGTH_REQUIRED = {
    "type": "urn:sagas:problem:length-required",
    "title": "Length required",
    "status": 411,
    "detail": "Send the body with a Content-Length header, not in chunks.",
}


def chunks(body: bytes) -> Iterator[bytes]:
    """Yield the body in parts, so that the HTTP client uses the chunked encoding."""
    yield body[:10]
    yield body[10:]


def test_a_body_in_chunks_is_refused():
    token = Token.objects.create(user=get_user_model().objects.create_user("front-end")).key
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    responses = []
    with served() as site, closing(HTTPConnection(urlsplit(site).netloc, timeout=30)) as line:
        for body in (chunks(START), START):
            line.request("POST", EXECUTIONS, body, headers)
            response = line.getresponse()
            responses.append((response.status, json.load(response)))

    refused, started = responses
    assert refused == (411, LENGTH_REQUIRED)
    assert (started[0], started[1]["saga"]) == (202, "note")
    assert SagaExecution.objects.count() == 1
