"""A customer books, watches, pays and cancels in a browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from integrations.models import FaultMode, SandboxFault
from sagaproject.bookings.models import Booking

pytestmark = pytest.mark.usefixtures("workers")

ANSWERS = {
    "What would you like to book?": "City tour of São Paulo",
    "From": "2030-12-01T10:00",
    "Until": "2030-12-01T12:00",
    "Price in reais": "420.00",
    "Name": "Ana Souza",
    "E-mail": "ana.souza@example.com",
    "Mobile phone (optional)": "(11) 98765-4321",
    "CPF or CNPJ": "529.982.247-25",
}
CONFIRMED = "Your booking is confirmed"
SLOW = 1500


@pytest.fixture
def slow(transactional_db):
    """Return a function that delays the next call of a provider: slow("calendar", "add")."""

    def order(port, operation):
        SandboxFault.objects.create(port=port, operation=operation, mode=FaultMode.LATENCY, latency_ms=SLOW)

    return order


def fill_in(page: Page, **other: str) -> None:
    for label, text in (ANSWERS | other).items():
        page.get_by_label(label, exact=True).fill(text)


def book(page: Page) -> None:
    fill_in(page)
    page.get_by_role("button", name="Book").click()


def expect_headline(page: Page, headline: str) -> None:
    expect(page.get_by_role("heading", name=headline)).to_be_visible()


def pay_with(page: Page, card: str) -> None:
    page.get_by_label(card).check()
    page.get_by_role("button", name="Pay R$").click()


def flaws(page: Page) -> list[str]:
    """Return axe's accessibility findings."""
    found = Axe().run(page).response["violations"]
    return [f"{flaw['id']}: {node['html']}" for flaw in found for node in flaw["nodes"]]


def test_a_customer_books_watches_and_pays(open_page, slow):
    page = open_page()
    slow("calendar", "add")
    book(page)

    expect_headline(page, "We are making your booking")
    expect(page.locator(".step.running")).to_contain_text("is being added to the calendar")
    expect(page.get_by_role("status").first).to_contain_text("is being added to the calendar")
    expect_headline(page, CONFIRMED)
    expect(page.locator(".step.done")).to_have_count(4)

    slow("payments", "confirm")
    pay_with(page, "Visa")
    expect_headline(page, "We are processing your payment")
    expect_headline(page, "Paid, thank you")
    expect(page.get_by_text("The receipt was sent to ana.souza@example.com.")).to_be_visible()
    assert Booking.objects.get().payment_status == "paid"


def test_a_declined_card_says_why_and_another_one_is_tried(open_page):
    page = open_page()
    book(page)
    pay_with(page, "A card with insufficient funds")

    expect_headline(page, "Payment failed")
    expect(page.locator("#progress").get_by_text("Your card has insufficient funds.")).to_be_visible()
    pay_with(page, "Mastercard")
    expect_headline(page, "Paid, thank you")


def test_a_reload_in_the_middle_shows_where_it_stands(open_page, slow):
    page = open_page()
    slow("calendar", "add")
    book(page)
    expect(page.locator(".step.running")).to_contain_text("is being added to the calendar")

    page.reload()

    expect(page.locator(".step.running")).to_contain_text("is being added to the calendar")
    expect_headline(page, CONFIRMED)
    assert Booking.objects.count() == 1


def test_a_booking_is_cancelled_and_the_money_given_back(open_page):
    page = open_page()
    book(page)
    pay_with(page, "Visa")
    expect_headline(page, "Paid, thank you")

    page.get_by_role("link", name="Cancel this booking").click()
    page.get_by_label("Why? (optional)").fill("I am ill")
    page.get_by_role("button", name="Cancel booking").click()

    expect_headline(page, "Your booking is cancelled")
    expect_headline(page, "You have been refunded")


def test_the_keyboard_is_enough(open_page):
    page = open_page()
    press(page, "Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press(page, "Enter", "Tab")
    expect(page.get_by_label("What would you like to book?")).to_be_focused()
    fill_in(page)
    page.get_by_label("CPF or CNPJ").focus()
    press(page, "Tab")
    expect(page.get_by_role("button", name="Book")).to_be_focused()
    press(page, "Enter")

    expect_headline(page, CONFIRMED)
    page.get_by_label("Visa").focus()
    press(page, "ArrowDown")
    expect(page.get_by_label("Mastercard")).to_be_checked()
    press(page, "Tab")
    expect(page.get_by_role("button", name="Pay R$")).to_be_focused()
    press(page, "Enter")
    expect_headline(page, "Paid, thank you")


def test_who_is_at_a_control_that_goes_away_comes_to_the_headline(open_page, slow):
    page = open_page()
    slow("payments", "confirm")
    book(page)
    pay_with(page, "Visa")
    page.get_by_role("link", name="Cancel this booking").focus()
    expect_headline(page, "Paid, thank you")
    expect(page.get_by_role("link", name="Cancel this booking")).to_be_focused()

    slow("payments", "refund")
    page.get_by_role("link", name="Cancel this booking").click()
    page.get_by_role("button", name="Cancel booking").click()
    expect_headline(page, "Your booking is cancelled")


def test_an_error_takes_the_reader_to_it(open_page):
    page = open_page()
    fill_in(page, **{"CPF or CNPJ": "1"})
    page.get_by_role("button", name="Book").click()

    expect(page.get_by_role("alert")).to_be_focused()
    page.get_by_role("link", name="CPF or CNPJ").click()
    field = page.get_by_label("CPF or CNPJ")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description("For your invoice. Enter a valid CPF or CNPJ.")


def test_in_portuguese_everything_is_portuguese(open_page):
    page = open_page(locale="pt-BR")
    page.get_by_label("O que você gostaria de reservar?").fill("Passeio por São Paulo")
    page.get_by_label("Início").fill("2030-12-01T10:00")
    page.get_by_label("Término").fill("2030-12-01T12:00")
    page.get_by_label("Preço em reais").fill("1.420,50")
    page.get_by_label("Nome").fill("Ana Souza")
    page.get_by_label("E-mail").fill("ana.souza@example.com")
    page.get_by_label("CPF ou CNPJ").fill("529.982.247-25")
    page.get_by_role("button", name="Reservar").click()

    expect_headline(page, "Sua reserva está confirmada")
    page.get_by_role("button", name="Pagar R$ 1.420,50").click()
    expect_headline(page, "Pagamento recebido")
    page.get_by_role("button", name="English").click()
    expect_headline(page, "Paid, thank you")


def test_without_javascript_all_of_it_works(open_page, slow):
    page = open_page(java_script_enabled=False)
    slow("invoices", "issue")
    book(page)
    page.get_by_role("link", name="Refresh").click()
    expect_headline(page, CONFIRMED)
    pay_with(page, "A declined card")
    expect_headline(page, "Payment failed")
    page.get_by_role("link", name="Cancel this booking").click()
    page.get_by_role("button", name="Cancel booking").click()
    expect_headline(page, "Your booking is cancelled")


def test_the_page_survives_that_the_server_is_away(open_page, slow):
    page = open_page()
    slow("calendar", "add")
    book(page)
    expect_headline(page, "We are making your booking")
    page.context.set_offline(True)
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    page.context.set_offline(False)

    expect_headline(page, CONFIRMED)
    expect(page.get_by_text("The server cannot be reached.")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_nothing_keeps_anybody_from_using_it(open_page, width, scheme):
    page = open_page(width=width, color_scheme=scheme)
    assert look_at(page) == []
    page.get_by_role("button", name="Book").click()
    assert look_at(page) == []
    book(page)
    pay_with(page, "A declined card")
    expect_headline(page, "Payment failed")
    assert look_at(page) == []
    page.get_by_role("link", name="Cancel this booking").click()
    assert look_at(page) == []
    page.get_by_role("button", name="Cancel booking").click()
    expect_headline(page, "Your booking is cancelled")
    assert look_at(page) == []


def test_the_administration_works_under_the_same_policy(open_page, django_user_model):
    django_user_model.objects.create_superuser("support", password="support")
    page = open_page(path="/admin/")
    page.get_by_label("Username").fill("support")
    page.get_by_label("Password").fill("support")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Bookings", exact=True).last.click()

    expect(page.get_by_role("heading", name="Select booking to view")).to_be_visible()


def test_the_page_of_the_api_works_under_the_same_policy(open_page):
    page = open_page(path="/api/docs/")

    page.get_by_role("button", name="/api/v1/bookings/", exact=False).first.click()
    expect(page.get_by_text("Idempotency-Key").first).to_be_visible()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def look_at(page: Page) -> list[str]:
    """Return axe's findings, and whether the page must be scrolled horizontally."""
    too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return flaws(page) + (["wider than the window"] if too_wide else [])
