"""A saga is started once, however often its request is repeated."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.validators import RegexValidator
from django.db import connections
from rest_framework import serializers
from rest_framework.test import APIClient

from sagas.models import IdempotencyKey, SagaExecution
from sagas.orchestrator import get_saga_orchestrator

from .conftest import EXECUTIONS

START = {"saga": "order", "context": {"color": "red"}}


class OrderInput(serializers.Serializer):
    """The input of an order."""

    color = serializers.CharField(max_length=5)
    size = serializers.IntegerField(min_value=1)


def post(client, wanted, key=None, **headers):
    if key:
        headers["Idempotency-Key"] = key
    return client.post(EXECUTIONS, wanted, format="json", headers=headers)


def problem(response):
    """Return the last part of the problem's type, the status, and the errors by JSON pointer."""
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    errors = {error["pointer"]: error["detail"] for error in document.get("errors", [])}
    return document["type"].rpartition(":")[2], response.status_code, errors


def test_a_start_is_accepted_with_the_location_of_the_execution(ana, order):
    response = post(ana, START)

    body = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver{EXECUTIONS}{body['saga_id']}/"
    assert response["Retry-After"] == "1"
    assert (body["saga"], body["state"], body["customer_state"]) == ("order", "pending", "processing")
    assert [step["name"] for step in body["steps"]] == ["charge", "ship"]
    execution = SagaExecution.objects.get(saga_id=body["saga_id"])
    assert (execution.input, execution.owner) == ({"color": "red"}, ana.user)


def test_the_same_key_returns_the_same_response_after_the_end(ana, order):
    first = post(ana, START, "one")
    get_saga_orchestrator().resume(first.json()["saga_id"])
    again = post(ana, START, "one")

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert again["Location"] == first["Location"]
    assert SagaExecution.objects.count() == 1


def test_the_same_key_for_a_different_request_is_refused(ana, order):
    post(ana, START, "one")
    response = post(ana, START | {"context": {"color": "blue"}}, "one")

    assert problem(response) == ("key-reused", 422, {})
    assert SagaExecution.objects.count() == 1


def test_another_clients_same_key_is_another_execution(ana, bia, order):
    first, second = post(ana, START, "one"), post(bia, START, "one")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["saga_id"] != second.json()["saga_id"]


def test_a_start_that_fails_does_not_use_the_key(ana, order):
    assert post(ana, START | {"saga": "nothing"}, "one").status_code == 404
    assert not IdempotencyKey.objects.exists()
    assert post(ana, START, "one").status_code == 202


def test_a_key_may_be_quoted_but_must_be_ascii(ana, order):
    assert post(ana, START, '"one"').json() == post(ana, START, "one").json()
    for key in ("o ne", "", "x" * 256):
        response = ana.post(EXECUTIONS, START, format="json", headers={"Idempotency-Key": key})
        assert problem(response) == (
            "invalid",
            400,
            {"#/Idempotency-Key": "Use 1 to 255 visible ASCII characters without spaces."},
        )


def test_the_same_id_with_the_same_input_is_the_same_execution(ana, order):
    first, again = post(ana, START | {"saga_id": "O-1"}), post(ana, START | {"saga_id": "O-1"})

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()


@pytest.mark.parametrize("context", [{"color": "red"}, {"color": "blue"}])
def test_another_clients_id_is_a_conflict_whatever_the_input(ana, bia, order, context):
    post(ana, START | {"saga_id": "O-1"})
    response = post(bia, START | {"saga_id": "O-1", "context": context})

    assert problem(response) == ("conflict", 409, {})
    assert response.json()["detail"] == (
        "This id belongs to a saga that was started by another client or with different input. Use a new id."
    )


def test_ones_own_id_with_different_input_is_the_same_conflict(ana, bia, order):
    post(ana, START | {"saga_id": "O-1"})
    ours = post(ana, START | {"saga_id": "O-1", "context": {}})
    theirs = post(bia, START | {"saga_id": "O-1", "context": {}})

    assert ours.status_code == 409
    assert ours.json() == theirs.json()


def test_invalid_input_is_reported_by_pointers(ana, order):
    order(schema=OrderInput)
    response = post(ana, START | {"context": {"color": "crimson"}})

    name, status, errors = problem(response)
    assert (name, status) == ("invalid", 400)
    assert errors == {
        "#/context/color": "Ensure this field has no more than 5 characters.",
        "#/context/size": "This field is required.",
    }


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"saga": "order", "saga_id": "no spaces"}, "#/saga_id"),
        ({"saga": "order", "saga_id": "."}, "#/saga_id"),
        ({"saga": "order", "saga_id": ".."}, "#/saga_id"),
        ({"saga": "order", "priority": "highest"}, "#/priority"),
        ({"saga": "order", "state": "succeeded"}, "#/state"),
        ({"saga": "order", "owner": 1}, "#/owner"),
        ({"context": {}}, "#/saga"),
        ({"saga": "order", "context": []}, "#/context"),
        ({"saga": "order", "context": {"password": "x"}}, "#/context/password"),
        ({"saga": "order", "context": {"a": {"b": ["\x00"]}}}, "#/context/a/b/0"),
        ({"saga": "order", "context": {"a": "\ud800"}}, "#/context/a"),
        ({"saga": "or\x00der"}, "#/saga"),
        ({"saga": "order", "\ud800": 1}, "#/\ufffd"),
        ({"saga": "order", "priority": "\ud800"}, "#/priority"),
        ([], "#"),
    ],
)
def test_invalid_fields_are_reported_by_pointers(ana, order, wanted, pointer):
    response = ana.post(EXECUTIONS, json.dumps(wanted), content_type="application/json")

    name, status, errors = problem(response)
    assert (name, status) == ("invalid", 400)
    assert list(errors) == [pointer]
    assert not SagaExecution.objects.exists()


class TripInput(serializers.Serializer):
    """The input of a trip: one field of each type for which serializers convert values."""

    name = serializers.CharField()
    seats = serializers.IntegerField(required=False)
    amount = serializers.DecimalField(max_digits=6, decimal_places=2, required=False)
    paid = serializers.BooleanField(required=False)
    code = serializers.CharField(validators=[RegexValidator(r"\A\S+\Z")], required=False)
    key = serializers.CharField(validators=[RegexValidator(r"\A[\w$-]+\[\d\]\$\Z")], required=False)
    stops = serializers.ListField(child=serializers.CharField(), required=False)
    guide = OrderInput(required=False)


SCHEMA = "Must match the schema: pattern"
AMOUNT = r"^-?\d{0,4}(?:\.\d{0,2})?$"


@pytest.mark.parametrize(
    ("context", "errors"),
    [
        ({"name": 7}, {"#/context/name": "Must be of type string."}),
        ({"name": "Rio", "seats": "2"}, {"#/context/seats": "Must be of type integer."}),
        ({"name": "Rio", "amount": 10}, {"#/context/amount": "Must be of type string."}),
        ({"name": "Rio", "paid": "yes"}, {"#/context/paid": "Must be of type boolean."}),
        ({"name": "Rio", "code": " a "}, {"#/context/code": rf"{SCHEMA} ^\S+$."}),
        ({"name": "Rio", "amount": "٣"}, {"#/context/amount": f"{SCHEMA} {AMOUNT}."}),
        ({"name": "Rio", "amount": "1\n"}, {"#/context/amount": f"{SCHEMA} {AMOUNT}."}),
        ({"name": "Rio", "key": "ключ[1]$"}, {"#/context/key": rf"{SCHEMA} ^[\w$-]+\[\d\]\$$."}),
        ({"name": "Rio", "stops": ["a", 1]}, {"#/context/stops/1": "Must be of type string."}),
        (
            {"name": "Rio", "guide": {"color": 1, "size": "1"}},
            {"#/context/guide/color": "Must be of type string.", "#/context/guide/size": "Must be of type integer."},
        ),
        ({"name": 7, "seats": "two"}, {"#/context/seats": "A valid integer is required."}),
    ],
)
def test_input_that_serializers_would_convert_must_match_the_schema(ana, order, context, errors):
    order(schema=TripInput)

    assert problem(post(ana, {"saga": "order", "context": context})) == ("invalid", 400, errors)
    assert not SagaExecution.objects.exists()


def test_input_that_matches_the_schema_is_accepted(ana, order):
    order(schema=TripInput)
    trip = {
        "name": " Rio ",
        "seats": 2,
        "amount": "10.50",
        "paid": True,
        "code": "a",
        "stops": ["x"],
        "key": "$a-1[2]$",
    }

    response = post(ana, {"saga": "order", "context": trip | {"guide": {"color": "red", "size": 1}}})

    assert response.status_code == 202, response.json()


@pytest.mark.parametrize("text", ["a" * 50_000 + "\x00\x00", " " * 50_000 + "\x00", " " * 50_000])
def test_a_long_text_is_refused_quickly(ana, order, text):
    before = time.process_time()

    assert problem(post(ana, {"saga": text}))[:2] == ("invalid", 400)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"[" * 100_000, "The JSON is nested too deeply."),
        (b'{"saga": NaN}', "The body is not valid JSON: NaN is not a JSON number."),
        (b"\xff", "The body is not valid JSON: "),
        (b"1" * 5000, "The body is not valid JSON: "),
    ],
)
def test_invalid_json_is_refused(ana, order, body, detail):
    response = ana.post(EXECUTIONS, body, content_type="application/json")

    assert problem(response) == ("malformed", 400, {})
    assert response.json()["detail"].startswith(detail)


def test_a_body_that_is_too_large_is_refused(ana, order):
    response = ana.post(EXECUTIONS, b" " * 262_145, content_type="application/json")

    assert problem(response) == ("too-large", 413, {})
    assert response.json()["detail"] == "The body is larger than 262144 bytes."


def test_other_media_types_are_refused(ana, order):
    assert problem(ana.post(EXECUTIONS, {"saga": "order"})) == ("unsupported-media-type", 415, {})


def test_an_unknown_saga_is_not_found(ana, order):
    assert problem(post(ana, {"saga": "nothing"}))[:2] == ("unknown-saga", 404)


def test_authentication_is_required(anonymous, order):
    response = post(anonymous, START)

    assert problem(response) == ("not-authenticated", 401, {})
    assert response["WWW-Authenticate"] == "Token"


def test_a_throttled_response_has_retry_after(ana, order, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"sagas.start": "2/min"}}

    codes = [post(ana, START).status_code for _ in range(3)]
    response = post(ana, START)

    assert codes == [202, 202, 429]
    assert problem(response)[:2] == ("throttled", 429)
    assert 0 < int(response["Retry-After"]) <= 61


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wanted", [{"key": "one"}, {"saga_id": "O-1"}], ids=["one key", "one id"])
def test_a_hundred_equal_starts_at_once_make_one_execution(ana, order, settings, wanted):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"sagas.start": None}}
    key, more = wanted.get("key"), {name: value for name, value in wanted.items() if name != "key"}

    def start(_):
        client = APIClient()
        client.credentials(**ana._credentials)
        try:
            response = post(client, START | more, key)
        finally:
            connections.close_all()
        return response.status_code, response.content

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(start, range(100)))

    assert sorted(code for code, _ in answers) == [200] * 99 + [202]
    assert len({body for _, body in answers}) == 1
    assert SagaExecution.objects.count() == 1
