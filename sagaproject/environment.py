"""Reads what the settings take from the environment, and from the file that stands in for it."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

ON = {"1", "true", "yes", "on"}
OFF = {"0", "false", "no", "off"}


def read_flag(variable: str, *, default: bool) -> bool:
    """The variable as yes or no; any other word is an error, for a guess could switch DEBUG on."""
    word = os.environ.get(variable, "").strip().lower()
    if word and word not in ON | OFF:
        raise ImproperlyConfigured(f"{variable} is {word!r}; set it to 1 or 0.")
    return word in ON if word else default


def read_list(variable: str) -> list[str]:
    """The variable's comma-separated words, without blanks."""
    return [word.strip() for word in os.environ.get(variable, "").split(",") if word.strip()]


def read_object(variable: str, *, example: str) -> dict[str, Any]:
    """The variable as a JSON object, like the example; an empty one where it is not set."""
    try:
        found = json.loads(os.environ.get(variable) or "{}")
    except ValueError as error:
        raise ImproperlyConfigured(f"{variable} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ImproperlyConfigured(f"{variable} must be a JSON object, like {example}.")
    return found


def kept_secret_key(path: Path) -> str:
    """The development machine's secret key, made at its first use; only its owner can read the file."""
    if not path.exists():
        _keep_secret_key(path)
    return path.read_text().strip()


def _keep_secret_key(path: Path) -> None:
    # Two processes may get here at once. The file appears complete or not at all, and the first one's
    # stays; mkstemp makes it readable by its owner alone.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(get_random_secret_key() + "\n")
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    Path(draft).unlink()
