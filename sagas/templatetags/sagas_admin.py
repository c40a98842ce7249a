"""What the templates of the admin's pages need."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _

from sagas.models import SagaExecution

register = template.Library()

HELD = ("held", _("Held"))


@register.inclusion_tag("admin/sagas/_state.html")
def state_badge(execution: SagaExecution) -> dict[str, Any]:
    """The execution's state as an icon and a word; held goes before all else, for nothing goes on."""
    kind, word = HELD if execution.held else (execution.state.value, execution.get_state_display())
    return {"kind": kind, "word": word}
