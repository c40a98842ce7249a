"""Run the soak test and print its report; exit with 1 if a promise was broken or an operator had to act.

    python -m tests.chaos [--sagas N] [--seconds S] [--kills N] [--pauses N] [--restarts N] [--faults PART]
                          [--seed WORD] [--database postgresql|sqlite] [--deadline S] [--logs FOLDER]

The command starts and ends all processes that it needs, on loopback and on a unix socket. The same seed repeats the
plan and the faults. The order in which threads run differs.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from .database import own_database


def main() -> int:
    """Run within the deadline; return the exit code."""
    options = _options()
    _end_at(options.deadline)
    with (
        tempfile.TemporaryDirectory(prefix="sagas-chaos-") as folder,
        own_database(options.database, Path(folder)) as database,
    ):
        os.environ |= database.urls | {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "SECRET_KEY": "chaos",
            "SAGAS_LOG_LEVEL": "INFO",
        }
        return _run(options, database, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Run sagas while everything fails at random."
    )
    parser.add_argument("--sagas", type=int, default=10_000, help="how many to start")
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long sagas are started and faults happen")
    parser.add_argument("--kills", type=int, default=300, help="how many times to send SIGKILL")
    parser.add_argument("--pauses", type=int, default=100, help="how many processes to stop for longer than a lease")
    parser.add_argument("--restarts", type=int, default=10, help="how many restarts of the database server")
    parser.add_argument("--faults", type=float, default=0.1, help="part of the provider's calls that fail")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="any text; a random one is printed")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--deadline", type=float, default=2700.0, help="seconds after which the run is ended")
    parser.add_argument("--logs", metavar="FOLDER", help="where to write the clusters' logs if a promise was broken")
    return parser.parse_args()


def _end_at(deadline: float) -> None:
    """End the run at the deadline with an exception, so that all `finally` blocks run."""

    def end(number: int, _: object) -> None:
        raise SystemExit(f"Ended by {signal.Signals(number).name}; the deadline is {deadline:g} s.")

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, end)
    signal.setitimer(signal.ITIMER_REAL, deadline)


def _run(options: argparse.Namespace, database: object, folder: Path) -> int:
    import django

    django.setup()
    from django.core.management import call_command

    from .soak import Options, soak
    from .table import table

    call_command("migrate", verbosity=0)
    names = ("sagas", "seconds", "kills", "pauses", "restarts", "faults", "seed")
    chosen = Options(**{name: getattr(options, name) for name in names})
    print(f"seed {chosen.seed}", flush=True)
    logs = Path(options.logs) if options.logs else None
    result = soak(chosen, database, folder, logs, lambda line: print(line, flush=True))
    print("\n" + table(result), flush=True)
    return int(bool(result.violations or result.needs_operator))


if __name__ == "__main__":
    sys.exit(main())
