"""Labels of steps, sagas and context keys, and formats of times and durations, in the active language."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.utils import formats, timezone
from django.utils.translation import gettext

from sagas.definition.saga import Saga, SagaStep
from sagas.models.clock import CLOCK

MINUTE, HOUR, DAY = 60, 3600, 86400


def step_label(name: str, saga: Saga | None) -> str:
    """Return the label of the step: the "name" in its wording, or else `name_label(name)`.

    `saga` None, or a saga without that step, gives `name_label(name)`.
    """
    step = saga.step(name) if saga else None
    return label_of(step) if step else name_label(name)


def label_of(step: SagaStep) -> str:
    """Return the label of a step from a saga's definition."""
    own = (step.wording or {}).get("name")
    return str(own) if own else name_label(step.name)


def step_label_anywhere(name: str, sagas: Iterable[Saga]) -> str:
    """Return the labels that these sagas give to the step, separated by " / ".

    Returns `name_label(name)` if none of them has the step.
    """
    names = dict.fromkeys(step_label(name, saga) for saga in sagas if saga.step(name))
    return " / ".join(names) or name_label(name)


def name_label(name: str) -> str:
    """Return a label for a name in code, translated if a catalogue has it: "charge_card" is "Charge card"."""
    return gettext(name.replace("_", " ").capitalize())


def format_moment(moment: dt.datetime) -> str:
    """Return the aware time with seconds, in the current time zone. The date precedes it unless it is today."""
    local, today = timezone.localtime(moment), timezone.localtime(CLOCK.by_host()).date()
    time = formats.date_format(local, "H:i:s")
    if local.date() == today:
        return time
    return gettext("%(date)s, %(time)s") % {"date": formats.date_format(local, "DATE_FORMAT"), "time": time}


def format_span(seconds: float) -> str:
    """Return a duration, given in seconds, in its two largest units, such as "2 h 5 min".

    Less than a minute is shown with decimals, such as "1.5 s".
    """
    whole = round(seconds)
    if whole < MINUTE:
        return gettext("%(seconds)s s") % {"seconds": formats.number_format(seconds, 3 if seconds < 1 else 1)}
    if whole < HOUR:
        return gettext("%(minutes)s min %(seconds)s s") % {"minutes": whole // MINUTE, "seconds": whole % MINUTE}
    if whole < DAY:
        return gettext("%(hours)s h %(minutes)s min") % {"hours": whole // HOUR, "minutes": whole % HOUR // MINUTE}
    return gettext("%(days)s d %(hours)s h") % {"days": whole // DAY, "hours": whole % DAY // HOUR}
