"""The paginated list of executions, which counts at most COUNTED rows."""

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
    """The list of executions; each row carries its texts as `texts`."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Check the date before the filters use it."""
        dates.check(self.params)
        return super().get_filters(request)

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and whether another follows; count up to COUNTED rows."""
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
        # "Select all" covers the rows that are counted.
        self.result_count = len(self.result_list) if self.beyond_count else counted
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all, self.multi_page = True, False, self.more or self.page_num > 1
        self.paginator = Paginator(self.result_list, self.list_per_page)

    @cached_property
    def by_day(self) -> dict[str, Any]:
        """The links to years, months and days; the other filters are kept."""
        level = dates.level(self.params)
        if level is None:
            return {}

        def linked(choice: dates.Choice, *, here: bool = False) -> dict[str, str]:
            link = self.get_query_string(choice.parameters, [dates.PREFIX])
            return {"title": choice.title, "link": "" if here else link}

        choices = [linked(choice, here=level.chosen) for choice in level.choices]
        return {"choices": choices, "above": linked(level.above) if level.above else None}

    @property
    def newer_link(self) -> str:
        """The URL of the previous page, "" on the first."""
        return self.get_query_string({PAGE_VAR: self.page_num - 1}) if self.page_num > 1 else ""

    @property
    def older_link(self) -> str:
        """The URL of the next page, "" on the last one."""
        return self.get_query_string({PAGE_VAR: self.page_num + 1}) if self.more and not self.at_page_limit else ""

    @property
    def at_page_limit(self) -> bool:
        """Whether there are more rows than the last page allows."""
        return self.more and self.page_num == LAST_PAGE

    @property
    def oldest_first_link(self) -> str:
        """The URL of the list sorted by age, "" if it is."""
        order = str(list(self.list_display).index("age"))
        return "" if self.params.get(ORDER_VAR) == order else self.get_query_string({ORDER_VAR: order})

    @property
    def newest_first_link(self) -> str:
        """The URL of the list in its default order, "" if it is in that order."""
        return "" if self.oldest_first_link else self.get_query_string(remove=[ORDER_VAR])

    @property
    def first_number(self) -> int:
        """The number of the page's first row."""
        return (self.page_num - 1) * self.list_per_page + 1

    @property
    def last_number(self) -> int:
        """The number of the page's last row."""
        return self.first_number + len(self.result_list) - 1
