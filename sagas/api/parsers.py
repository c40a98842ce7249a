"""Reads JSON that somebody else wrote: no more of it than we would store, and nothing that JSON does not have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from sagas.conf import get_settings

from .problems import TooLarge


class LimitedJSONParser(BaseParser):
    """JSON of at most MAX_CONTEXT_BYTES bytes; too much is 413, what is no JSON is 400."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The body's value."""
        limit = get_settings().MAX_CONTEXT_BYTES
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(limit)
        try:
            return json.loads(body.decode(), parse_constant=_refuse)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deep.") from error
        except ValueError as error:
            raise ParseError(f"This is not JSON: {error}.") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
