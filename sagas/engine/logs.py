"""Log lines are named events with fields, one line each; nothing personal goes into them."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

logger = logging.getLogger("sagas")


def log(level: int, event: str, **fields: Any) -> None:
    """Log `event` with its fields, in the text and as attributes `saga` of the record."""
    if logger.isEnabledFor(level):
        told = " ".join(f"{name}={_plain(value)}" for name, value in fields.items() if value not in (None, ""))
        logger.log(level, "%s %s", event, told, extra={"event": event, "fields": fields})


def where(error: BaseException) -> str:
    """Where it was raised, from the outermost call to the innermost; without its text, which may be personal."""
    frames = traceback.extract_tb(error.__traceback__)
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames)


def _plain(value: Any) -> str:
    """A value that cannot start a line of its own."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and " " not in text else repr(text)
