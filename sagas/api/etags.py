"""Conditional requests (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.utils.http import parse_etags
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response


def conditional(request: Request, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return the document with its ETag, or 304 if the request's If-None-Match has that ETag."""
    etag = f'"{hashlib.sha256(JSONRenderer().render(document)).hexdigest()[:32]}"'
    known = {tag.removeprefix("W/") for tag in parse_etags(request.headers.get("If-None-Match", ""))}
    response = Response(status=304) if known & {etag, "*"} else Response(document)
    for name, value in {**(headers or {}), "ETag": etag}.items():
        response[name] = value
    return response
