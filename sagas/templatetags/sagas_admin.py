"""What the templates of the admin's pages need."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _

from sagas.admin import days
from sagas.cases import moment_in_words
from sagas.models import SagaExecution
from sagas.naming import name_in_words

register = template.Library()

HELD = ("held", _("Held"))


@register.inclusion_tag("admin/sagas/_state.html")
def state_badge(execution: SagaExecution) -> dict[str, Any]:
    """The execution's state as an icon and a word; held goes before all else, for nothing goes on."""
    kind, word = HELD if execution.held else (execution.state.value, execution.get_state_display())
    return {"kind": kind, "word": word}


@register.filter
def in_words(name: str) -> str:
    """The name of a step, a saga or a key as people write it."""
    return name_in_words(name)


@register.filter
def moment(at: dt.datetime) -> str:
    """The time to the second; before it the date, where that is not today's."""
    return moment_in_words(at)


@register.inclusion_tag("admin/sagas/_days.html")
def executions_by_day(changelist: Any) -> dict[str, Any]:
    """The way down to a day's executions, with the list's other filters kept."""
    level = days.level(changelist.params)
    if level is None:
        return {}

    def linked(choice: days.Choice, *, here: bool = False) -> dict[str, str]:
        link = changelist.get_query_string(choice.parameters, [days.PREFIX])
        return {"title": choice.title, "link": "" if here else link}

    choices = [linked(choice, here=level.chosen) for choice in level.choices]
    return {"choices": choices, "above": linked(level.above) if level.above else None}
