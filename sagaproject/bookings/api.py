"""The API for bookings: book, pay and cancel. Clients need a token or a session."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import Http404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from sagaproject.bookings import services
from sagaproject.bookings.models import Booking, BookingStatus, PaymentStatus
from sagaproject.bookings.sagas.schemas import CreateBookingInput
from sagas import InvalidInput
from sagas.api import access, json_schema, openapi, representation, response_serializers, start
from sagas.api.serializers import StrictSerializer, TextField
from sagas.api.views import RETRY_AFTER, SagaView, conditional
from sagas.models import SagaExecution
from sagas.operations import Actor, Operation

FACTS = ("sale_id", "status", "payment_status", "description", "amount", "currency", "starts_at", "ends_at")


class NewBooking(CreateBookingInput, StrictSerializer):
    """A booking to make. Without a sale_id it gets a new one."""

    sale_id = serializers.RegexField(
        services.SALE_ID, max_length=64, required=False, error_messages={"invalid": services.SALE_ID_RULE}
    )


class Payment(StrictSerializer):
    """The stored payment method to charge."""

    payment_method = TextField(max_length=64)


class Cancellation(StrictSerializer):
    """The reason of the cancellation."""

    reason = TextField(max_length=2000)


class BookingAnswer(serializers.ModelSerializer):
    """A booking, its two sagas, and the address of its page, for its owner only."""

    status = serializers.ChoiceField(choices=BookingStatus.values)
    payment_status = serializers.ChoiceField(choices=PaymentStatus.values)
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    booking = response_serializers.ExecutionSerializer(allow_null=True)
    payment = response_serializers.ExecutionSerializer(allow_null=True)
    page = serializers.URLField(allow_null=True)

    class Meta:
        model = Booking
        fields = [*FACTS, "booking", "payment", "page"]


BOOK = openapi.document(
    BookingAnswer,
    *(*openapi.WITH_A_BODY, 409, 422),
    status=202,
    also={200: OpenApiResponse(BookingAnswer, "The booking already existed.")},
    operation_id="book",
    request=NewBooking,
    parameters=[openapi.IDEMPOTENCY_KEY],
    tags=["bookings"],
)
SHOW = openapi.document(
    BookingAnswer,
    404,
    also={304: OpenApiResponse(None, openapi.DESCRIPTIONS[304])},
    operation_id="booking",
    parameters=[openapi.IF_NONE_MATCH],
    tags=["bookings"],
)
PAY = openapi.document(
    BookingAnswer,
    *(*openapi.WITH_A_BODY, 403, 404, 409, 422),
    status=202,
    operation_id="pay",
    request=Payment,
    parameters=[openapi.IDEMPOTENCY_KEY],
    tags=["bookings"],
)
CANCEL = openapi.document(
    BookingAnswer,
    *(*openapi.WITH_A_BODY, 403, 404, 409),
    status=202,
    operation_id="cancel_booking",
    request=Cancellation,
    tags=["bookings"],
)


class BookingView(SagaView):
    """The base class of the booking views."""

    def booking(self, sale_id: str) -> Booking:
        """Return the booking. Raise Http404 if it belongs to another client, unless the reader may see all bookings."""
        found = Booking.objects.filter(sale_id=sale_id).first() if services.SALE_ID.fullmatch(sale_id) else None
        if found is None or not (self.reader.sees_all or self.owns(found)):
            raise Http404
        return found

    def owns(self, booking: Booking) -> bool:
        """Return whether this client made the booking."""
        return booking.owner_id == self.request.user.pk

    def represent(self, booking: Booking) -> dict[str, Any]:
        """Return the fields of the booking that this client may see."""
        shown: dict[str, Any] = {
            **{fact: getattr(booking, fact) for fact in FACTS},
            "booking": self._saga(booking.booking_saga_id),
            "payment": self._saga(booking.payment_saga_id),
            "page": None,
        }
        if self.owns(booking):
            shown["page"] = reverse("bookings:show", args=[booking.token], request=self.request)
        return BookingAnswer(shown).data

    def accepted(self, booking: Booking, status: int = 202) -> Response:
        """Return the response for a started operation, with the URL to poll in Location."""
        where = reverse("bookings-api:booking", args=[booking.sale_id], request=self.request)
        return Response(self.represent(booking), status, headers={"Location": where, "Retry-After": RETRY_AFTER})

    def once(self, request: Any, begin: Callable[[], start.Started]) -> start.Started:
        """Call `begin`, or return the execution that an earlier request with the same Idempotency-Key started."""
        key = self.request.headers.get("Idempotency-Key")
        return start.start_once(self.request.user, key, request, begin, self.reader.execution)

    def _saga(self, saga_id: str) -> dict[str, Any] | None:
        execution = SagaExecution.objects.with_id(saga_id).first()
        return representation.detail(execution, self.reader) if execution else None


class Bookings(BookingView):
    """Make bookings."""

    throttle_scope = access.START

    @BOOK
    def post(self, request: Request) -> Response:
        """Make a booking. The same Idempotency-Key, or the same sale_id and content, returns the same one."""
        sale = request.data
        if not isinstance(sale, dict):
            raise ValidationError("Send an object.")
        execution, fresh = self.once(["bookings", sale], lambda: self._book(sale))
        booking = Booking.objects.get(sale_id=execution.input["sale_id"])
        return self.accepted(booking, 202 if fresh else 200)

    def _book(self, sale: Mapping[str, Any]) -> start.Started:
        if found := json_schema.schema_errors(NewBooking, sale):
            # The serializer has better messages than the schema.
            NewBooking(data=sale).is_valid(raise_exception=True)
            raise ValidationError(found)
        numbered = {"sale_id": services.new_sale_id(), **sale}
        try:
            booking = services.book(numbered, owner=self.request.user)
        except InvalidInput as refusal:
            raise ValidationError(refusal.errors) from refusal
        return SagaExecution.objects.get(saga_id=booking.booking_saga_id), booking.just_created


class OneBooking(BookingView):
    """One booking."""

    @SHOW
    def get(self, request: Request, sale_id: str) -> Response:
        """Return the booking; with If-None-Match, 304 while it is unchanged."""
        return conditional(request, self.represent(self.booking(sale_id)))


class PaymentOfBooking(BookingView):
    """Pay a booking."""

    throttle_scope = access.START

    @PAY
    def post(self, request: Request, sale_id: str) -> Response:
        """Charge the payment method. Answers 409 while a payment is in progress and after it has succeeded."""
        booking = self.booking(sale_id)
        if not self.owns(booking):
            raise PermissionDenied("Only the client who made the booking can pay it.")
        payment = Payment(data=request.data)
        payment.is_valid(raise_exception=True)
        method = payment.validated_data["payment_method"]
        self.once(["payment", sale_id, method], lambda: self._pay(booking, method))
        booking.refresh_from_db()
        return self.accepted(booking)

    def _pay(self, booking: Booking, method: str) -> start.Started:
        try:
            paid = services.pay(booking.sale_id, method, owner=self.request.user)
        except InvalidInput as refusal:
            raise ValidationError(refusal.errors) from refusal
        return SagaExecution.objects.get(saga_id=paid.payment_saga_id), True


class CancellationOfBooking(BookingView):
    """Cancel a booking."""

    throttle_scope = access.OPERATION

    @CANCEL
    def post(self, request: Request, sale_id: str) -> Response:
        """Refund and cancel the booking. Another client's booking needs the permissions to cancel and compensate."""
        booking = self.booking(sale_id)
        if not self.owns(booking):
            self.reader.check_may(Operation.CANCEL)
            self.reader.check_may(Operation.COMPENSATE)
        cancellation = Cancellation(data=request.data)
        cancellation.is_valid(raise_exception=True)
        by = Actor(user=request.user, source="api")
        return self.accepted(services.cancel(sale_id, reason=cancellation.validated_data["reason"], by=by))


app_name = "bookings-api"
urlpatterns = [
    path("bookings/", Bookings.as_view(), name="bookings"),
    path("bookings/<str:sale_id>/", OneBooking.as_view(), name="booking"),
    path("bookings/<str:sale_id>/payment/", PaymentOfBooking.as_view(), name="payment"),
    path("bookings/<str:sale_id>/cancel/", CancellationOfBooking.as_view(), name="cancel"),
]
