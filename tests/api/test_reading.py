"""Clients can read only their own executions."""

from base64 import b64encode

import pytest

from sagas import OutcomeUnknown, StepFailed
from sagas.models import SagaExecution
from sagas.orchestrator import get_saga_orchestrator

from .conftest import EXECUTIONS, client_named

ROUTES = ["", "history/", "preview/?action=cancel"]
OPERATIONS = ["retry", "cancel", "compensate", "hold", "release", "verify", "acknowledge", "steps/ship/resolve"]


def ended(saga_id):
    return get_saga_orchestrator().resume(saga_id)


def listed(client, query=""):
    response = client.get(f"{EXECUTIONS}{query}")
    assert response.status_code == 200, response.json()
    return [row["saga_id"] for row in response.json()["results"]]


def test_a_succeeded_execution_has_the_outputs_of_its_steps(ana, start):
    saga_id = start()
    ended(saga_id)
    response = ana.get(f"{EXECUTIONS}{saga_id}/")

    body = response.json()
    assert (body["state"], body["customer_state"]) == ("succeeded", "confirmed")
    assert [step["status"] for step in body["steps"]] == ["done", "done"]
    assert body["result"] == {"charge": {"payment": "P-1"}, "ship": {}}
    assert "Retry-After" not in response


def test_an_unfinished_execution_has_retry_after(ana, start):
    response = ana.get(f"{EXECUTIONS}{start()}/")

    assert response["Retry-After"] == "1"
    assert response.json()["result"] is None


def test_an_unchanged_response_is_not_sent_again(ana, start):
    saga_id = start()
    url = f"{EXECUTIONS}{saga_id}/"
    first = ana.get(url)
    same = ana.get(url, headers={"If-None-Match": first["ETag"]})
    ended(saga_id)
    changed = ana.get(url, headers={"If-None-Match": first["ETag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]
    assert changed["Vary"] == "Accept-Language, Authorization, Cookie"


def test_messages_are_in_the_language_of_the_request(ana, start):
    saga_id = start()
    url = f"{EXECUTIONS}{saga_id}/"

    english, portuguese = (ana.get(url, headers={"Accept-Language": language}) for language in ("en", "pt-BR"))
    assert english.json()["message"] == "Your request is being worked on."
    assert portuguese["Content-Language"] == "pt-br"
    assert portuguese.json()["message"] == "Seu pedido está sendo processado."


@pytest.mark.parametrize("route", ROUTES)
def test_another_clients_execution_is_not_found(bia, start, route):
    other, unknown = bia.get(f"{EXECUTIONS}{start()}/{route}"), bia.get(f"{EXECUTIONS}saga-0/{route}")

    assert (other.status_code, unknown.status_code) == (404, 404)
    assert {**other.json(), "detail": ""} == {**unknown.json(), "detail": ""}
    assert unknown.json()["detail"] == "There is no execution 'saga-0'."


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_on_another_clients_execution_are_404(bia, start, operation):
    saga_id = start()
    response = bia.post(f"{EXECUTIONS}{saga_id}/{operation}/", {"reason": "because"}, format="json")

    assert response.status_code == 404
    assert SagaExecution.objects.get(saga_id=saga_id).version == 1


def test_a_client_lists_its_own_and_support_lists_all(ana, bia, support, start):
    ours, theirs = start(ana), start(bia)

    assert listed(ana) == [ours]
    assert listed(bia) == [theirs]
    assert listed(support) == [theirs, ours]


def test_a_list_is_filtered_by_each_parameter_and_by_all(ana, order, start):
    order(references=["sale"])
    first, second = start(context={"sale": "S-1"}), start(context={"sale": "S-2"})
    ended(second)
    moment = SagaExecution.objects.get(saga_id=second).created_at.isoformat().replace("+", "%2B")

    assert listed(ana, "?state=succeeded") == [second]
    assert listed(ana, "?state=succeeded&state=pending&ordering=created_at") == [first, second]
    assert listed(ana, "?saga=order&search=s-1") == [first]
    assert listed(ana, f"?search={second}") == [second]
    assert listed(ana, "?saga=other") == []
    assert listed(ana, "?needs_attention=true") == []
    assert listed(ana, "?needs_attention=false") == [second, first]
    assert listed(ana, f"?created_after={moment}") == [second]
    assert listed(ana, f"?created_before={moment}") == [first]


def test_a_time_may_be_in_any_time_zone(ana, start):
    saga_id = start()

    assert listed(ana, "?created_after=1342-10-01T18:40:15.9%2B20:35&created_before=2999-11-11T03:23:29-23:07") == [
        saga_id
    ]


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00"],
)
def test_the_first_and_last_times_of_the_calendar_are_valid(ana, start, moment):
    everything, early = [start()], moment < "1000"

    assert listed(ana, f"?created_after={moment}") == (everything if early else [])
    assert listed(ana, f"?created_before={moment}") == ([] if early else everything)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("state=lost", "#/state"),
        ("states=failed", "#/states"),
        ("needs_attention=maybe", "#/needs_attention"),
        ("created_after=yesterday", "#/created_after"),
        ("search=%00", "#/search"),
        (f"saga=+{'a' * 64}", "#/saga"),
    ],
)
def test_an_invalid_filter_is_reported_by_a_pointer(ana, start, query, pointer):
    response = ana.get(f"{EXECUTIONS}?{query}")

    assert response.status_code == 400
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


@pytest.mark.parametrize("cursor", ["x", "{{{{", "cD1nYXJiYWdl", "cD0wMDAxLTAxLTAx"])
def test_an_invalid_cursor_is_not_found(ana, start, cursor):
    assert ana.get(f"{EXECUTIONS}?cursor={cursor}").status_code == 404


@pytest.mark.parametrize("position", ["2026-01-01 00:00:00%2B23:59", "2026-01-01 00:00:00"])
def test_a_forged_cursor_is_not_found(ana, start, position):
    assert ana.get(EXECUTIONS, {"cursor": b64encode(f"p={position}".encode())}).status_code == 404


INVALID_SIZES = ["0", "201", "many", "", "000000001201", "000000001" + "9" * 5000]


@pytest.mark.parametrize("query", ["ordering=owner", *(f"page_size={size}" for size in INVALID_SIZES)])
def test_invalid_page_parameters_are_refused(ana, start, query):
    assert ana.get(f"{EXECUTIONS}?{query}").status_code == 400


def test_pages_have_neither_gaps_nor_repetitions(ana, start):
    ids = [start() for _ in range(5)]
    page, found = ana.get(f"{EXECUTIONS}?page_size=2").json(), []
    while True:
        found += [row["saga_id"] for row in page["results"]]
        if not page["next"]:
            break
        page = ana.get(page["next"]).json()

    assert found == ids[::-1]


def test_a_list_takes_the_same_queries_whatever_its_length(ana, start, django_assert_num_queries):
    for _ in range(3):
        start()
    with django_assert_num_queries(5):  # token, permissions (2), rows, corrections
        listed(ana)
    for _ in range(20):
        start()
    with django_assert_num_queries(5):
        listed(ana)


def test_errors_and_reasons_need_the_permission_to_view_all(ana, support, order, start, stage):
    order(stage.step("charge", StepFailed("card of ana@example.com declined")), personal=["email"])
    saga_id = start(context={"email": "ana@example.com"})
    ended(saga_id)
    get_saga_orchestrator().retry_failed(saga_id, reason="ana@example.com called")

    owner = ana.get(f"{EXECUTIONS}{saga_id}/history/").json()
    staff = support.get(f"{EXECUTIONS}{saga_id}/history/").json()
    assert [run["outcome"] for run in owner["step_runs"]] == ["failed", "failed"]
    assert "error" not in owner["step_runs"][0]
    assert "reason" not in owner["events"][0]
    assert staff["step_runs"][0]["error"] == "card of [email] declined"
    assert staff["events"][0]["reason"] == "[email] called"


def test_an_unregistered_saga_shows_neither_errors_nor_reasons(support, order, start, stage):
    order(stage.step("charge", StepFailed("card of ana@example.com declined")), personal=["email"])
    saga_id = start(context={"email": "ana@example.com"})
    ended(saga_id)
    get_saga_orchestrator().retry_failed(saga_id, reason="ana@example.com called")
    SagaExecution.objects.update(saga_name="gone")

    body = support.get(f"{EXECUTIONS}{saga_id}/history/").json()
    assert (body["step_runs"][0]["error"], body["events"][0]["reason"]) == ("", "")


def test_an_output_is_redacted_without_the_permission(ana, order, start, stage):
    report = {"email": "ana@example.com", "to": {"name": "for ana@example.com"}}
    order(stage.step("write", report), personal=["email"])
    saga_id = start(context={"email": "ana@example.com"})
    ended(saga_id)

    result = ana.get(f"{EXECUTIONS}{saga_id}/").json()["result"]
    assert result == {"write": {"email": "[email]", "to": {"name": "for [email]"}}}


def test_a_superseded_value_in_an_output_is_redacted(ana, order, start, stage):
    def writes(context):
        get_saga_orchestrator().hold(context.saga_id, reason="look")
        return {"to": f"for {context['email']}"}

    order(stage.step("write", writes), stage.step("ship"), personal=["email"])
    saga_id = start(context={"email": "ana@exmaple.com"})
    ended(saga_id)
    get_saga_orchestrator().correct_input(saga_id, {"email": "ana@example.com"}, reason="a typo")
    get_saga_orchestrator().release(saga_id, reason="mended")
    ended(saga_id)

    result = ana.get(f"{EXECUTIONS}{saga_id}/").json()["result"]
    assert result == {"write": {"to": "for [email]"}, "ship": {}}


@pytest.fixture
def corrected(ana, order, start, stage):
    """Return a function that starts an order and corrects its address after a step has used it."""

    def writes(context):
        get_saga_orchestrator().hold(context.saga_id, reason="look")
        return {"to": context["email"]}

    step = stage.step("write", writes, wording={"done": "A letter went to {to}."})
    order(step, stage.step("ship"), wording={"checking": "Letters to {to} are looked into."}, personal=["email"])

    def corrected():
        saga_id = start(context={"email": "ana@exmaple.com"})
        ended(saga_id)
        get_saga_orchestrator().correct_input(saga_id, {"email": "ana@example.com"}, reason="a typo")
        return saga_id

    return corrected


def test_a_superseded_value_in_a_sentence_is_redacted(ana, corrected):
    body = ana.get(f"{EXECUTIONS}{corrected()}/").json()
    (row,) = ana.get(EXECUTIONS).json()["results"]

    assert body["steps"][0]["sentence"] == "A letter went to [email]."
    assert body["message"] == row["message"] == "Letters to [email] are looked into."


def test_a_superseded_value_is_shown_with_the_permission(corrected):
    auditor = client_named("auditor", "view_sagaexecution", "view_personal_data")

    body = auditor.get(f"{EXECUTIONS}{corrected()}/").json()
    assert body["steps"][0]["sentence"] == "A letter went to ana@exmaple.com."


def test_the_corrections_of_a_list_take_one_query(ana, corrected, django_assert_num_queries):
    for count in (1, 10):
        for _ in range(count):
            corrected()
        with django_assert_num_queries(5):  # the queries of a list, including one for the corrections
            listed(ana)


def test_outputs_of_an_unregistered_saga_need_the_permission(ana, order, start, stage):
    order(stage.step("write", {"to": "ana@example.com"}), personal=["email"])
    saga_id = start(context={"email": "ana@example.com"})
    ended(saga_id)
    SagaExecution.objects.update(saga_name="gone")
    auditor = client_named("auditor", "view_sagaexecution", "view_personal_data")

    owner, all_of_it = (client.get(f"{EXECUTIONS}{saga_id}/").json() for client in (ana, auditor))
    assert (owner["state"], owner["result"]) == ("succeeded", None)
    assert all_of_it["result"] == {"write": {"to": "ana@example.com"}}


def test_definitions_have_the_schema_of_their_input(ana):
    sagas = {saga["name"]: saga for saga in ana.get("/api/v1/sagas/").json()}

    booking = sagas["create_booking"]
    assert [step["name"] for step in booking["steps"]] == ["create_nf", "send_email", "send_whatsapp", "add_calendar"]
    assert booking["input"]["properties"]["customer_email"]["format"] == "email"
    assert "sale_id" in booking["input"]["required"]
    assert booking["input"]["additionalProperties"] is False
    assert sagas["collect_payment"]["input"]["properties"]["currency"]["enum"] == ["BRL", "EUR", "USD"]


def test_statistics_need_the_permission_to_view_all(ana, support, start):
    ended(start())

    assert ana.get("/api/v1/stats/").status_code == 403
    assert support.get("/api/v1/stats/").json()["by_state"]["succeeded"] == 1


def test_a_saga_in_doubt_is_being_checked(ana, order, start, stage):
    order(stage.step("charge", OutcomeUnknown("no reply"), retry_count=0, undo=None, pivot=True))
    saga_id = start()
    assert ended(saga_id).held

    body = ana.get(f"{EXECUTIONS}{saga_id}/").json()
    assert (body["customer_state"], body["held"], body["needs_attention"]) == ("checking", True, True)
    assert body["steps"][0]["status"] == "in_doubt"


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
@pytest.mark.parametrize(
    "path", ["executions", "executions/O-1/cancel", "bookings/S-1", "executions//", "nothing/", ""]
)
def test_an_unknown_address_is_a_problem_document(ana, anonymous, settings, method, path):
    """A POST without the final slash must not be redirected: the 200 of the list would look like a repeated start."""
    settings.DEBUG = True
    response = getattr(ana, method)(f"/api/v1/{path}")

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json() == {
        "type": "urn:sagas:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "Unknown address. All addresses of this API end with a slash.",
    }
    assert getattr(anonymous, method)(f"/api/v1/{path}").status_code == 401


@pytest.mark.parametrize("route", ["", "{}/", "{}/history/", "{}/preview/?action=hold", "none/", "?page_size=0"])
def test_no_cache_shares_responses_between_clients(ana, start, route):
    answer = ana.get(f"{EXECUTIONS}{route.format(start())}")

    assert answer["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie", "Accept-Language"} <= set(answer["Vary"].split(", "))
