"""What people are told of a bulk act before it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from sagas.conf import get_settings
from sagas.definition.registry import all_sagas
from sagas.definition.states import Direction
from sagas.operations import Operation
from sagas.operations.bulk import MAX_ITEMS, WITHOUT_PROVIDER_CALLS, BulkPreview
from sagas.presentation.labels import step_label_anywhere
from sagas.presentation.templates import money

FIRST = 20

NAMES = {
    Operation.RETRY: _("Try again"),
    Operation.CANCEL: _("Cancel and undo"),
    Operation.COMPENSATE: _("Undo"),
    Operation.HOLD: _("Hold"),
    Operation.RELEASE: _("Release"),
    Operation.VERIFY: _("Check with the provider"),
    Operation.ACKNOWLEDGE: _("Acknowledge"),
}
LEADS = {
    Operation.RETRY: ngettext_lazy(
        "%(count)d execution is tried again.",
        "%(count)d executions are tried again.",
        "count",
    ),
    Operation.HOLD: ngettext_lazy(
        "%(count)d execution is held: nothing is undone, and nothing goes on until it is released.",
        "%(count)d executions are held: nothing is undone, and nothing goes on until they are released.",
        "count",
    ),
    Operation.RELEASE: ngettext_lazy(
        "%(count)d execution goes on from where it stands.",
        "%(count)d executions go on from where they stand.",
        "count",
    ),
    Operation.ACKNOWLEDGE: ngettext_lazy(
        "%(count)d execution is taken off the list of those that need attention; nothing else changes.",
        "%(count)d executions are taken off the list of those that need attention; nothing else changes.",
        "count",
    ),
}
KINDS = {
    Direction.ACTION: _("Done"),
    Direction.COMPENSATION: _("Undone"),
    Direction.VERIFY: _("Checked with the provider"),
}
MOVES = {
    Direction.ACTION: _("Customers are charged %(amount)s at most."),
    Direction.COMPENSATION: _("Customers are given back %(amount)s at most."),
}


@dataclass(frozen=True)
class Refused:
    """Those that the act is not possible for, for one reason: the first of them, and how many more there are."""

    sentence: str
    count: int
    first: list[tuple[int, str]]

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.count - len(self.first)


def told(preview: BulkPreview) -> dict[str, Any]:
    """The words of the page."""
    count = len(preview.rows)
    return {
        "count": count,
        "lead": LEADS[preview.operation] % {"count": count} if count else "",
        "pace": pace(preview.operation) if count else "",
        "calls": [
            {"step": step_label_anywhere(step, all_sagas().values()), "kind": KINDS[direction], "count": calls}
            for (step, direction), calls in preview.calls.items()
        ],
        "money": list(_money(preview)),
        "refused": list(_refused(preview)),
        "refused_count": sum(map(len, preview.refused.values())) + len(preview.unreadable),
    }


def pace(operation: Operation) -> str:
    """How many are under way at the same time; "" where nobody is called."""
    if operation in WITHOUT_PROVIDER_CALLS:
        return ""
    most = get_settings().BULK_AT_ONCE
    sentence = ngettext(
        "At most %(most)d of them is under way at the same time, so that no provider is overrun; one that is held "
        "makes room for the next.",
        "At most %(most)d of them are under way at the same time, so that no provider is overrun; one that is held "
        "makes room for the next.",
        most,
    )
    return sentence % {"most": most}


def too_many() -> str:
    """Why nothing is foretold of so many."""
    sentence = gettext(
        "At most %(most)d executions can be acted on at once, and more are selected. Narrow the list down first."
    )
    return sentence % {"most": MAX_ITEMS}


def forgotten() -> str:
    """What somebody is told whose selection we do not know any more, as after logging in anew."""
    return gettext(
        "What was selected is not known any more; select it again. What has been confirmed is among the bulk acts."
    )


def _money(preview: BulkPreview) -> Iterator[str]:
    for (direction, currency), amount in sorted(preview.money.items()):
        yield str(MOVES[direction]) % {"amount": money(amount, currency)}
    if preview.unknown_amounts:
        sentence = ngettext(
            "In %(count)d case money moves, and it is not known how much.",
            "In %(count)d cases money moves, and it is not known how much.",
            preview.unknown_amounts,
        )
        yield sentence % {"count": preview.unknown_amounts}


def _refused(preview: BulkPreview) -> Iterator[Refused]:
    groups = dict(preview.refused)
    if preview.unreadable:
        groups[gettext("its row in the database cannot be read.")] = preview.unreadable
    for sentence, who in sorted(groups.items(), key=lambda group: -len(group[1])):
        yield Refused(sentence, len(who), who[:FIRST])
