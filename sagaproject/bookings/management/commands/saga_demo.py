"""manage.py saga_demo: a world to look at. Each saga in each outcome, a login, and the web server."""

import logging
import secrets
import signal
import socket
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.management.commands import runserver
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.conf import PORTS, choose
from integrations.models import FaultMode, SandboxFault
from sagas import SagaState
from sagas.models import SagaExecution
from sagas.operations import By
from sagas.orchestrator import get_saga_orchestrator

HOST = "127.0.0.1"
DEFAULT_PORT = 8000
PORTS_TRIED = 50
LOGIN = "demo"

BOOKING = {
    "customer_name": "Ana Souza",
    "customer_email": "ana.souza@example.com",
    "customer_phone": "+5511987654321",
    "customer_document": "529.982.247-25",
    "description": "City tour of Sao Paulo",
    "amount": "420.00",
    "starts_at": "2030-12-01T10:00:00-03:00",
    "ends_at": "2030-12-01T12:00:00-03:00",
}
PAYMENT = {
    "customer_name": "Ana Souza",
    "customer_email": "ana.souza@example.com",
    "amount": "420.00",
    "currency": "BRL",
    "payment_method": "pm_card_visa",
    "description": "City tour of Sao Paulo",
}
REFUSED_MAIL = {"customer_email": "refuse@example.com"}

Fault = tuple[str, str, FaultMode]


def _run(saga_id: str, saga: str, context: dict[str, Any]) -> SagaExecution:
    return get_saga_orchestrator().execute(saga_id, saga, context=context)


def _run_until_it_waits(saga_id: str, saga: str, context: dict[str, Any]) -> SagaExecution:
    """Leave at the first wait, which the first step's fault makes."""
    return get_saga_orchestrator().execute(saga_id, saga, context=context, max_seconds=0)


def _run_and_hold(saga_id: str, saga: str, context: dict[str, Any]) -> SagaExecution:
    _run_until_it_waits(saga_id, saga, context)
    by = By(name=LOGIN, source="cli")
    return get_saga_orchestrator().hold(saga_id, reason="The customer called; waiting for her answer", by=by)


@dataclass(frozen=True)
class Scene:
    """One saga that comes to one outcome, by an unusual input or by faults of the sandbox."""

    saga: str
    outcome: str
    told: str
    there: Callable[[SagaExecution], bool]
    differs: dict[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    play: Callable[[str, str, dict[str, Any]], SagaExecution] = _run

    @property
    def saga_id(self) -> str:
        """The same at each run, so that a second one finds what the first one made."""
        return f"demo-{self.saga.replace('_', '-')}-{self.outcome}"

    @property
    def input(self) -> dict[str, Any]:
        """A sale of its own for each outcome; a booking and its payment share it."""
        usual = BOOKING if self.saga == "create_booking" else PAYMENT
        return {"sale_id": f"DEMO-{self.outcome.upper()}", **usual, **self.differs}


def _is(state: SagaState) -> Callable[[SagaExecution], bool]:
    return lambda execution: execution.state is state


def _is_waiting(execution: SagaExecution) -> bool:
    return execution.state is SagaState.IN_PROGRESS and not execution.leased and not execution.held


def _is_held(execution: SagaExecution) -> bool:
    return bool(execution.held)


SCENES = (
    Scene("create_booking", "succeeded", "succeeded", _is(SagaState.SUCCEEDED)),
    Scene(
        "create_booking",
        "undone",
        "failed at the calendar and undone",
        _is(SagaState.FAILED),
        faults=(("calendar", "add", FaultMode.REFUSE),),
    ),
    Scene(
        "create_booking",
        "partial",
        "partially compensated: the invoice could not be cancelled",
        _is(SagaState.PARTIALLY_COMPENSATED),
        faults=(("calendar", "add", FaultMode.REFUSE), ("invoices", "cancel", FaultMode.REFUSE)),
    ),
    Scene(
        "create_booking",
        "waiting",
        "waiting for a retry: the invoice issuer asked for patience",
        _is_waiting,
        faults=(("invoices", "issue", FaultMode.THROTTLE),),
        play=_run_until_it_waits,
    ),
    Scene(
        "create_booking",
        "held",
        "held by an operator",
        _is_held,
        faults=(("invoices", "issue", FaultMode.THROTTLE),),
        play=_run_and_hold,
    ),
    Scene("collect_payment", "succeeded", "succeeded", _is(SagaState.SUCCEEDED)),
    Scene(
        "collect_payment",
        "declined",
        "failed: the card was declined",
        _is(SagaState.FAILED),
        differs={"payment_method": "pm_card_chargeDeclined"},
    ),
    Scene(
        "collect_payment",
        "refunded",
        "failed at the receipt and undone: the charge was refunded",
        _is(SagaState.FAILED),
        differs=REFUSED_MAIL,
    ),
    Scene(
        "collect_payment",
        "partial",
        "partially compensated: the charge could not be refunded",
        _is(SagaState.PARTIALLY_COMPENSATED),
        differs=REFUSED_MAIL,
        faults=(("payments", "refund", FaultMode.REFUSE),),
    ),
    Scene(
        "collect_payment",
        "waiting",
        "waiting for a retry: the payment gateway could not be reached",
        _is_waiting,
        faults=(("payments", "create", FaultMode.FAIL_BEFORE),),
        play=_run_until_it_waits,
    ),
    Scene(
        "collect_payment",
        "held",
        "held by an operator",
        _is_held,
        faults=(("payments", "create", FaultMode.FAIL_BEFORE),),
        play=_run_and_hold,
    ),
)


class Command(BaseCommand):
    """Brings each saga to each outcome, makes a login and starts the web server."""

    help = (
        "Runs each saga into each outcome on the sandbox providers, makes a login for the admin and starts Django's "
        "development server on a free port of this machine. Run again, it keeps what is there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to serve, or not."""
        parser.add_argument(
            "--port",
            type=port_number,
            metavar="PORT",
            help=f"serve here; without it the first free one from {DEFAULT_PORT}",
        )
        parser.add_argument("--no-server", action="store_true", help="only make the data and the login")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse where it would do harm, make the data and the login, serve."""
        _refuse_outside_a_sandbox()
        port = None if options["no_server"] else _free_port(options["port"])
        try:
            self._make_and_serve(port)
        except KeyboardInterrupt:
            raise CommandError("Stopped before the demo was complete; run it again.", returncode=130) from None

    def _make_and_serve(self, port: int | None) -> None:
        with _quiet_sagas():
            for scene in SCENES:
                self.stdout.write(f"{scene.saga_id}: {_played(scene)}")
        password = _make_login()
        if port is None:
            self.stdout.write(_login(password))
        else:
            self._serve(port, password)

    def _serve(self, port: int, password: str) -> None:
        # Ctrl-C is how the server stops; SIGTERM, from a supervisor, shall do the same.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        server = DemoServer(stdout=self.stdout, stderr=self.stderr)
        server.password = password
        call_command(server, f"{HOST}:{port}", use_reloader=False, shutdown_message="Stopped.")


class DemoServer(runserver.Command):
    """Django's development server, which says where it is and how to get in once it listens."""

    password = ""

    def on_bind(self, server_port: int) -> None:
        """Tell the address and the login."""
        self.stdout.write(f"Open http://{HOST}:{server_port}/admin/sagas/sagaexecution/")
        self.stdout.write(_login(self.password))
        self.stdout.write("Ctrl-C stops it.")
        self.stdout.flush()


def port_number(text: str) -> int:
    """A port that a user may listen on; 0 lets the system choose."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _refuse_outside_a_sandbox() -> None:
    """Real providers would issue real invoices, and the login would be real."""
    if not settings.DEBUG:
        raise CommandError("saga_demo makes a login for everything: it runs only with DEBUG on.", returncode=2)
    real = [port for port, known in PORTS.items() if choose(port).backend != known.sandbox]
    if real:
        names = ", ".join(real)
        raise CommandError(f"saga_demo runs on sandboxes only; INTEGRATIONS names others for {names}.", returncode=2)


def _free_port(wanted: int | None) -> int:
    """The port that was asked for, or the first free one; asked before anything is made."""
    ports = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if wanted is None else [wanted]
    for port in ports:
        if _is_free(port):
            return port
    raise CommandError(f"Port {ports[0]} is in use; name another one with --port.", returncode=2)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server will do it: a port whose last connections are just closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextmanager
def _quiet_sagas():
    """What goes wrong here goes wrong on purpose; the log would bury the list."""
    logger = logging.getLogger("sagas")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _played(scene: Scene) -> str:
    """Bring the scene to its outcome, unless it is there; what became of it."""
    existing = get_saga_orchestrator().get_status(scene.saga_id)
    if existing and scene.there(existing):
        return f"{scene.told} (it was there)"
    if not existing:
        for port, operation, mode in scene.faults:
            # Keys begin with the saga's id, so no other saga meets this fault.
            fault = {"port": port, "operation": operation, "match": f"{scene.saga_id}:", "mode": mode}
            SandboxFault.objects.get_or_create(**fault)
    elif existing.state in (SagaState.SUCCEEDED, SagaState.FAILED, SagaState.PARTIALLY_COMPENSATED):
        return f"{existing.state.value.replace('_', ' ')} (somebody has moved it on)"
    execution = scene.play(scene.saga_id, scene.saga, scene.input)
    if not scene.there(execution):
        raise CommandError(f"{scene.saga_id} was to be {scene.outcome} and is {execution.state.value}.")
    return scene.told


def _make_login() -> str:
    """A new password for the demo's administrator at each run: none is kept anywhere."""
    user, _ = get_user_model().objects.get_or_create(username=LOGIN, defaults={"is_staff": True, "is_superuser": True})
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def _login(password: str) -> str:
    return f"Login: {LOGIN}  Password: {password}"
