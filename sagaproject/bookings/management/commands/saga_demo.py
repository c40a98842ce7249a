"""manage.py saga_demo: show sagas with every outcome, workers, logins and the web server."""

import logging
import secrets
import signal
import socket
from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.staticfiles.management.commands import runserver
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.servers.basehttp import WSGIServer

from integrations.conf import PORTS, choose
from sagaproject.bookings.demo import scenes
from sagaproject.bookings.demo.workers import Workers, running_workers
from sagas.management.commands.saga_roles import ROLES

HOST = "127.0.0.1"
DEFAULT_PORT = 8000
PORTS_TRIED = 50
LOGIN = scenes.OPERATOR


class Command(BaseCommand):
    """Run the scenes, start workers, create logins and start the web server."""

    help = (
        "Runs each saga to each outcome on the sandbox providers, starts workers that run some, too, creates a login "
        "for each role of the admin, and starts Django's development server on a free port. "
        "A second run keeps the data of the first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options for the server."""
        parser.add_argument(
            "--port",
            type=port_number,
            metavar="PORT",
            help=f"the port to serve on; by default the first free one from {DEFAULT_PORT}",
        )
        parser.add_argument(
            "--no-server", action="store_true", help="only create the data and the logins, and stop the workers"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the scenes, create the logins and serve. Refuse outside development or with real providers."""
        _refuse_outside_a_sandbox()
        port = None if options["no_server"] else _free_port(options["port"])
        # Treat SIGTERM from a supervisor like Ctrl-C, so the workers stop too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._make_and_serve(port)
        except KeyboardInterrupt:
            raise CommandError("Stopped before the demo was complete; run it again.", returncode=130) from None

    def _make_and_serve(self, port: int | None) -> None:
        with _quiet_sagas():
            for scene in scenes.SCENES:
                self._print(f"{scene.saga_id}: {scenes.played(scene)}")
        with running_workers() as workers:
            self._show(workers)
            scenes.slow_down_for_visitors()
            logins = _make_logins()
            if port is None:
                self._print("\n".join(logins))
            else:
                server = DemoServer(stdout=self.stdout, stderr=self.stderr)
                server.logins = logins
                call_command(server, f"{HOST}:{port}", use_reloader=False, shutdown_message="Stopped.")

    def _show(self, workers: Workers) -> None:
        self._print("Workers started.")
        for line in scenes.played_by_workers(scenes.QUEUED, workers):
            self._print(line)
        if scenes.is_new(scenes.RESCUED):
            self._print("One worker is now killed in the middle of a saga.")
        for line in scenes.played_by_workers([scenes.RESCUED], workers):
            self._print(line)

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


class FreePortServer(WSGIServer):
    """A server that raises CommandError if the port is in use. Django's server exits and leaves the workers running."""

    def server_bind(self) -> None:
        """Bind the port. Raise CommandError if it is in use."""
        try:
            super().server_bind()
        except OSError as error:
            raise _in_use(self.server_address[1]) from error


class DemoServer(runserver.Command):
    """Django's development server. It prints its addresses and logins as soon as it listens."""

    server_cls = FreePortServer
    logins: Sequence[str] = ()

    def on_bind(self, server_port: int) -> None:
        """Print the addresses and the logins."""
        self.stdout.write(f"Book something at http://{HOST}:{server_port}/book/")
        self.stdout.write(f"Open http://{HOST}:{server_port}/admin/sagas/sagaexecution/")
        self.stdout.write("\n".join(self.logins))
        self.stdout.write("Ctrl-C stops the server and the workers.")
        self.stdout.flush()


def port_number(text: str) -> int:
    """Parse a port number. With 0, the operating system chooses a port."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _refuse_outside_a_sandbox() -> None:
    """Raise CommandError unless DEBUG is on and all providers are sandboxes."""
    if not settings.DEBUG:
        raise CommandError("saga_demo creates a superuser: it runs only with DEBUG on.", returncode=2)
    real = [port for port, known in PORTS.items() if choose(port).backend != known.sandbox]
    if real:
        names = ", ".join(real)
        raise CommandError(
            f"saga_demo runs only on sandboxes. INTEGRATIONS names other providers for {names}.", returncode=2
        )


def _free_port(wanted: int | None) -> int:
    """Return the requested port, or the first free one."""
    ports = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if wanted is None else [wanted]
    for port in ports:
        with socket.socket() as probe, suppress(OSError):
            # Like the server, accept a port that still has closing connections.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise _in_use(ports[0])


def _in_use(port: int) -> CommandError:
    return CommandError(f"Port {port} is in use. Choose another one with --port.", returncode=2)


@contextmanager
def _quiet_sagas():
    """Silence the log, because the scenes fail on purpose."""
    logger = logging.getLogger("sagas")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _make_logins() -> list[str]:
    """Create the administrator and a user for each role. Return a line about each user."""
    call_command("saga_roles", stdout=StringIO(), stderr=StringIO())
    lines = [_make_login(LOGIN, is_superuser=True)]
    for role in ROLES:
        lines.append(_make_login(role.lower()))
        get_user_model().objects.get(username=role.lower()).groups.set(Group.objects.filter(name=role))
    return lines


def _make_login(name: str, *, is_superuser: bool = False) -> str:
    """Create or update the user with a new password. Return the line that shows the password, which is not stored."""
    usual = {"is_staff": True, "is_superuser": is_superuser}
    user, _ = get_user_model().objects.get_or_create(username=name, defaults=usual)
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save(update_fields=["password"])
    return f"Login: {name}  Password: {password}"
