"""An error page logs its cause on one line, without any text from the request."""

import io
import logging

import pytest
from django.test import Client
from django.urls import path


def stumble(request):
    raise ValueError("ana@example.com\nis no number")


urlpatterns = [path("stumble/", stumble)]


@pytest.fixture
def said():
    (handler,) = logging.getLogger("django.request").handlers
    stderr = handler.setStream(io.StringIO())
    yield handler.stream
    handler.setStream(stderr)


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_in_production_it_is_told_where_a_page_broke(said):
    answer = Client(raise_request_exception=False).get("/stumble/")

    (line,) = said.getvalue().splitlines()
    assert answer.status_code == 500
    assert "ERROR django.request Internal Server Error: /stumble/" in line
    assert "ValueError at " in line
    assert "test_errors_of_pages.py:12:stumble" in line
    assert "ana@example.com" not in line
