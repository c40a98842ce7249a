"""A parser for JSON from untrusted clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from sagas.conf import get_settings

from .problems import ContentTooLarge


class LimitedJSONParser(BaseParser):
    """Parses JSON of at most MAX_CONTEXT_BYTES bytes. The response to a larger body is 413, to invalid JSON 400."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the JSON value of the body."""
        limit = get_settings().MAX_CONTEXT_BYTES
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise ContentTooLarge(limit)
        try:
            return json.loads(body.decode(), parse_constant=_raise_on_constant)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from error


def _raise_on_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")
