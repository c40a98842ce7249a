"""Log named events with fields, one line each. Fields carry no personal data."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

logger = logging.getLogger("sagas")


def log(level: int, event: str, **fields: Any) -> None:
    """Log the event, with its fields in the text and in the record's attribute `fields`."""
    if logger.isEnabledFor(level):
        text = " ".join(f"{name}={_plain(value)}" for name, value in fields.items() if value not in (None, ""))
        logger.log(level, "%s %s", event, text, extra={"event": event, "fields": fields})


def where(error: BaseException) -> str:
    """Return where it was raised, outermost call first, without its text, which may be personal."""
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames)


def _plain(value: Any) -> str:
    """Return the value as text that stays on its line."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and " " not in text else repr(text)
