"""Template tags and filters for the admin."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _

from sagas.models import SagaExecution
from sagas.presentation.labels import format_moment, name_label

register = template.Library()

HELD = ("held", _("On hold"))


@register.inclusion_tag("admin/sagas/_state.html")
def state_badge(execution: SagaExecution) -> dict[str, Any]:
    """Show the state as an icon and a word. For a held execution, show the hold instead."""
    kind, word = HELD if execution.held else (execution.state.value, execution.get_state_display())
    return {"kind": kind, "word": word}


@register.filter
def label(name: str) -> str:
    """Turn the name of a step, a saga or a context key into a label for people."""
    return name_label(name)


@register.filter
def moment(at: dt.datetime) -> str:
    """Return the time with seconds. Add the date in front unless it is today."""
    return format_moment(at)
