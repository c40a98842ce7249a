"""Runs the soak and prints its table; exits with 1 when a promise was broken or somebody would have had to help.

    python -m tests.chaos [--sagas N] [--seconds S] [--kills N] [--pauses N] [--restarts N] [--faults PART]
                          [--seed WORD] [--database postgresql|sqlite] [--deadline S] [--logs FOLDER]

It starts all it needs, on loopback and on a unix socket, and takes it with it. The seed makes the plan and the faults
anew, not the order in which threads get there.
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
    """Run it within the deadline; the exit code."""
    options = _options()
    _end_by(options.deadline)
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
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kills everything; nothing may break.")
    parser.add_argument("--sagas", type=int, default=10_000, help="how many are started")
    parser.add_argument("--seconds", type=float, default=1800.0, help="for how long, and for how long things happen")
    parser.add_argument("--kills", type=int, default=300, help="SIGKILL to any process")
    parser.add_argument("--pauses", type=int, default=100, help="SIGSTOP past the lease, then SIGCONT")
    parser.add_argument("--restarts", type=int, default=10, help="of the database, where it has a server")
    parser.add_argument("--faults", type=float, default=0.1, help="part of the provider's calls that go wrong")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="any word; a random one is printed")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--deadline", type=float, default=2700.0, help="seconds after which it gives up")
    parser.add_argument("--logs", metavar="FOLDER", help="where the clusters' logs go if a promise was broken")
    return parser.parse_args()


def _end_by(deadline: float) -> None:
    """Whatever hangs: the alarm ends the run through all its `finally`."""

    def end(number: int, _: object) -> None:
        raise SystemExit(f"It ends here, by {signal.Signals(number).name}; the deadline is {deadline:g} s.")

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
    verdict = soak(chosen, database, folder, logs, lambda line: print(line, flush=True))
    print("\n" + table(verdict), flush=True)
    return int(bool(verdict.violations or verdict.by_hand))


if __name__ == "__main__":
    sys.exit(main())
