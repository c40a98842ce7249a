"""The setting INTEGRATIONS selects the providers. For a wrong value, the system check reports the field and a hint."""

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from integrations import conf, registry
from integrations.email.sandbox import SandboxMailer
from integrations.registry import get_port

WARNING = (
    "These providers are sandboxes: invoices, whatsapp, calendar, payments, analytics. They reach no real provider."
)
SENDER = "tests.integrations.test_settings.RealMailer"


class RealMailer:
    """A provider that is not a sandbox and that requires the option `server`."""

    def __init__(self, server: str, port: int = 25) -> None:
        self.server, self.port = server, port

    def send(self, mail, *, key, deadline): ...


class DeafMailer:
    """A class that does not implement the port `Mailer`."""


@pytest.mark.parametrize("port", list(conf.PORTS))
def test_a_port_that_nobody_configured_is_its_sandbox(port):
    provider = getattr(registry, port)()

    assert isinstance(provider, conf.PORTS[port].protocol)
    assert type(provider).__module__ == f"integrations.{port}.sandbox"


def test_a_provider_is_made_once_and_anew_when_the_setting_changes():
    before = registry.email()
    assert registry.email() is before

    with override_settings(INTEGRATIONS={"email": {"BACKEND": SENDER, "OPTIONS": {"server": "mx"}}}):
        assert (registry.email().server, registry.email().port) == ("mx", 25)

    assert isinstance(registry.email(), SandboxMailer)


def test_a_sandbox_takes_options_too():
    with override_settings(INTEGRATIONS={"email": {"OPTIONS": {"slow_seconds": 0.5}}}):
        assert registry.email().slow_seconds == 0.5


def test_a_project_without_the_setting_gets_sandboxes():
    with override_settings():
        del settings.INTEGRATIONS
        assert isinstance(registry.email(), SandboxMailer)


def test_a_port_that_does_not_exist_is_an_error():
    with pytest.raises(LookupError) as caught:
        get_port("telex")

    assert caught.value.args[0] == (
        "There is no port 'telex'. Choose from invoices, email, whatsapp, calendar, payments, analytics."
    )


@pytest.mark.parametrize(
    ("chosen", "id_", "text", "cure"),
    [
        (
            [],
            "E001",
            "INTEGRATIONS is a list.",
            'Make it a dict that maps ports to {"BACKEND": "dotted.path", "OPTIONS": {}}.',
        ),
        (
            {"mail": {}},
            "E002",
            "INTEGRATIONS['mail'] is not a port.",
            "Choose from invoices, email, whatsapp, calendar, payments, analytics.",
        ),
        (
            {"email": SENDER},
            "E003",
            "INTEGRATIONS['email'] is a str.",
            "Make it a dict with BACKEND and OPTIONS.",
        ),
        (
            {"email": {"BACKENDS": SENDER}},
            "E003",
            "INTEGRATIONS['email'] has the unknown key 'BACKENDS'.",
            "Only BACKEND and OPTIONS are known.",
        ),
        (
            {"email": {"BACKEND": "nowhere.Mailer"}},
            "E004",
            "INTEGRATIONS['email']['BACKEND'] cannot be imported: No module named 'nowhere'.",
            "Give the dotted path of a class, like integrations.email.sandbox.SandboxMailer.",
        ),
        (
            {"email": {"BACKEND": None}},
            "E004",
            "INTEGRATIONS['email']['BACKEND'] is a NoneType.",
            "Give the dotted path of a class, like integrations.email.sandbox.SandboxMailer.",
        ),
        (
            {"email": {"OPTIONS": ["slow"]}},
            "E005",
            "INTEGRATIONS['email']['OPTIONS'] is not a dict.",
            "Map option names to values.",
        ),
        (
            {"email": {"OPTIONS": {"slow": 1}}},
            "E005",
            "INTEGRATIONS['email']['OPTIONS'] has the unknown option 'slow'.",
            "integrations.email.sandbox.SandboxMailer takes slow_seconds.",
        ),
        (
            {"payments": {"OPTIONS": {"key": 1}}},
            "E005",
            "INTEGRATIONS['payments']['OPTIONS'] has the unknown option 'key'.",
            "integrations.payments.sandbox.SandboxGateway takes no options.",
        ),
        (
            {"email": {"BACKEND": SENDER}},
            "E005",
            "INTEGRATIONS['email']['OPTIONS'] lacks 'server'.",
            f"{SENDER} takes server, port.",
        ),
        (
            {"email": {"BACKEND": "tests.integrations.test_settings.DeafMailer"}},
            "E006",
            "INTEGRATIONS['email']['BACKEND'] has no send().",
            "A provider for email needs send.",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_the_field_and_the_cure(chosen, id_, text, cure):
    with override_settings(INTEGRATIONS=chosen):
        with pytest.raises(ImproperlyConfigured) as caught:
            registry.get_port(next(iter(chosen), "email") if "mail" not in chosen else "email")
        [found] = run_checks(tags=["integrations"])

    assert str(caught.value) == f"{text} {cure}"
    assert (found.id, found.msg, found.hint) == (f"integrations.{id_}", text, cure)


def test_a_wrong_setting_of_one_port_does_not_stop_another():
    with override_settings(INTEGRATIONS={"email": {"BACKEND": "nowhere.Mailer"}}):
        assert registry.payments()


def test_right_settings_pass_the_check():
    with override_settings(INTEGRATIONS={"email": {"BACKEND": SENDER, "OPTIONS": {"server": "mx"}}}):
        assert run_checks(tags=["integrations"]) == []


def deployment_warnings():
    found = run_checks(tags=["security"], include_deployment_checks=True)
    return [(message.msg, message.hint) for message in found if message.id == "integrations.W001"]


def test_a_deployment_with_sandboxes_is_warned_of_them():
    with override_settings(DEBUG=False, INTEGRATIONS={"email": {"BACKEND": SENDER, "OPTIONS": {"server": "mx"}}}):
        assert deployment_warnings() == [
            (WARNING, "Name real providers in INTEGRATIONS."),
        ]


def test_a_development_machine_is_not_warned_of_sandboxes():
    with override_settings(DEBUG=True):
        assert deployment_warnings() == []


def test_a_deployment_without_sandboxes_is_not_warned(monkeypatch):
    with override_settings(DEBUG=False, INTEGRATIONS={}):
        monkeypatch.setattr("integrations.conf.PORTS", {})
        assert deployment_warnings() == []
