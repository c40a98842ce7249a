"""Log named events with fields, one line for each event. Fields contain no personal data."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

logger = logging.getLogger("sagas")


def log(level: int, event: str, **fields: Any) -> None:
    """Log the event. The text has its fields as `name=value`; the record has them in the attribute `fields`.

    `level` is a level of `logging`. Empty fields are left out of the text.
    """
    if not logger.isEnabledFor(level):
        return
    pairs = []
    for name, value in fields.items():
        if value not in (None, ""):
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
            one_word = text.isprintable() and " " not in text
            pairs.append(f"{name}={text if one_word else repr(text)}")
    logger.log(level, "%s %s", event, " ".join(pairs), extra={"event": event, "fields": fields})


def where(error: BaseException) -> str:
    """Return where the error was raised, as "file:line:function", outermost call first.

    The text of the error is left out, because it may be personal.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames)
