"""What somebody has chosen and seen foretold, and the form that confirms it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.core import signing
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin.actions.fields import Text
from sagas.operations import Operation

FIELD = "choice"
SALT = "sagas.admin.bulk"
LONGEST_REASON = 1000
KEPT = 5


@dataclass(frozen=True)
class Choice:
    """The executions that were selected, and of those the act is possible for the versions that were seen.

    The page that shows it carries it in one field, sealed for its reader; whoever sends that twice sends one token.
    """

    token: UUID
    operation: Operation
    pks: list[int]
    rows: list[tuple[int, int]] = field(default_factory=list)
    moves_money: bool = False

    @classmethod
    def sent_by(cls, request: HttpRequest) -> Choice | None:
        """What the request's page has shown to its user; None where it was not made by us, or for somebody else."""
        try:
            told = signing.loads(request.POST.get(FIELD, ""), salt=_salt(request))
        except signing.BadSignature:
            return None
        return cls(**told | {"token": UUID(told["token"]), "operation": Operation(told["operation"])})

    def sealed(self, request: HttpRequest) -> str:
        """For the page."""
        told = asdict(self) | {"token": str(self.token)}
        return signing.dumps(told, salt=_salt(request), compress=True)


def remember(request: HttpRequest, operation: Operation, pks: list[int]) -> str:
    """Keep what was selected, with the last few such choices, in the session: a page can then be come back to."""
    token = str(uuid4())
    kept = [*request.session.get(SALT, {}).items(), (token, [operation.value, pks])]
    request.session[SALT] = dict(kept[-KEPT:])
    return token


def remembered(request: HttpRequest) -> Choice | None:
    """What the page that is asked for is about; None where that is not known any more."""
    token = request.GET.get(FIELD, "")
    operation, pks = request.session.get(SALT, {}).get(token, (None, []))
    return Choice(UUID(token), Operation(operation), pks) if operation else None


class ConfirmForm(forms.Form):
    """Why and, where money moves, that it is meant."""

    reason = Text(
        label=_("Reason"),
        help_text=_("It is kept with each execution, for whoever looks at it later."),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
    )
    count = forms.IntegerField(
        label=_("How many executions are these?"),
        help_text=_("Money moves. Type their number to confirm that you mean all of them."),
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, choice: Choice, **more: Any) -> None:
        super().__init__(*args, **more)
        self._expected = len(choice.rows)
        if not choice.moves_money:
            del self.fields["count"]

    def clean_count(self) -> int:
        """The number of executions, no other."""
        count: int = self.cleaned_data["count"]
        if count != self._expected:
            told = gettext("These are %(expected)d, not %(count)d.")
            raise forms.ValidationError(told % {"expected": self._expected, "count": count})
        return count


def _salt(request: HttpRequest) -> str:
    return f"{SALT}.{request.user.pk}"
