"""The events of an execution as sentences: who did what, when, from where, why, and what changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.definition.saga import Saga
from sagas.models import STATES, SagaEvent
from sagas.presentation.labels import format_moment, name_label, step_label
from sagas.presentation.redactor import Redactor

Kind = SagaEvent.Kind
SENTENCES = {
    Kind.RETRY: _("%(who)s retried it."),
    Kind.CANCEL: _("%(who)s cancelled it."),
    Kind.COMPENSATE: _("%(who)s had everything undone."),
    Kind.HOLD: _("%(who)s put it on hold."),
    Kind.RELEASE: _("%(who)s released it."),
    Kind.VERIFY: _("%(who)s checked with the provider."),
    Kind.RESOLVE: _("%(who)s marked a step as resolved."),
    Kind.ACKNOWLEDGE: _("%(who)s acknowledged it."),
    Kind.CORRECT: _("%(who)s corrected the input."),
    Kind.NOTE: _("%(who)s wrote a note."),
    Kind.REVEAL: _("%(who)s looked at the personal data."),
    Kind.HELD: _("The system put it on hold."),
    Kind.LOST_LEASE: _("A worker crashed; another took over."),
    Kind.CANCELLED: _("The cancel was carried out."),
}
RESOLVED = {
    "done": _("%(who)s recorded “%(step)s” as done."),
    "not_done": _("%(who)s recorded “%(step)s” as not done."),
    "undone": _("%(who)s recorded “%(step)s” as undone."),
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
    """One event, redacted. `changes` are sentences, or the changed keys with their old and new values."""

    at: str
    who: str
    sentence: str
    source: str | Promise
    reason: str
    evidence: str
    changes: list[str]
    is_note: bool


def events_of(events: Iterable[SagaEvent], saga: Saga | None, redactor: Redactor) -> list[Event]:
    """Return the events as redacted sentences in the active language, in the same order."""
    shown = []
    for event in events:
        before, after = redactor(event.data.get("former")), redactor(event.data.get("changes"))
        names = {"who": event.actor_name or gettext("Someone"), "step": ""}
        sentence = SENTENCES[Kind(event.kind)]
        if event.kind == Kind.RESOLVE and event.data.get("outcome") in RESOLVED:
            names["step"] = step_label(str(event.data.get("step", "")), saga)
            sentence = RESOLVED[event.data["outcome"]]
        one = Event(
            at=format_moment(event.at),
            who=names["who"],
            sentence=str(sentence) % names,
            source=SOURCES.get(event.source, event.source),
            reason=redactor(event.reason or event.data.get("held") or ""),
            evidence=redactor(event.data.get("evidence") or ""),
            changes=[*_moves(event.data), *_corrections(before, after)],
            is_note=event.kind == Kind.NOTE,
        )
        shown.append(one)
    return shown


def _moves(data: Mapping[str, Any]) -> list[str]:
    """Describe a delayed request, a change of state, and the start of a run."""
    labels = {state: str(label) for state, label in STATES}
    before, after = data.get("from"), data.get("to")
    sentences = []
    if data.get("requested"):
        sentences.append(gettext("A step was running; this had to wait until it finished."))
    if before in labels and after in labels and before != after:
        sentences.append(
            gettext("State: “%(before)s” → “%(after)s”.") % {"before": labels[before], "after": labels[after]}
        )
    if "run" in data:
        sentences.append(gettext("Run %(run)s started.") % {"run": data["run"]})
    return sentences


def _corrections(superseded: Any, changes: Any) -> list[str]:
    """Describe each corrected key: old value, new value."""
    if not isinstance(superseded, Mapping) or not isinstance(changes, Mapping):
        return []
    old, new = superseded.get("set", {}), changes.get("set", {})
    keys = dict.fromkeys([*new, *changes.get("deleted", ()), *old])
    return [f"{name_label(key)}: {_value(old, key)} → {_value(new, key)}" for key in keys]


def _value(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "–"
    value = values[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
