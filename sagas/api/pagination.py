"""Pages by cursor: as quick on the last page as on the first, and steady while rows are added."""

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
    """Newest first, or oldest first with `ordering=created_at`; 50 to a page, or `page_size`, at most 200."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = ("-created_at", "-id")
    orders = {"-created_at": ("-created_at", "-id"), "created_at": ("created_at", "id")}

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """By creation, down or up."""
        asked = request.query_params.get("ordering", "-created_at")
        if asked not in self.orders:
            raise ParseError(f"ordering must be one of {', '.join(self.orders)}.")
        return self.orders[asked]

    def get_page_size(self, request: Any) -> int:
        """As asked for, within what is allowed."""
        asked = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not SIZE.fullmatch(asked) or not 1 <= int(asked) <= self.max_page_size:
            raise ParseError(f"page_size must be a whole number from 1 to {self.max_page_size}.")
        return int(asked)

    def decode_cursor(self, request: Any) -> Any:
        """The cursor, whose position must be a moment."""
        # The decoder skips signs that it does not know, and would take a cursor of nothing else for the first page.
        if not CURSOR.fullmatch(request.query_params.get(self.cursor_query_param, "=")):
            raise NotFound(self.invalid_cursor_message)
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and parsed(str(cursor.position)) is None:
            raise NotFound(self.invalid_cursor_message)
        return cursor


def parsed(text: str) -> dt.datetime | None:
    """The moment that the text tells; None if it tells none in UTC, as our cursors do, that a database could hold."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    # PostgreSQL knows no time zone that is more than 16 hours off.
    return moment if moment and moment.utcoffset() == dt.timedelta() and 1 < moment.year < 9999 else None
