"""Read and verify settings.INTEGRATIONS.

System checks verify the setting, and `choose` verifies it again before a provider is created.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from integrations.analytics import Analytics
from integrations.calendar import Calendar
from integrations.email import Mailer
from integrations.invoices import InvoiceIssuer
from integrations.payments import PaymentGateway
from integrations.sandbox import Sandbox
from integrations.whatsapp import Messenger


@dataclass(frozen=True)
class Port:
    """The protocol of a port, and its sandbox. Without a configured provider, the sandbox is used."""

    protocol: type[Any]
    sandbox: str

    @property
    def methods(self) -> list[str]:
        """The names of the methods that a provider must have."""
        return [name for name in vars(self.protocol) if not name.startswith("_")]


PORTS = {
    "invoices": Port(InvoiceIssuer, "integrations.invoices.sandbox.SandboxInvoices"),
    "email": Port(Mailer, "integrations.email.sandbox.SandboxMailer"),
    "whatsapp": Port(Messenger, "integrations.whatsapp.sandbox.SandboxMessenger"),
    "calendar": Port(Calendar, "integrations.calendar.sandbox.SandboxCalendar"),
    "payments": Port(PaymentGateway, "integrations.payments.sandbox.SandboxGateway"),
    "analytics": Port(Analytics, "integrations.analytics.sandbox.SandboxAnalytics"),
}
KEYS = ("BACKEND", "OPTIONS")
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Problem:
    """A problem with the setting, and its cure. `id` is the id of the system check message, without its prefix."""

    id: str
    port: str
    text: str
    cure: str

    def __str__(self) -> str:
        return f"{self.text} {self.cure}"


class IntegrationsError(ImproperlyConfigured):
    """Raised if settings.INTEGRATIONS is not valid. The message names the problem and the cure."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))


@dataclass(frozen=True)
class Choice:
    """The provider that the settings name for a port."""

    port: str
    backend: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def choose(port: str) -> Choice:
    """Return the provider that the settings name for the port. Raise IntegrationsError for the first problem."""
    for problem in find_problems():
        if problem.port in ("", port):
            raise IntegrationsError(problem)
    return _choice(port)


def find_problems() -> Iterator[Problem]:
    """Yield each problem with settings.INTEGRATIONS."""
    chosen = _setting()
    if not isinstance(chosen, Mapping):
        yield Problem(
            "E001",
            "",
            f"INTEGRATIONS is a {type(chosen).__name__}.",
            'Make it a dict that maps ports to {"BACKEND": "dotted.path", "OPTIONS": {}}.',
        )
        return
    for port in chosen:
        yield from _find_problems_of(port, chosen[port])


@register("integrations")
def check_integrations(**_: Any) -> list[CheckMessage]:
    """Report each problem with settings.INTEGRATIONS."""
    return [Error(problem.text, hint=problem.cure, id=f"integrations.{problem.id}") for problem in find_problems()]


@register(Tags.security, deploy=True)
def check_deployed_integrations(**_: Any) -> list[CheckMessage]:
    """Warn about sandboxes in a deployment, because they reach no real provider."""
    if settings.DEBUG or any(find_problems()):
        return []
    sandboxes = [port for port in PORTS if issubclass(import_string(choose(port).backend), Sandbox)]
    if not sandboxes:
        return []
    return [
        Warning(
            f"These providers are sandboxes: {', '.join(sandboxes)}. They reach no real provider.",
            hint="Name real providers in INTEGRATIONS.",
            id="integrations.W001",
        )
    ]


def _find_problems_of(port: Any, entry: Any) -> Iterator[Problem]:
    where = f"INTEGRATIONS[{port!r}]"
    if port not in PORTS:
        yield Problem("E002", "", f"{where} is not a port.", f"Choose from {', '.join(PORTS)}.")
    elif not isinstance(entry, Mapping):
        yield Problem(
            "E003",
            port,
            f"{where} is a {type(entry).__name__}.",
            f"Make it a dict with {' and '.join(KEYS)}.",
        )
    elif unexpected := [key for key in entry if key not in KEYS]:
        yield Problem(
            "E003",
            port,
            f"{where} has the unknown key {unexpected[0]!r}.",
            f"Only {' and '.join(KEYS)} are known.",
        )
    elif not isinstance(entry.get("OPTIONS", {}), Mapping):
        yield Problem("E005", port, f"{where}['OPTIONS'] is not a dict.", "Map option names to values.")
    else:
        yield from _find_problems_of_backend(where, _choice(port))


def _find_problems_of_backend(where: str, choice: Choice) -> Iterator[Problem]:
    cure = f"Give the dotted path of a class, like {PORTS[choice.port].sandbox}."
    if not isinstance(choice.backend, str):
        given = type(choice.backend).__name__
        yield Problem("E004", choice.port, f"{where}['BACKEND'] is a {given}.", cure)
        return
    try:
        backend = import_string(choice.backend)
    except ImportError as error:
        yield Problem("E004", choice.port, f"{where}['BACKEND'] cannot be imported: {error}.", cure)
        return
    missing = [name for name in PORTS[choice.port].methods if not callable(getattr(backend, name, None))]
    if missing:
        yield Problem(
            "E006",
            choice.port,
            f"{where}['BACKEND'] has no {missing[0]}().",
            f"A provider for {choice.port} needs {', '.join(PORTS[choice.port].methods)}.",
        )
        return
    yield from _find_problems_of_options(where, choice, backend)


def _find_problems_of_options(where: str, choice: Choice, backend: Any) -> Iterator[Problem]:
    parameters = inspect.signature(backend).parameters
    known = f"{choice.backend} takes {', '.join(parameters) or 'no options'}."
    for name in choice.options:
        if name not in parameters:
            yield Problem("E005", choice.port, f"{where}['OPTIONS'] has the unknown option {name!r}.", known)
    for name, parameter in parameters.items():
        if parameter.kind in NAMED and parameter.default is parameter.empty and name not in choice.options:
            yield Problem("E005", choice.port, f"{where}['OPTIONS'] lacks {name!r}.", known)


def _choice(port: str) -> Choice:
    entry = _setting().get(port, {})
    return Choice(port, entry.get("BACKEND", PORTS[port].sandbox), entry.get("OPTIONS", {}))


def _setting() -> Any:
    return getattr(settings, "INTEGRATIONS", {})
