"""Find names that use a word of the glossary's "not" column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .source import Name, names

# Term of the glossary: the words that no name may use instead. An underscore joins consecutive words.
GLOSSARY = {
    "compensation": ("undo", "undoing", "undos", "undone"),
    "execution": ("case", "cases", "file", "files", "tenure"),
    "in doubt": ("unknown", "doubt", "doubts"),
    "history": ("journal", "record", "records"),
    "claim, lease": ("taking", "in_hand"),
    "crash recovery": ("death", "deaths", "dead", "excused", "suspect", "suspects", "blamed"),
    "quarantine": ("holding",),
    "wake-up": ("bell", "ring"),
    "deferred compensation": ("aside",),
    "held": ("parked",),
    "pending request": ("wants",),
    "operation": ("act", "acts", "performer", "performers", "remark", "remarks"),
    "guard": ("refusal", "refusals"),
    "preview": ("forecast", "telling", "told", "following"),
    "bulk operation": ("batch", "batches"),
    "step status": ("standing", "stand", "stands", "situation", "situations"),
    "diagnosis": ("verdict", "verdicts"),
    "template": ("phrasing", "filling", "words"),
    "label": ("naming",),
    "redaction": ("mask", "masks", "masked", "masking", "veil", "veiled"),
    "superseded values": ("former",),
    "audit": ("verification",),
    "replay": ("fold", "folding", "folded"),
    "retry policy": ("judge", "judging", "judged"),
    "fake provider": ("world", "worlds"),
}
NOT = [word for words in GLOSSARY.values() for word in words]
# The glossary allows the word `outcomes`, but not as the name of a module.
NOT_MODULES = ["outcomes"]
# Exceptions: a pattern for the whole name, and the reason why the name is allowed.
ALLOWED = {
    r"OutcomeUnknown|UnknownSaga|UnknownExecution|ActRefused": "public exceptions, named in the design",
    r"Undone": "public result of the ports, named in their contract",
    r"_?record(_\w+)?": "the verb",
    r"case": "the admin's page of one execution, so named in the agreed layout",
}


def words_of(name: str) -> list[str]:
    """Split a snake_case or CamelCase name into lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def offences(*packages: str) -> Iterator[tuple[str, Name]]:
    """Yield each word of the "not" column that a name uses, with that name."""
    for name in names(*packages):
        if _allowed(name.name):
            continue
        words = re.sub(r"\bin doubt\b", "in-doubt", " ".join(words_of(name.name))).split()
        yield from ((banned, name) for banned in NOT if _has(words, banned.split("_")))
        if name.kind == "module" and name.name in NOT_MODULES:
            yield name.name, name


def _has(words: list[str], banned: list[str]) -> bool:
    return any(words[start : start + len(banned)] == banned for start in range(len(words)))


def _allowed(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in ALLOWED)
