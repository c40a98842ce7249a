"""What the templates of the admin's pages need."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _

from sagas.models import SagaExecution
from sagas.presentation.formats import format_moment
from sagas.presentation.labels import name_label

register = template.Library()

HELD = ("held", _("Held"))


@register.inclusion_tag("admin/sagas/_state.html")
def state_badge(execution: SagaExecution) -> dict[str, Any]:
    """The execution's state as an icon and a word; held goes before all else, for nothing goes on."""
    kind, word = HELD if execution.held else (execution.state.value, execution.get_state_display())
    return {"kind": kind, "word": word}


@register.filter
def label(name: str) -> str:
    """The name of a step, a saga or a key as people write it."""
    return name_label(name)


@register.filter
def moment(at: dt.datetime) -> str:
    """The time to the second; before it the date, where that is not today's."""
    return format_moment(at)
