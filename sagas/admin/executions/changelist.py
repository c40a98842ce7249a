"""The list of executions with pages. It counts at most COUNTED rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest

from sagas.admin.base import read_rows
from sagas.operations.permissions import PERSONAL
from sagas.presentation.redactor import redactors_for

from . import dates, rows

COUNTED = 1000
LAST_PAGE = 200


class ExecutionList(ChangeList):
    """The list of executions. Each row has its redacted texts in the attribute `texts`."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Check the date parameters before the filters use them."""
        dates.check(self.params)
        return super().get_filters(request)

    def get_results(self, request: HttpRequest) -> None:
        """Load one page of rows, and determine whether another page follows.

        Raises IncorrectLookupParameters unless the page number is between 1 and LAST_PAGE.
        """
        if not 1 <= self.page_num <= LAST_PAGE:
            raise IncorrectLookupParameters
        first = (self.page_num - 1) * self.list_per_page
        found = read_rows(self.queryset[first : first + self.list_per_page + 1])
        page = found[: self.list_per_page]
        texts = rows.texts_of(page, redactors_for(page, personal=request.user.has_perm(PERSONAL)))
        for execution in page:
            execution.texts = texts[execution.pk]  # type: ignore[attr-defined]
        self.result_list: Any = page
        self.more = len(found) > self.list_per_page
        counted = self.queryset.order_by().values("pk")[: COUNTED + 1].count()
        self.beyond_count = counted > COUNTED
        # Beyond COUNTED, the count of this page makes Django hide "Select all".
        self.result_count = len(self.result_list) if self.beyond_count else counted
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all, self.multi_page = True, False, self.more or self.page_num > 1
        self.paginator = Paginator(self.result_list, self.list_per_page)
        self._add_links()

    @cached_property
    def by_day(self) -> dict[str, Any]:
        """The links to years, months and days, which keep the other filters; {} without executions."""
        level = dates.level(self.params)
        if level is None:
            return {}

        def linked(choice: dates.Choice, *, here: bool = False) -> dict[str, str]:
            link = self.get_query_string(choice.parameters, [dates.PREFIX])
            return {"title": choice.title, "link": "" if here else link}

        choices = [linked(choice, here=level.chosen) for choice in level.choices]
        return {"choices": choices, "above": linked(level.above) if level.above else None}

    def _add_links(self) -> None:
        """Set the numbers of the first and last row, and the links to other pages and orders ("" = no link)."""
        self.first_number = (self.page_num - 1) * self.list_per_page + 1
        self.last_number = self.first_number + len(self.result_list) - 1
        self.at_page_limit = self.more and self.page_num == LAST_PAGE
        newer, older = {PAGE_VAR: self.page_num - 1}, {PAGE_VAR: self.page_num + 1}
        self.newer_link = self.get_query_string(newer) if self.page_num > 1 else ""
        self.older_link = self.get_query_string(older) if self.more and not self.at_page_limit else ""
        order = str(list(self.list_display).index("age"))
        by_age = self.params.get(ORDER_VAR) == order
        self.oldest_first_link = "" if by_age else self.get_query_string({ORDER_VAR: order})
        self.newest_first_link = self.get_query_string(remove=[ORDER_VAR]) if by_age else ""
