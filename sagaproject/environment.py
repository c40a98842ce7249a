"""Read settings from the environment, and the secret key from a file."""

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
    """Return the variable as a bool. Reject unknown values, because a wrong guess could switch DEBUG on."""
    word = os.environ.get(variable, "").strip().lower()
    if word and word not in ON | OFF:
        raise ImproperlyConfigured(f"{variable} is {word!r}; set it to 1 or 0.")
    return word in ON if word else default


def read_list(variable: str) -> list[str]:
    """Return the variable's comma-separated values, stripped."""
    return [word.strip() for word in os.environ.get(variable, "").split(",") if word.strip()]


def read_object(variable: str, *, example: str) -> dict[str, Any]:
    """Return the variable, a JSON object such as `example`. Return {} if it is not set."""
    try:
        found = json.loads(os.environ.get(variable) or "{}")
    except ValueError as error:
        raise ImproperlyConfigured(f"{variable} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ImproperlyConfigured(f"{variable} must be a JSON object, like {example}.")
    return found


def kept_secret_key(path: Path) -> str:
    """Return the secret key of a development machine. The first call creates the file; only its owner can read it."""
    if not path.exists():
        # Two processes may create the key at the same time. os.link publishes a complete file, and the first process
        # wins. mkstemp creates a file that only its owner can read.
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key() + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        Path(draft).unlink()
    return path.read_text().strip()
