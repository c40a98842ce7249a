"""The admin shows bookings, invoices and analytics events, and refuses every change."""

import pytest

from sagaproject.bookings.models import AnalyticsEvent, Booking, Invoice
from tests.support.bookings import PAYMENT


@pytest.fixture
def paid(db, orchestrator):
    orchestrator.execute("p1", "collect_payment", context=PAYMENT)


@pytest.mark.usefixtures("paid")
@pytest.mark.parametrize("model", [Booking, Invoice, AnalyticsEvent])
def test_a_record_is_listed_and_shown_and_not_touched(admin_client, model):
    path, row = f"/admin/bookings/{model._meta.model_name}/", model.objects.get()

    assert "SALE-001" in admin_client.get(path, {"q": "SALE-001"}).content.decode()
    assert "SALE-001" in admin_client.get(f"{path}{row.pk}/change/").content.decode()
    for operation in ("add/", f"{row.pk}/change/", f"{row.pk}/delete/"):
        assert admin_client.post(path + operation, {"post": "yes"}).status_code == 403


@pytest.mark.usefixtures("paid")
def test_records_have_names_for_people():
    assert str(Booking.objects.get()) == "SALE-001"
    assert str(Invoice.objects.get()) == f"INV-{Invoice.objects.get().pk:06d}"
    assert str(AnalyticsEvent.objects.get()) == "payment_collected SALE-001"


def test_the_pages_of_django_q_which_can_run_any_code_are_not_there(admin_client):
    assert "django_q" not in admin_client.get("/admin/").content.decode()
    for page in ("schedule", "success", "failure", "ormq"):
        assert admin_client.get(f"/admin/django_q/{page}/").status_code == 404
