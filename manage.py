#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sagaproject.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise ImportError(
            "Django is not installed here. Run 'make setup', then '.venv/bin/python manage.py …'."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
