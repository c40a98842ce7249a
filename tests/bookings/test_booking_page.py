"""The booking page in a browser without JavaScript."""

import html
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.cache import cache
from django.urls import reverse

from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagas import SagaState
from sagas.models import SagaEvent, SagaExecution
from sagas.operations import Actor, Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from sagas.presentation.step_status import StepStatus
from sagas.testing import drain
from tests.support.bookings import BOOKING
from tests.support.html import page_of, text_of

pytest_plugins = ["sagas.testing.fixtures"]
pytestmark = pytest.mark.django_db

FORM = {
    "customer_name": "Ana Souza",
    "customer_email": "ana@example.com",
    "customer_phone": "(11) 98765-4321",
    "customer_document": "529.982.247-25",
    "description": "City tour",
    "amount": "420.00",
    "starts_at": "2030-12-01T10:00",
    "ends_at": "2030-12-01T12:00",
}
CANARY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def _counted_anew():
    cache.clear()


@pytest.fixture
def booking():
    return services.book(BOOKING)


@pytest.fixture
def confirmed(booking, saga_clock):
    drain(saga_clock)
    return booking


def words(response) -> str:
    """Return the visible text of the page."""
    return text_of(response)


def sale_in(response) -> str:
    """Return the signed sale id in the form."""
    return page_of(response).xpath("//input[@name='sale']/@value")[0]


def page(client, booking, name="show"):
    return client.get(reverse(f"bookings:{name}", args=[booking.token]))


def send(client, booking, name, **data):
    return client.post(reverse(f"bookings:{name}", args=[booking.token]), data, follow=True)


def pay(client, booking, method="pm_card_visa"):
    return send(client, booking, "pay", payment_method=method)


def lines(response) -> list[tuple[str, str]]:
    """Return the sentence and the status label of each step on the page."""
    steps = page_of(response).xpath("//li[contains(@class, 'step')]")
    return [(step.findtext("*[@class='sentence']"), step.findtext("*[@class='word']")) for step in steps]


def test_the_root_leads_to_the_form(client):
    assert client.get("/").url == "/book/"


def test_the_form_books_and_leads_to_the_bookings_own_page(client, saga_clock):
    response = client.post("/book/", FORM)

    booking = Booking.objects.get()
    assert response.url == f"/bookings/{booking.token}/"
    assert re.fullmatch(r"SALE-[2-9A-HJ-NP-Z]{8}", booking.sale_id)
    assert booking.starts_at.isoformat() == "2030-12-01T13:00:00+00:00"
    assert "We are making your booking" in words(client.get(response.url))
    drain(saga_clock)
    assert "Your booking of City tour on Dec. 1, 2030, 10 a.m. is confirmed." in words(client.get(response.url))


def test_every_field_has_a_label_and_browsers_can_autofill_it(client):
    form = page_of(client.get("/book/")).xpath("//form[@data-once]")[0]

    inputs = form.xpath(".//input[@type != 'hidden']")
    assert len(inputs) == len(FORM)
    for field in inputs:
        assert form.xpath(f".//label[@for='{field.get('id')}']")
        assert field.get("autocomplete")
    assert form.xpath(".//input[@type='email']/@autocomplete") == ["email"]
    assert form.xpath(".//input[@type='tel']/@autocomplete") == ["tel"]


@pytest.mark.parametrize("moment", ["tomorrow", "2030-02-30T10:00"])
def test_what_is_no_moment_is_no_answer_either(client, moment):
    response = client.post("/book/", FORM | {"ends_at": moment})

    assert "Until Datetime has wrong format." in words(response)


def test_an_answer_that_cannot_be_is_told_beside_its_question_and_kept(client):
    response = client.post("/book/", FORM | {"customer_document": "1", "customer_phone": "call me"})
    text = response.content.decode()

    assert '<p class="error" id="id_customer_document_error">Enter a valid CPF or CNPJ. </p>' in text
    assert '<p class="error" id="id_customer_phone_error">Enter a valid telephone number. </p>' in text
    field = re.search(r"<input[^>]*customer_document[^>]*>", text)[0]
    assert 'value="1"' in field
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="id_customer_document_helptext id_customer_document_error"' in field
    assert '<a href="#id_customer_document">CPF or CNPJ</a>: Enter a valid CPF or CNPJ.' in text
    assert '<div class="summary" role="alert" tabindex="-1" autofocus' in text
    assert "<title>Error: Make a booking</title>" in text
    assert not Booking.objects.exists()


def test_an_empty_form_is_told_what_it_lacks(client):
    told = words(client.post("/book/", {}))

    assert told.count("This field is required.") == 2 * (len(FORM) - 1)


def test_a_date_in_the_last_hours_of_time_is_refused(client):
    response = client.post(reverse("bookings:book"), FORM | {"ends_at": "9999-12-31T23:59"})

    assert "This date is out of range." in words(response)
    assert not Booking.objects.exists()


def test_an_end_before_the_start_is_refused(client):
    told = words(client.post("/book/", FORM | {"ends_at": FORM["starts_at"]}))

    assert "Until : The end must be after the start." in told


@pytest.mark.parametrize(
    ("language", "given", "amount"),
    [
        ("pt-br", "1.420,50", "1420.50"),
        ("pt-br", "420,5", "420.50"),
        ("pt-br", "420.50", "420.50"),
        ("en", "1,420.50", "1420.50"),
    ],
)
def test_a_price_may_be_written_as_people_write_it(client, language, given, amount):
    client.post("/book/", FORM | {"amount": given}, headers={"accept-language": language})

    assert str(Booking.objects.get().amount) == amount


def test_a_form_that_is_sent_twice_books_once(client):
    sale = sale_in(client.get("/book/"))

    first, second = (client.post("/book/", FORM | {"sale": sale}) for _ in range(2))

    assert first.url == second.url
    assert Booking.objects.count() == 1


def test_a_form_that_is_sent_again_with_other_answers_asks_first(client):
    sale = sale_in(client.get("/book/"))
    client.post("/book/", FORM | {"sale": sale})

    response = client.post("/book/", FORM | {"sale": sale, "description": "Another tour"})

    assert "You have already sent this form with other answers. Send it again to make a second booking." in words(
        response
    )
    fresh = sale_in(response)
    client.post("/book/", FORM | {"sale": fresh, "description": "Another tour"})
    assert Booking.objects.count() == 2


def test_nobody_chooses_the_id_of_a_sale(client):
    client.post("/book/", FORM | {"sale": "SALE-001:forged"})

    assert Booking.objects.get().sale_id != "SALE-001"


def test_a_token_that_nobody_has_leads_nowhere(client, booking):
    for name in ("show", "progress", "cancel"):
        response = client.get(reverse(f"bookings:{name}", args=["1f0e8f44-9f3e-4a3c-8a63-5a3f5c2f2c11"]))
        assert response.status_code == 404
        assert "Page not found" in words(response)
    assert client.get(f"/bookings/{booking.sale_id}/").status_code == 404


def test_each_step_is_told_with_a_word_and_a_sentence(client, booking):
    assert lines(page(client, booking)) == [
        ("Invoice", "Waiting"),
        ("Confirmation by e-mail", "Waiting"),
        ("Confirmation by WhatsApp", "Waiting"),
        ("Calendar entry", "Waiting"),
    ]


def test_who_has_no_telephone_is_told_of_no_message_to_it(client, saga_clock):
    booking = services.book(BOOKING | {"customer_phone": ""})
    drain(saga_clock)

    assert "WhatsApp" not in words(page(client, booking))


def test_a_confirmed_booking_shows_what_was_done_and_offers_to_pay(client, confirmed):
    response = page(client, confirmed)

    assert [word for _, word in lines(response)] == ["Done"] * 4
    assert "The confirmation was sent to customer@example.com." in words(response)
    assert "These are test cards: no money moves." in words(response)
    assert "Pay R$ 420.00" in words(response)


def test_a_booking_that_could_not_be_made_says_so_and_what_was_undone(client, booking, saga_clock, plant):
    plant("calendar", "add", "refuse")
    drain(saga_clock)
    response = page(client, booking)

    assert "We could not make your booking" in words(response)
    assert [word for _, word in lines(response)] == ["Undone", "Undone", "Undone", "Not done"]
    assert "Cancel this booking" not in words(response)
    assert "Pay R$" not in words(response)


def test_a_booking_in_doubt_is_checked(client, booking, saga_clock, plant):
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")
    drain(saga_clock)
    response = page(client, booking)

    assert "We are checking your booking" in words(response)
    assert lines(response)[0][1] == "Could not be undone"


def test_a_held_booking_is_checked(client, booking):
    perform(Operation.HOLD, booking.booking_saga_id, reason="a question", by=Actor(name="support"))

    response = page(client, booking)

    assert "We are checking your booking" in words(response)
    assert "a question" not in words(response)


def test_a_booking_is_paid_on_its_page(client, confirmed, saga_clock):
    told = words(pay(client, confirmed))
    assert "We are processing your payment" in told
    assert "Pay R$" not in told

    drain(saga_clock)
    told = words(page(client, confirmed))
    assert "Paid, thank you" in told
    assert "The receipt was sent to customer@example.com." in told


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("pm_card_chargeDeclined", "Your card was declined."),
        ("pm_card_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ("pm_card_chargeDeclinedExpiredCard", "Your card has expired."),
    ],
)
def test_a_declined_card_is_told_with_its_reason_and_another_may_be_tried(
    client, confirmed, saga_clock, method, reason
):
    pay(client, confirmed, method)
    drain(saga_clock)
    told = words(page(client, confirmed))

    assert f"Payment failed {reason} The payment of R$ 420.00 did not go through;" in told
    assert "Waiting" not in told
    assert "Try another card" in told

    pay(client, confirmed)
    drain(saga_clock)
    assert "Paid, thank you" in words(page(client, confirmed))


def test_a_paid_booking_offers_no_payment_after_its_saga_was_deleted(client, confirmed):
    Booking.objects.update(payment_status="paid", payment_saga_id="payment-SALE-001-1")

    assert 'id="pay"' not in page(client, confirmed).content.decode()


def test_a_payment_that_is_sent_twice_is_made_once(client, confirmed):
    pay(client, confirmed)

    assert "A payment of this booking is in progress." in words(pay(client, confirmed))
    assert SagaExecution.objects.of_sagas(["collect_payment"]).count() == 1


@pytest.mark.parametrize(
    ("method", "sentence"), [("", "Choose a card."), ("pm_card_of_mine", "Choose one of these cards.")]
)
def test_only_a_test_card_is_charged(client, confirmed, method, sentence):
    assert sentence in words(pay(client, confirmed, method))
    assert not SagaExecution.objects.of_sagas(["collect_payment"]).exists()


def test_cancelling_is_asked_for_before_it_is_done(client, confirmed, saga_clock):
    asked = words(page(client, confirmed, "cancel"))
    assert "Cancel this booking?" in asked
    assert "If you have paid, R$ 420.00 will be refunded to your card." in asked
    assert not SagaEvent.objects.exists()

    told = words(send(client, confirmed, "cancel", reason="I am ill"))
    assert "We are cancelling your booking" in told
    drain(saga_clock)
    assert "Your booking is cancelled" in words(page(client, confirmed))
    assert SagaEvent.objects.get().reason == "I am ill"


def test_nobody_is_asked_whether_to_cancel_what_is_cancelled_or_cannot_be(client, booking, saga_clock, plant):
    """The customer can open an old link to the question with the browser's Back button or in a second tab."""
    plant("calendar", "add", "refuse")
    plant("invoices", "cancel", "refuse")
    drain(saga_clock)
    sold = services.book(BOOKING | {"sale_id": "SALE-002"})
    assert page(client, sold, "cancel").status_code == 200
    send(client, sold, "cancel")

    for gone in (booking, sold):
        assert page(client, gone, "cancel").url == f"/bookings/{gone.token}/"


def test_a_paid_booking_that_is_cancelled_says_that_the_money_is_back(client, confirmed, saga_clock):
    pay(client, confirmed)
    drain(saga_clock)
    send(client, confirmed, "cancel")
    assert "We are cancelling your payment" in words(page(client, confirmed))
    drain(saga_clock)

    told = words(page(client, confirmed))
    assert "Your booking is cancelled" in told
    assert "You have been refunded" in told
    assert SagaEvent.objects.latest("pk").reason == "The customer cancelled on the booking page."


def test_a_paid_booking_that_failed_can_be_refunded(client, confirmed, saga_clock):
    pay(client, confirmed)
    drain(saga_clock)
    get_saga_orchestrator().compensate("booking-SALE-001")
    assert 'id="cancel"' in page(client, confirmed).content.decode()

    send(client, confirmed, "cancel")
    drain(saga_clock)

    shown = page(client, confirmed)
    assert "Your booking is cancelled" in words(shown)
    assert "You have been refunded" in words(shown)
    assert 'id="cancel"' not in shown.content.decode()


@pytest.fixture
def stuck(client, confirmed, saga_clock, plant):
    """A booking that was paid and cancelled, but the payment gateway refused the refund."""
    pay(client, confirmed)
    drain(saga_clock)
    plant("payments", "refund", "refuse")
    send(client, confirmed, "cancel")
    drain(saga_clock)
    return confirmed


def test_a_refund_that_failed_for_good_is_told_with_who_sees_to_it(client, stuck):
    told = words(page(client, stuck))

    assert "Your booking is cancelled" in told
    assert (
        "We are looking into your refund R$ 420.00 could not be refunded and is still charged. "
        "A person is looking into it. "
        "We are checking your payment of R$ 420.00 for City tour. Please do not pay again."
    ) in told
    assert "Charge Could not be undone" in told


@pytest.mark.parametrize(
    ("word", "headline"),
    [
        (
            "done",
            "You have been charged Your card was charged and was not refunded. If you do not know why, please write",
        ),
        ("undone", "You have been refunded"),
        ("not_done", "Nothing was charged"),
    ],
)
def test_what_a_person_has_found_out_about_the_money_is_told(client, stuck, orchestrator, word, headline):
    orchestrator.resolve_step("payment-SALE-001-1", "process_payment", word, evidence="the gateway", reason="seen")

    told = words(page(client, stuck))

    assert headline in told
    assert ("Nothing was charged" in told) is (word == "not_done")


def test_a_charge_kept_by_an_operator_is_not_shown_as_a_failed_payment(
    client, confirmed, saga_clock, plant, orchestrator
):
    plant("payments", "refund", "refuse")
    plant("email", "send", "refuse")
    pay(client, confirmed)
    drain(saga_clock)
    orchestrator.resolve_step("payment-SALE-001-1", "process_payment", "done", evidence="the gateway", reason="seen")

    shown = page(client, confirmed)

    assert "You have been charged Your card was charged and was not refunded." in words(shown)
    assert "Payment failed" not in words(shown)
    assert "To cancel this booking, please write to us." in words(shown)
    assert 'id="cancel"' not in shown.content.decode()
    assert 'id="pay"' not in shown.content.decode()


def test_how_it_stands_is_told_also_when_its_sagas_are_not_kept_any_more(client, confirmed, saga_clock):
    pay(client, confirmed)
    drain(saga_clock)
    SagaExecution.objects.all().delete()

    told = words(page(client, confirmed))

    assert "Your booking is confirmed" in told
    assert "Paid, thank you" in told
    assert "To cancel this booking, please write to us." in told
    assert (
        "This booking can no longer be cancelled here. Please write to us: we will cancel it and refund you."
    ) in words(send(client, confirmed, "cancel"))


def test_so_is_what_was_cancelled_long_ago(client, confirmed, saga_clock):
    pay(client, confirmed)
    drain(saga_clock)
    send(client, confirmed, "cancel")
    drain(saga_clock)
    SagaExecution.objects.all().delete()

    told = words(page(client, confirmed))

    assert "Your booking is cancelled" in told
    assert "You have been refunded" in told
    assert "please write to us" not in told


def test_a_booking_that_is_still_made_can_be_cancelled(client, booking):
    assert "Your booking is cancelled" in words(send(client, booking, "cancel"))
    assert SagaExecution.objects.get().state is SagaState.FAILED


def test_what_cannot_be_cancelled_says_why(client, booking, saga_clock, plant):
    plant("calendar", "add", "refuse")
    drain(saga_clock)

    assert "Nothing was booked, so there is nothing to cancel." in words(send(client, booking, "cancel"))


def test_a_booking_that_a_payment_alone_has_made_has_a_page(client):
    booking = Booking.objects.create(sale_id="S", customer_name="Ana", customer_email="a@b.co", amount=1)

    assert "Booking S" in words(page(client, booking))


def test_what_has_not_changed_is_not_sent_again(client, booking, saga_clock):
    first = page(client, booking, "progress")
    again = client.get(first.wsgi_request.path, headers={"if-none-match": first["ETag"]})
    drain(saga_clock)
    news = client.get(first.wsgi_request.path, headers={"if-none-match": first["ETag"]})

    assert (first.status_code, again.status_code, news.status_code) == (200, 304, 200)
    assert again.content == b""
    assert " data-running" in first.content.decode()
    assert " data-running" not in news.content.decode()
    assert first["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


def test_the_page_and_its_updates_are_the_same(client, booking):
    update = page(client, booking, "progress").content.decode()

    assert update.strip() in page(client, booking).content.decode()


def test_without_javascript_the_page_reloads_while_something_runs(client, booking, saga_clock):
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'
    assert refresh in page(client, booking).content.decode()
    drain(saga_clock)
    assert refresh not in page(client, booking).content.decode()


def test_the_page_speaks_the_language_that_was_chosen(client, booking):
    client.post("/i18n/setlang/", {"language": "pt-br", "next": "/book/"})

    assert "Fazer uma reserva" in words(client.get("/book/"))
    assert '<html lang="pt-br">' in page(client, booking).content.decode()
    assert "Estamos fazendo a sua reserva" in words(page(client, booking))


def test_errors_are_told_in_that_language_too(client):
    told = words(client.post("/book/", FORM | {"customer_document": "1"}, headers={"accept-language": "pt-br"}))

    assert "Informe um CPF ou CNPJ válido." in told


def test_who_sends_too_much_is_told_to_wait(client, settings, booking):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"booking_page": "2/min"}}
    client.post("/book/", {})
    client.post("/book/", {})

    for path in ("/book/", f"/bookings/{booking.token}/payment/", f"/bookings/{booking.token}/cancel/"):
        response = client.post(path, headers={"x-forwarded-for": "203.0.113.7"})
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 60
        assert "There were too many requests from your address." in words(response)
    assert client.get("/book/").status_code == 200
    assert client.post("/book/", REMOTE_ADDR="203.0.113.7").status_code == 200


def test_only_what_is_ours_may_run(client, booking, admin_client):
    policy = [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
    ]
    for response in (client.get("/book/"), page(client, booking), admin_client.get("/admin/")):
        assert sorted(response["Content-Security-Policy"].split("; ")) == policy
        assert response["X-Frame-Options"] == "DENY"
        assert response["Referrer-Policy"] == "same-origin"
        assert response["X-Content-Type-Options"] == "nosniff"


def test_no_page_has_anything_inline(client, confirmed):
    for path in ("/book/", f"/bookings/{confirmed.token}/", f"/bookings/{confirmed.token}/cancel/"):
        text = client.get(path).content.decode()
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


def test_what_is_smuggled_in_is_shown_and_does_nothing(client, saga_clock):
    for name in FORM:
        text = client.post("/book/", FORM | {name: CANARY}).content.decode()
        assert "<script>alert" not in text
        assert "<img src=x" not in text

    services.book(BOOKING | {"sale_id": "X", "customer_name": CANARY, "description": CANARY})
    drain(saga_clock)
    booking = Booking.objects.get(sale_id="X")
    for name in ("show", "cancel"):
        response = page(client, booking, name)
        assert "<script>alert" not in response.content.decode()
        assert CANARY in html.unescape(response.content.decode())


def test_an_address_says_nothing_of_its_customer(client):
    url = client.post("/book/", FORM).url

    assert re.fullmatch(r"/bookings/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/", url)


def test_a_post_without_its_token_is_refused(booking, client):
    strict = type(client)(enforce_csrf_checks=True)

    for path in ("/book/", f"/bookings/{booking.token}/payment/", f"/bookings/{booking.token}/cancel/"):
        assert strict.post(path, FORM).status_code == 403


def test_looking_changes_nothing(client, confirmed):
    for name in ("show", "progress", "cancel"):
        page(client, confirmed, name)
    assert client.get(f"/bookings/{confirmed.token}/payment/").status_code == 405

    assert not SagaEvent.objects.exists()
    assert SagaExecution.objects.count() == 1


def test_staff_find_the_administration(client, admin_client):
    assert "Administration" not in words(client.get("/book/"))
    assert "Administration" in words(admin_client.get("/book/"))


def test_each_status_of_a_step_has_an_icon():
    icons = re.findall(r'<symbol id="(\w+)"', Path(finders.find("bookings/icons.svg")).read_text())

    assert sorted(icons) == sorted(StepStatus)


@pytest.mark.parametrize("name", ["booking.css", "booking.js", "favicon.svg", "icons.svg"])
def test_files_are_served_where_no_web_server_does_it(client, name):
    response = client.get(f"/static/bookings/{name}")

    assert response.status_code == 200
    assert b"".join(response.streaming_content)


def test_browsers_that_ask_for_an_icon_get_one(client):
    assert client.get("/favicon.ico").url == "/static/bookings/favicon.svg"
