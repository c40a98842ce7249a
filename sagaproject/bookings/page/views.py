"""The views of the booking page. The URL contains the secret token of the booking."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from sagaproject.bookings import services
from sagaproject.bookings.models import Booking
from sagaproject.bookings.page.forms import BookingForm, CancelForm, PaymentForm
from sagaproject.bookings.page.progress import Progress
from sagaproject.bookings.page.throttling import throttled
from sagas.operations import Actor

CUSTOMER = Actor(name="customer", source="page")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@throttled
def book(request: HttpRequest) -> HttpResponse:
    """Show the booking form. On POST, make the booking."""
    form = BookingForm(request.POST) if request.method == "POST" else BookingForm()
    booking = form.book() if form.is_bound else None
    if booking:
        return redirect("bookings:show", booking.token)
    return render(request, "bookings/book.html", {"form": form})


@never_cache
@require_safe
def show(request: HttpRequest, token: UUID) -> HttpResponse:
    """Show the booking, and the buttons to pay and to cancel."""
    return render(request, "bookings/booking.html", _context(get_object_or_404(Booking, token=token)))


@never_cache
@require_safe
def progress(request: HttpRequest, token: UUID) -> HttpResponse:
    """Return the part of the booking's page that changes, or 304 if it has not changed."""
    context = _context(get_object_or_404(Booking, token=token))
    etag = context["progress"].etag
    unchanged = get_conditional_response(request, etag=etag)
    response = unchanged or render(request, "bookings/_progress.html", context)
    response["ETag"] = etag
    return response


@never_cache
@require_POST
@throttled
def pay(request: HttpRequest, token: UUID) -> HttpResponse:
    """Charge the chosen card."""
    booking = get_object_or_404(Booking, token=token)
    form = PaymentForm(request.POST)
    if not form.is_valid():
        messages.error(request, form.errors["payment_method"][0])
        return redirect("bookings:show", booking.token)
    try:
        services.pay(booking.sale_id, form.cleaned_data["payment_method"], owner=booking.owner)
    except services.NotPossible as refusal:
        messages.error(request, refusal.sentence)
    return redirect("bookings:show", booking.token)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@throttled
def cancel(request: HttpRequest, token: UUID) -> HttpResponse:
    """Ask for confirmation. On POST, cancel. If there is nothing to cancel, show the booking."""
    booking = get_object_or_404(Booking, token=token)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if not form.is_bound and not Progress(booking).may_cancel:
        return redirect("bookings:show", booking.token)
    if not form.is_valid():
        return render(request, "bookings/cancel.html", {"booking": booking, "form": form})
    reason = form.cleaned_data["reason"] or _("The customer cancelled on the booking page.")
    try:
        services.cancel(booking.sale_id, reason=reason, by=CUSTOMER)
    except services.NotPossible as refusal:
        messages.error(request, refusal.sentence)
    return redirect("bookings:show", booking.token)


def _context(booking: Booking) -> dict[str, Any]:
    seen = Progress(booking)
    return {"booking": seen.sale, "progress": seen, "payment_form": PaymentForm() if seen.may_pay else None}


app_name = "bookings"
urlpatterns = [
    path("book/", book, name="book"),
    path("bookings/<uuid:token>/", show, name="show"),
    path("bookings/<uuid:token>/progress/", progress, name="progress"),
    path("bookings/<uuid:token>/payment/", pay, name="pay"),
    path("bookings/<uuid:token>/cancel/", cancel, name="cancel"),
]
