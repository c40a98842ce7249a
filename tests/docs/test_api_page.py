"""docs/API.md documents every route, field, filter, throttle and problem type of the API."""

from sagas.api import access, urls
from sagas.api.filters import ExecutionFilters
from sagas.api.pagination import ExecutionPages
from sagas.api.response_serializers import ExecutionSerializer
from sagas.api.serializers import StartSerializer

from .pages import ROOT, names_in

API = ROOT / "docs/API.md"


def test_every_route_is_documented():
    text = API.read_text()
    routes = [str(pattern.pattern).replace("<str:", "{").replace(">", "}") for pattern in urls.urlpatterns]

    assert [route for route in routes if f"`{route}" not in text] == []


def test_every_field_of_an_execution_is_documented():
    assert names_in(API, "Read an execution") - {"name", "status", "sentence"} == set(ExecutionSerializer().fields)


def test_every_field_of_a_start_is_documented():
    assert names_in(API, "Start a saga") - {"low", "normal", "high"} == set(StartSerializer().fields)


def test_every_filter_is_documented():
    paging = {"ordering", ExecutionPages.page_size_query_param, ExecutionPages.cursor_query_param}

    assert names_in(API, "List executions") == set(ExecutionFilters.base_filters) | paging


def test_every_throttle_is_documented_with_its_rate():
    text = API.read_text()

    assert names_in(API, "Throttles") == {access.START, access.READ, access.OPERATION}
    assert [scope for scope, rate in access.RATES.items() if f"| `{scope}` | {rate} |" not in text] == []
