"""A list that never counts all its rows: so many pages as people turn, and the number of rows up to a thousand."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest

from sagas.models import SagaExecution
from sagas.operations.permissions import PERSONAL
from sagas.presentation.redactor import redactors_for

from . import dates as days
from . import rows

COUNTED = 1000
LAST_PAGE = 200


class ExecutionList(ChangeList):
    """The list of executions; each row has what is told of it as `told`."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Only days that there are."""
        days.check(self.params)
        return super().get_filters(request)

    def get_results(self, request: HttpRequest) -> None:
        """One page, and whether another follows; rows are counted up to COUNTED."""
        if not 1 <= self.page_num <= LAST_PAGE:
            raise IncorrectLookupParameters
        first = (self.page_num - 1) * self.list_per_page
        found = list(rows.readable(self.queryset)[first : first + self.list_per_page + 1])
        self.result_list: Any = _told(request, found[: self.list_per_page])
        self.more = len(found) > self.list_per_page
        counted = self.queryset.order_by().values("pk")[: COUNTED + 1].count()
        self.beyond_count = counted > COUNTED
        # What can be selected beyond a page is what can be counted.
        self.result_count = len(self.result_list) if self.beyond_count else counted
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all, self.multi_page = True, False, self.more or self.page_num > 1
        self.paginator = Paginator(self.result_list, self.list_per_page)

    @property
    def by_day(self) -> dict[str, Any]:
        """The links to years, months and days of executions, with the list's other filters kept."""
        level = days.level(self.params)
        if level is None:
            return {}

        def linked(choice: days.Choice, *, here: bool = False) -> dict[str, str]:
            link = self.get_query_string(choice.parameters, [days.PREFIX])
            return {"title": choice.title, "link": "" if here else link}

        choices = [linked(choice, here=level.chosen) for choice in level.choices]
        return {"choices": choices, "above": linked(level.above) if level.above else None}

    @property
    def newer_link(self) -> str:
        """The page before this one, "" on the first."""
        return self.get_query_string({PAGE_VAR: self.page_num - 1}) if self.page_num > 1 else ""

    @property
    def older_link(self) -> str:
        """The page after this one, "" on the last that can be had."""
        return self.get_query_string({PAGE_VAR: self.page_num + 1}) if self.more and not self.too_far else ""

    @property
    def too_far(self) -> bool:
        """Whether there is more than pages lead to."""
        return self.more and self.page_num == LAST_PAGE

    @property
    def oldest_first_link(self) -> str:
        """The same list from its other end, "" when it is shown from there."""
        order = str(list(self.list_display).index("age"))
        return "" if self.params.get(ORDER_VAR) == order else self.get_query_string({ORDER_VAR: order})

    @property
    def newest_first_link(self) -> str:
        """The list in its usual order, "" when it is shown in that."""
        return "" if self.oldest_first_link else self.get_query_string(remove=[ORDER_VAR])

    @property
    def first_number(self) -> int:
        """The number of the first row on the page."""
        return (self.page_num - 1) * self.list_per_page + 1

    @property
    def last_number(self) -> int:
        """The number of the last."""
        return self.first_number + len(self.result_list) - 1


def _told(request: HttpRequest, executions: list[SagaExecution]) -> list[SagaExecution]:
    told = rows.tell(executions, redactors_for(executions, personal=request.user.has_perm(PERSONAL)))
    for execution in executions:
        execution.told = told[execution.pk]  # type: ignore[attr-defined]
    return executions
