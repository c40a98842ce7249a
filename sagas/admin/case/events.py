"""What people and the system did to a case, in words: who, when, from where, why, and what it changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga
from sagas.models import STATES, SagaEvent
from sagas.presentation.labels import name_label, step_label
from sagas.presentation.redactor import Redactor
from sagas.presentation.time_format import format_moment

from .load import File

Kind = SagaEvent.Kind
SENTENCES = {
    Kind.RETRY: _("%(who)s had it tried again."),
    Kind.CANCEL: _("%(who)s cancelled it."),
    Kind.COMPENSATE: _("%(who)s had it undone."),
    Kind.HOLD: _("%(who)s held it."),
    Kind.RELEASE: _("%(who)s released it."),
    Kind.VERIFY: _("%(who)s had the provider asked."),
    Kind.RESOLVE: _("%(who)s resolved a step by hand."),
    Kind.ACKNOWLEDGE: _("%(who)s acknowledged it."),
    Kind.CORRECT: _("%(who)s corrected the input."),
    Kind.NOTE: _("%(who)s wrote a note."),
    Kind.REVEAL: _("%(who)s looked at the personal data."),
    Kind.HELD: _("The system held it."),
    Kind.LOST_LEASE: _("The system broke down in the middle of it."),
    Kind.CANCELLED: _("The cancel was carried out."),
}
RESOLVED = {
    "done": _("%(who)s says that “%(step)s” is done."),
    "not_done": _("%(who)s says that “%(step)s” is not done."),
    "undone": _("%(who)s says that “%(step)s” is undone."),
}
SOURCES = {
    "admin": _("admin"),
    "api": _("API"),
    "cli": _("command line"),
    "python": _("program"),
    "engine": _("system"),
}


@dataclass(frozen=True)
class Event:
    """One event: `changes` are whole sentences, or the technical words of what was changed."""

    at: str
    who: str
    sentence: str
    source: str | Promise
    why: str
    evidence: str
    changes: list[str]
    is_note: bool


def events_of(file: File, redactor: Redactor) -> list[Event]:
    """Each event that is shown, newest first."""
    return [_event(event, file.view.saga, redactor) for event in file.events]


def _event(event: SagaEvent, saga: Saga | None, redactor: Redactor) -> Event:
    before, after = redactor(event.data.get("former")), redactor(event.data.get("changes"))
    return Event(
        at=format_moment(event.at),
        who=event.actor_name or gettext("Somebody"),
        sentence=_sentence(event, saga),
        source=SOURCES.get(event.source, event.source),
        why=redactor(event.reason or event.data.get("held") or ""),
        evidence=redactor(event.data.get("evidence") or ""),
        changes=[*_moves(event.data), *_corrections(before, after)],
        is_note=event.kind == Kind.NOTE,
    )


def _sentence(event: SagaEvent, saga: Saga | None) -> str:
    told = {"who": event.actor_name or gettext("Somebody")}
    if event.kind == Kind.RESOLVE and event.data.get("outcome") in RESOLVED:
        told["step"] = step_label(str(event.data.get("step", "")), saga)
        return str(RESOLVED[event.data["outcome"]]) % told
    return str(SENTENCES[Kind(event.kind)]) % told


def _moves(data: Mapping[str, Any]) -> list[str]:
    """How the state changed, and that a new run began."""
    words = {state: str(word) for state, word in STATES}
    before, after = data.get("from"), data.get("to")
    told = []
    if data.get("requested"):
        told.append(gettext("A step was under way; it was to follow once that had ended."))
    if before in words and after in words and before != after:
        told.append(
            gettext("It went from “%(before)s” to “%(after)s”.") % {"before": words[before], "after": words[after]}
        )
    if "run" in data:
        told.append(gettext("Run %(run)s began.") % {"run": data["run"]})
    return told


def _corrections(former: Any, changes: Any) -> list[str]:
    """Each key that was corrected, as it was and as it is."""
    if not isinstance(former, Mapping) or not isinstance(changes, Mapping):
        return []
    old, new = former.get("set", {}), changes.get("set", {})
    keys = dict.fromkeys([*new, *changes.get("deleted", ()), *old])
    return [f"{name_label(key)}: {_value(old, key)} → {_value(new, key)}" for key in keys]


def _value(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "–"
    value = values[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
