"""The booking API, called by clients with a token."""

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from sagaproject.bookings.models import Booking
from sagas.models import IdempotencyKey, SagaEvent, SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from sagas.testing import drain
from tests.support.bookings import BOOKING, PAYMENT

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

URL = "/api/v1/bookings/"
SALE = f"{URL}SALE-001/"
VISA = {"payment_method": "pm_card_visa"}
ILL = {"reason": "I am ill"}


@pytest.fixture(autouse=True)
def _counted_anew():
    cache.clear()


@pytest.fixture
def client_named(django_user_model):
    """Create a user with these permissions of the app `sagas`, and return an API client with the user's token."""

    def make(name, *permissions):
        user = django_user_model.objects.create_user(name)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="sagas"))
        client = APIClient()
        client.default_format = "json"
        client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
        client.user = user
        return client

    return make


@pytest.fixture
def ana(client_named):
    return client_named("ana")


@pytest.fixture
def bia(client_named):
    return client_named("bia")


@pytest.fixture
def confirmed(ana, saga_clock):
    post(ana, URL, BOOKING)
    drain(saga_clock)


def post(client, url, data, **headers):
    return client.post(url, data, format="json", headers=headers)


def start(client, saga, context):
    """Start a saga through the API of executions instead of the booking API. Return its id."""
    return post(client, "/api/v1/executions/", {"saga": saga, "context": context}).json()["saga_id"]


def problem(response):
    """Return the status, the last part of the type, and the detail of a problem response."""
    assert response["Content-Type"] == "application/problem+json"
    told = response.json()
    return told["status"], told["type"].rpartition(":")[2], told["detail"]


def test_a_booking_is_made_and_can_be_followed(ana, saga_clock):
    response = post(ana, URL, BOOKING)
    made = response.json()

    assert response.status_code == 202
    assert response["Location"] == f"http://testserver{SALE}"
    assert response["Retry-After"] == "1"
    assert (made["sale_id"], made["status"], made["payment_status"]) == ("SALE-001", "pending", "pending")
    assert (made["amount"], made["currency"], made["payment"]) == ("420.00", "BRL", None)
    assert made["booking"]["customer_state"] == "processing"
    assert made["page"] == f"http://testserver/bookings/{Booking.objects.get().token}/"

    drain(saga_clock)
    told = ana.get(SALE).json()
    assert told["status"] == "confirmed"
    assert told["booking"]["message"] == "Your booking of City tour on Dec. 1, 2026, 10 a.m. is confirmed."
    assert [step["status"] for step in told["booking"]["steps"]] == ["done"] * 4


def test_what_is_personal_is_not_told(ana, confirmed):
    text = ana.get(SALE).content.decode()

    for key in ("customer_name", "customer_email", "customer_document", "customer_phone"):
        assert BOOKING[key] not in text


def test_a_sale_without_an_id_gets_one(ana):
    made = post(ana, URL, {key: value for key, value in BOOKING.items() if key != "sale_id"}).json()

    assert made["sale_id"] == Booking.objects.get().sale_id
    assert made["sale_id"].startswith("SALE-")


def test_the_same_sale_again_is_the_same_booking(ana):
    first, again = post(ana, URL, BOOKING), post(ana, URL, BOOKING)

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert SagaExecution.objects.count() == 1


def test_the_same_key_again_is_the_same_booking(ana):
    sale = {key: value for key, value in BOOKING.items() if key != "sale_id"}
    first, again = (post(ana, URL, sale, **{"Idempotency-Key": "k1"}) for _ in range(2))

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["sale_id"] == again.json()["sale_id"]
    assert Booking.objects.count() == 1


def test_a_repeated_key_returns_the_booking_that_another_saga_made(ana, saga_clock, plant):
    plant("calendar", "add", "refuse")
    key = {"Idempotency-Key": "one"}
    post(ana, URL, BOOKING, **key)
    drain(saga_clock)
    again = start(ana, "create_booking", BOOKING)
    drain(saga_clock)

    response = post(ana, URL, BOOKING, **key)

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["booking"]["saga_id"]) == ("confirmed", again)


def test_a_key_whose_saga_is_not_kept_any_more_leads_nowhere(ana, confirmed):
    key = {"Idempotency-Key": "one"}
    post(ana, f"{SALE}payment/", VISA, **key)
    IdempotencyKey.objects.update(saga_id="gone")

    assert problem(post(ana, f"{SALE}payment/", VISA, **key))[:2] == (404, "not-found")


def test_the_same_key_for_another_sale_is_refused(ana):
    post(ana, URL, BOOKING, **{"Idempotency-Key": "k1"})
    response = post(ana, URL, BOOKING | {"amount": "1.00"}, **{"Idempotency-Key": "k1"})

    assert problem(response)[:2] == (422, "key-reused")


@pytest.mark.parametrize("who", ["ana", "bia"])
def test_a_sale_id_that_is_taken_is_refused_alike_for_everybody(ana, bia, who):
    post(ana, URL, BOOKING)
    response = post({"ana": ana, "bia": bia}[who], URL, BOOKING | {"amount": "1.00"})

    assert problem(response) == (
        409,
        "conflict",
        "This id belongs to a saga that was started by another client or with different input. Use a new id.",
    )


def test_another_clients_sale_is_not_handed_out_to_whoever_repeats_it(ana, bia):
    post(ana, URL, BOOKING)

    assert problem(post(bia, URL, BOOKING))[0] == 409


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"customer_document": "1"}, [("#/customer_document", "Enter a valid CPF or CNPJ.")]),
        (
            {"sale_id": "a/b"},
            [("#/sale_id", "Use only letters, digits and . _ : ~ -. The values . and .. are not allowed.")],
        ),
        (
            {"sale_id": {}},
            [("#/sale_id", "Use only letters, digits and . _ : ~ -. The values . and .. are not allowed.")],
        ),
        ({"description": 7}, [("#/description", "Must be of type string.")]),
        ({"ends_at": BOOKING["starts_at"]}, [("#/ends_at", "The end must be after the start.")]),
        ({"description": "a\x00b"}, [("#/description", "contains a NUL character, which cannot be stored")]),
    ],
)
def test_a_booking_that_cannot_be_is_refused_by_field(ana, changes, errors):
    response = post(ana, URL, BOOKING | changes)

    assert problem(response)[:2] == (400, "invalid")
    assert [(error["pointer"], error["detail"]) for error in response.json()["errors"]] == errors
    assert not Booking.objects.exists()


@pytest.mark.parametrize("field", ["status", "payment_status", "owner", "token"])
def test_nobody_assigns_what_sagas_write(ana, field):
    response = post(ana, URL, BOOKING | {field: "paid"})

    assert problem(response)[:2] == (400, "invalid")
    assert response.json()["errors"][0]["pointer"] == f"#/{field}"


@pytest.mark.parametrize("body", [[], "a", 1, None])
def test_what_is_no_object_is_refused(ana, confirmed, body):
    for url in (URL, f"{SALE}payment/", f"{SALE}cancel/"):
        assert problem(post(ana, url, body))[:2] == (400, "invalid")


def test_what_has_not_changed_is_not_sent_again(ana, confirmed):
    first = ana.get(SALE)

    assert ana.get(SALE, headers={"If-None-Match": first["ETag"]}).status_code == 304


def test_a_booking_is_paid(ana, confirmed, saga_clock):
    response = post(ana, f"{SALE}payment/", VISA)
    assert response.status_code == 202
    assert response.json()["payment"]["customer_state"] == "processing"

    drain(saga_clock)
    assert ana.get(SALE).json()["payment_status"] == "paid"


def test_a_repeated_payment_is_made_once_with_a_key_and_refused_without(ana, confirmed):
    first, again = (post(ana, f"{SALE}payment/", VISA, **{"Idempotency-Key": "k1"}) for _ in range(2))

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["payment"]["saga_id"] == again.json()["payment"]["saga_id"]
    assert problem(post(ana, f"{SALE}payment/", VISA)) == (
        409,
        "not-possible",
        "A payment of this booking is in progress.",
    )


def test_a_booking_that_is_not_confirmed_is_not_paid(ana):
    post(ana, URL, BOOKING)

    assert problem(post(ana, f"{SALE}payment/", VISA))[2] == "Only a confirmed booking can be paid."


def test_a_declined_card_is_told(ana, confirmed, saga_clock):
    post(ana, f"{SALE}payment/", {"payment_method": "pm_card_chargeDeclined"})
    drain(saga_clock)
    told = ana.get(SALE).json()

    assert told["payment_status"] == "payment_failed"
    assert told["payment"]["steps"][0]["status"] == "refused"


def test_a_payment_method_that_is_none_is_refused(ana, confirmed):
    response = post(ana, f"{SALE}payment/", {"payment_method": "no card"})

    assert [(e["pointer"], e["detail"]) for e in response.json()["errors"]] == [("#/payment_method", "Use no spaces.")]


def test_a_booking_is_cancelled(ana, confirmed, saga_clock):
    post(ana, f"{SALE}payment/", VISA)
    drain(saga_clock)
    response = post(ana, f"{SALE}cancel/", ILL)
    assert response.status_code == 202
    drain(saga_clock)

    told = ana.get(SALE).json()
    assert (told["status"], told["payment_status"]) == ("cancelled", "refunded")
    event = SagaEvent.objects.latest("pk")
    assert (event.actor, event.source, event.reason) == (ana.user, "api", "I am ill")


def test_a_refund_that_failed_for_good_is_told(ana, confirmed, saga_clock, plant):
    post(ana, f"{SALE}payment/", VISA)
    drain(saga_clock)
    plant("payments", "refund", "refuse")
    post(ana, f"{SALE}cancel/", ILL)
    drain(saga_clock)

    told = ana.get(SALE).json()
    assert (told["status"], told["payment_status"]) == ("cancelled", "checking")
    assert told["payment"]["message"] == (
        "R$ 420.00 could not be refunded and is still charged. A person is looking into it. "
        "We are checking your payment of R$ 420.00 for City tour. Please do not pay again."
    )


def test_a_list_says_nothing_of_money_that_only_a_person_knows_of(ana, confirmed, saga_clock, plant, orchestrator):
    post(ana, f"{SALE}payment/", VISA)
    drain(saga_clock)
    plant("payments", "refund", "refuse")
    post(ana, f"{SALE}cancel/", ILL)
    drain(saga_clock)
    orchestrator.resolve_step("payment-SALE-001-1", "process_payment", "done", evidence="the gateway", reason="seen")

    told = ana.get("/api/v1/executions/?saga=collect_payment").json()["results"]

    assert [row["message"] for row in told] == ["Your request was not carried out."]
    assert ana.get(SALE).json()["payment"]["message"] == (
        "R$ 420.00 was charged. The rest of your request was not carried out."
    )


def test_a_cancellation_needs_a_reason(ana, confirmed):
    response = post(ana, f"{SALE}cancel/", {})

    assert response.json()["errors"] == [{"pointer": "#/reason", "detail": "This field is required."}]


def test_what_was_not_booked_is_not_cancelled(ana, saga_clock, plant):
    plant("calendar", "add", "refuse")
    post(ana, URL, BOOKING)
    drain(saga_clock)

    assert problem(post(ana, f"{SALE}cancel/", ILL)) == (
        409,
        "not-possible",
        "Nothing was booked, so there is nothing to cancel.",
    )


def test_somebody_elses_booking_is_as_little_there_as_none(bia, confirmed):
    for operation, data in (("", None), ("payment/", VISA), ("cancel/", ILL)):
        answers = []
        for sale in ("SALE-001", "SALE-002", "SALE%00", "S%20A"):
            url = f"{URL}{sale}/{operation}"
            answers.append(bia.get(url) if data is None else post(bia, url, data))
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
    assert not SagaEvent.objects.exists()


def test_staff_see_all_bookings_without_the_customers_link(client_named, confirmed):
    staff = client_named("auditor", "view_sagaexecution")

    told = staff.get(SALE).json()
    assert (told["sale_id"], told["page"]) == ("SALE-001", None)
    assert problem(post(staff, f"{SALE}payment/", VISA))[2] == "Only the client who made the booking can pay it."
    assert problem(post(staff, f"{SALE}cancel/", ILL))[2] == "The permission sagas.cancel_saga is required."
    assert not SagaEvent.objects.exists()


def test_staff_who_may_undo_sagas_cancel_bookings(client_named, confirmed):
    staff = client_named("supervisor", "view_sagaexecution", "cancel_saga", "compensate_saga")

    assert post(staff, f"{SALE}cancel/", ILL).status_code == 202


def test_without_a_token_nothing_is_told(confirmed):
    nobody = APIClient()

    for answer in (nobody.get(SALE), post(nobody, URL, BOOKING), post(nobody, f"{SALE}payment/", VISA)):
        assert problem(answer)[:2] == (401, "not-authenticated")


def test_bookings_are_in_the_document_of_the_api(client):
    paths = client.get("/api/schema/?format=json").json()["paths"]

    assert set(paths["/api/v1/bookings/"]["post"]["responses"]) == {
        *("200", "202", "400", "401", "409", "411", "413", "415", "422", "429")
    }
    assert set(paths["/api/v1/bookings/{sale_id}/"]["get"]["responses"]) == {"200", "304", "401", "404", "429"}
    for operation in ("payment", "cancel"):
        assert {"202", "403", "404", "409"} <= set(
            paths[f"/api/v1/bookings/{{sale_id}}/{operation}/"]["post"]["responses"]
        )


def test_another_clients_sagas_change_nothing_about_a_booking(ana, bia, saga_clock):
    post(ana, URL, BOOKING)
    hers = {"customer_name": "Bia", "customer_email": "bia@example.com", "description": "Hers", "amount": "0.01"}
    get_saga_orchestrator().resume(start(bia, "create_booking", BOOKING | hers))
    drain(saga_clock)
    told = ana.get(SALE).json()
    start(bia, "collect_payment", PAYMENT | hers)
    drain(saga_clock)

    assert ana.get(SALE).json() == told
    assert (told["status"], told["payment_status"], told["description"]) == ("confirmed", "pending", "City tour")
    assert post(ana, f"{SALE}payment/", VISA).status_code == 202


def test_another_clients_payment_does_not_affect_the_booking(ana, bia, confirmed):
    hers = start(bia, "collect_payment", PAYMENT)

    assert post(ana, f"{SALE}payment/", VISA).status_code == 202
    assert post(ana, f"{SALE}cancel/", ILL).status_code == 202
    assert bia.get(f"/api/v1/executions/{hers}/").json()["state"] == "pending"
    assert bia.get(f"/api/v1/executions/{hers}/history/").json()["events"] == []


def test_a_client_that_has_paid_before_it_books_is_not_asked_to_pay_again(ana, bia, saga_clock):
    start(ana, "collect_payment", PAYMENT)
    drain(saga_clock)

    assert post(bia, URL, BOOKING).status_code == 409
    assert post(ana, URL, BOOKING).json()["payment_status"] == "paid"
