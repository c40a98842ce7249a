"""Format times and durations in the active language and the current time zone."""

from __future__ import annotations

import datetime as dt

from django.utils import formats, timezone
from django.utils.translation import gettext

from sagas.models.clock import CLOCK

MINUTE, HOUR, DAY = 60, 3600, 86400


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
