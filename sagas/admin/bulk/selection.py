"""The selection of a bulk operation, from the list to the confirmation, and the form that confirms it."""

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
REMEMBERED = 5


@dataclass(frozen=True)
class Selection:
    """The selected executions.

    `pks` are their primary keys. `rows` are the key and version of those for which the operation is possible. The
    preview contains the selection in a signed field. `token` identifies the preview, so that a repeated submission
    creates one bulk operation.
    """

    token: UUID
    operation: Operation
    pks: list[int]
    rows: list[tuple[int, int]] = field(default_factory=list)
    moves_money: bool = False

    @classmethod
    def sent_by(cls, request: HttpRequest) -> Selection | None:
        """Return the selection of a submitted preview. None if it is not signed for this user."""
        try:
            fields = signing.loads(request.POST.get(FIELD, ""), salt=_salt(request))
        except signing.BadSignature:
            return None
        return cls(**fields | {"token": UUID(fields["token"]), "operation": Operation(fields["operation"])})

    def sealed(self, request: HttpRequest) -> str:
        """Return the selection as a signed text, which only the same user can submit."""
        fields = asdict(self) | {"token": str(self.token)}
        return signing.dumps(fields, salt=_salt(request), compress=True)


def remember(request: HttpRequest, operation: Operation, pks: list[int]) -> str:
    """Keep the selection in the session, and return its token. The preview can then be reloaded.

    The session keeps the last REMEMBERED selections.
    """
    token = str(uuid4())
    kept = [*request.session.get(SALT, {}).items(), (token, [operation.value, pks])]
    request.session[SALT] = dict(kept[-REMEMBERED:])
    return token


def remembered(request: HttpRequest) -> Selection | None:
    """Return the selection whose token is in the query string. None if the session does not have it."""
    token = request.GET.get(FIELD, "")
    operation, pks = request.session.get(SALT, {}).get(token, (None, []))
    return Selection(UUID(token), Operation(operation), pks) if operation else None


class ConfirmForm(forms.Form):
    """The reason, and the number of executions if the operation moves money."""

    reason = Text(
        label=_("Reason"),
        help_text=_("Kept in the history of each execution."),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
    )
    count = forms.IntegerField(
        label=_("Number of executions"),
        help_text=_("This moves money. Type the number of executions to confirm."),
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, selection: Selection, **more: Any) -> None:
        super().__init__(*args, **more)
        self._expected = len(selection.rows)
        if not selection.moves_money:
            del self.fields["count"]

    def clean_count(self) -> int:
        """Accept only the number of executions that the operation is possible for."""
        count: int = self.cleaned_data["count"]
        if count != self._expected:
            message = gettext("There are %(expected)d executions, not %(count)d.")
            raise forms.ValidationError(message % {"expected": self._expected, "count": count})
        return count


def _salt(request: HttpRequest) -> str:
    return f"{SALT}.{request.user.pk}"
