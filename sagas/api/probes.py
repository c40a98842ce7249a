"""Probes and metrics: `path("", include("sagas.api.probes"))` adds /livez, /readyz and /metrics."""

from __future__ import annotations

from typing import Any

from django.db import Error as DatabaseError
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.monitoring import metrics
from sagas.storage.database import connection

from .openapi import document
from .views import SagaView

STATUS = inline_serializer("Status", {"status": serializers.CharField()})


class Probe(SagaView):
    """The base of probes: a view without authentication, permissions and throttling."""

    authentication_classes: Any = ()
    permission_classes: Any = ()
    throttle_classes: Any = ()


class Livez(Probe):
    """A probe that shows that the process responds."""

    @extend_schema(responses={200: STATUS}, operation_id="livez", tags=["probes"])
    def get(self, request: Request) -> Response:
        """Return `ok`."""
        return Response({"status": "ok"})


class Readyz(Probe):
    """A probe that shows whether the process can serve requests."""

    @extend_schema(
        responses={200: STATUS, 503: OpenApiResponse(STATUS, "The database is unavailable.")},
        operation_id="readyz",
        tags=["probes"],
    )
    def get(self, request: Request) -> Response:
        """Return `ok` if the database responds."""
        try:
            with connection().cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            connection().close()
            return Response({"status": "database unavailable"}, 503)
        return Response({"status": "ok"})


class PrometheusRenderer(BaseRenderer):
    """Sends data in the text format of Prometheus."""

    media_type = "text/plain"
    format = "txt"
    charset = None

    def render(self, data: bytes, *_: object, **__: object) -> bytes:
        """Return the data unchanged, because it is text already."""
        return data


class Metrics(SagaView):
    """Metrics for Prometheus."""

    @document(OpenApiTypes.STR, 403, media_type="text/plain", operation_id="metrics", tags=["probes"])
    def get(self, request: Request) -> Response:
        """Return the metrics. Needs the permission to view all executions; a scraper sends a token."""
        self.reader.check_sees_all()
        request.accepted_renderer, request.accepted_media_type = PrometheusRenderer(), "text/plain"
        return Response(generate_latest(metrics.registry()), content_type=CONTENT_TYPE_LATEST)


urlpatterns = [
    path("livez", Livez.as_view(), name="livez"),
    path("readyz", Readyz.as_view(), name="readyz"),
    path("metrics", Metrics.as_view(), name="metrics"),
]
