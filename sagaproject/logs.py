"""The format of the project's log lines."""

import logging
from typing import Any

from sagas.engine.logs import where

# Escape characters that end a line or move the cursor. Otherwise a value could forge a log line.
CONTROL = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)]}
LINE_ENDS = {ord("\n"): "\\n", ord("\r"): "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}
ESCAPES = CONTROL | LINE_ENDS


class OneLineFormatter(logging.Formatter):
    """A formatter that puts each event on one line. It omits exception texts, which may contain personal data."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(ESCAPES)

    def formatException(self, ei: Any) -> str:  # noqa: N802  (logging's own name)
        """Return the exception's class and its call stack, outermost call first."""
        return f"{ei[0].__name__} at {where(ei[1])}"
