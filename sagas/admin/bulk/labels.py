"""The texts of bulk operations."""

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
from sagas.operations.bulk import WITHOUT_PROVIDER_CALLS, BulkPreview
from sagas.presentation.labels import step_label_anywhere
from sagas.presentation.templates import money

FIRST = 20

NAMES = {
    Operation.RETRY: _("Retry"),
    Operation.CANCEL: _("Cancel and undo"),
    Operation.COMPENSATE: _("Undo everything"),
    Operation.HOLD: _("Put on hold"),
    Operation.RELEASE: _("Release"),
    Operation.VERIFY: _("Check with the provider"),
    Operation.ACKNOWLEDGE: _("Acknowledge"),
}
LEADS = {
    Operation.RETRY: ngettext_lazy(
        "%(count)d execution will be retried.",
        "%(count)d executions will be retried.",
        "count",
    ),
    Operation.HOLD: ngettext_lazy(
        "%(count)d execution will be put on hold: nothing is undone, and nothing continues until it is released.",
        "%(count)d executions will be put on hold: nothing is undone, and nothing continues until they are released.",
        "count",
    ),
    Operation.RELEASE: ngettext_lazy(
        "%(count)d execution will continue from where it stopped.",
        "%(count)d executions will continue from where they stopped.",
        "count",
    ),
    Operation.ACKNOWLEDGE: ngettext_lazy(
        "%(count)d execution will leave the list of those that need attention. Nothing else changes.",
        "%(count)d executions will leave the list of those that need attention. Nothing else changes.",
        "count",
    ),
}
KINDS = {
    Direction.ACTION: _("Done"),
    Direction.COMPENSATION: _("Undone"),
    Direction.VERIFY: _("Checked with the provider"),
}
MOVES = {
    Direction.ACTION: _("Customers will be charged at most %(amount)s."),
    Direction.COMPENSATION: _("Customers will be refunded at most %(amount)s."),
}


@dataclass(frozen=True)
class BlockedGroup:
    """Executions for which the operation is blocked by the same reason.

    `first` has the primary key and id of the first of them, `count` is the number of all.
    """

    sentence: str
    count: int
    first: list[tuple[int, str]]

    @property
    def more(self) -> int:
        """The number of executions that are not in `first`."""
        return self.count - len(self.first)


def preview_context(preview: BulkPreview) -> dict[str, Any]:
    """Return the template context of the preview of a bulk operation.

    The texts are in the active language. The largest group of blocked executions comes first.
    """
    count = len(preview.rows)
    groups = dict(preview.refused)
    if preview.unreadable:
        groups[gettext("its row in the database cannot be read.")] = preview.unreadable
    largest_first = sorted(groups.items(), key=lambda group: -len(group[1]))
    return {
        "count": count,
        "lead": LEADS[preview.operation] % {"count": count} if count else "",
        "pace": pace(preview.operation) if count else "",
        "calls": [
            {"step": step_label_anywhere(step, all_sagas().values()), "kind": KINDS[direction], "count": calls}
            for (step, direction), calls in preview.calls.items()
        ],
        "money": list(_money(preview)),
        "blocked": [BlockedGroup(sentence, len(found), found[:FIRST]) for sentence, found in largest_first],
        "blocked_count": sum(map(len, groups.values())),
    }


def pace(operation: Operation) -> str:
    """Return a sentence with the number of executions that run at a time; "" if the operation calls no provider."""
    if operation in WITHOUT_PROVIDER_CALLS:
        return ""
    most = get_settings().BULK_AT_ONCE
    sentence = ngettext(
        "Runs up to %(most)d at a time, so that no provider is overloaded.",
        "Runs up to %(most)d at a time, so that no provider is overloaded.",
        most,
    )
    return sentence % {"most": most}


def _money(preview: BulkPreview) -> Iterator[str]:
    for (direction, currency), amount in sorted(preview.money.items()):
        yield str(MOVES[direction]) % {"amount": money(amount, currency)}
    if preview.unknown_amounts:
        sentence = ngettext(
            "In %(count)d case money moves, but the amount is not known.",
            "In %(count)d cases money moves, but the amount is not known.",
            preview.unknown_amounts,
        )
        yield sentence % {"count": preview.unknown_amounts}
