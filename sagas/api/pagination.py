"""Pagination by cursor. Later pages are as fast as the first, and new rows do not shift the pages."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.pagination import CursorPagination

CURSOR = re.compile(r"[A-Za-z0-9+/=]{1,255}")
SIZE = re.compile(r"[0-9]{1,9}")


class ExecutionPages(CursorPagination):
    """Pages of executions, newest first, or oldest first with `ordering=created_at`.

    A page has 50 executions, or `page_size`, at most 200.
    """

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = ("-created_at", "-id")
    orders = {"-created_at": ("-created_at", "-id"), "created_at": ("created_at", "id")}

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the columns to sort by, from the `ordering` parameter."""
        requested = request.query_params.get("ordering", "-created_at")
        if requested not in self.orders:
            raise ParseError(f"ordering must be one of {', '.join(self.orders)}.")
        return self.orders[requested]

    def get_page_size(self, request: Any) -> int:
        """Return the requested page size, or the default."""
        requested = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not SIZE.fullmatch(requested) or not 1 <= int(requested) <= self.max_page_size:
            raise ParseError(f"page_size must be a whole number from 1 to {self.max_page_size}.")
        return int(requested)

    def decode_cursor(self, request: Any) -> Any:
        """Return the cursor. Raise NotFound unless its position is a time."""
        # The decoder ignores invalid characters, so it would decode a fully invalid cursor as the first page.
        if not CURSOR.fullmatch(request.query_params.get(self.cursor_query_param, "=")):
            raise NotFound(self.invalid_cursor_message)
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and _parsed(str(cursor.position)) is None:
            raise NotFound(self.invalid_cursor_message)
        return cursor


def _parsed(text: str) -> dt.datetime | None:
    """Return the time of a cursor. Return None if the text is not a UTC time or is outside the range of databases."""
    try:
        time = parse_datetime(text)
    except ValueError:
        return None
    return time if time and time.utcoffset() == dt.timedelta() and 1 < time.year < 9999 else None
