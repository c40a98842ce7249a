"""docs/REFERENCE.md documents exactly the public names that exist."""

import ast
import dataclasses
import inspect
import re
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.db.models import Field
from django.dispatch import Signal

import sagas
from sagas import Priority, Saga, SagaState, SagaStep, StepContext, conf, signals, testing
from sagas import orchestrator as orchestrator_module
from sagas.definition import wording_templates
from sagas.definition.states import Direction, EventKind, Outcome, Resolution
from sagas.management.exit_codes import Exit
from sagas.monitoring import metrics
from sagas.operations import Operation
from sagas.orchestrator import SagaOrchestrator
from sagas.presentation.step_status import StepStatus

from .pages import REFERENCE, ROOT, names_in, rows_of

SOURCES = [path for path in sorted((ROOT / "sagas").rglob("*.py")) if "migrations" not in path.parts]
DJANGO_OPTIONS = {
    *("--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"),
    *("--force-color", "--skip-checks"),
}


def public_names(owner: Any) -> set[str]:
    """Return the public names that the class or module itself defines, without inherited names."""
    return {name for name in vars(owner) if not name.startswith("_")}


def columns_of(name: str) -> set[str]:
    """Return the names of the model's columns."""
    fields = apps.get_model("sagas", name)._meta.get_fields()
    return {field.name for field in fields if isinstance(field, Field)}


def attributes_of_context() -> set[str]:
    """Return the public attributes and properties of StepContext."""
    tree = ast.parse(inspect.getsource(StepContext))
    stored = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and not node.attr.startswith("_")
    }
    return stored | {name for name, value in vars(StepContext).items() if isinstance(value, property)}


def log_events() -> set[str]:
    """Return the event names in calls of functions whose name contains "log"."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and "log" in _name_of(node.func):
                texts = [each.value for argument in node.args for each in ast.walk(argument) if _is_text(each)]
                found |= {text for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", text)}
    return found


def _name_of(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def check_ids() -> set[str]:
    """Return the ids of the system checks that the code contains."""
    return {found for path in SOURCES for found in re.findall(r"\bsagas\.[EW]\d{3}\b", path.read_text())}


def permissions() -> set[str]:
    """Return the custom permissions of SagaExecution, and Django's view permission."""
    meta = apps.get_model("sagas", "SagaExecution")._meta
    return {f"sagas.{name}" for name, _ in meta.permissions} | {"sagas.view_sagaexecution"}


def fixture_names() -> set[str]:
    """Return the names of the pytest fixtures in `sagas.testing.fixtures`."""
    return set(re.findall(r"@pytest\.fixture\ndef (\w+)", (ROOT / "sagas/testing/fixtures.py").read_text()))


def values_of(kind: Any) -> set[str]:
    """Return the values of a text enum, without the empty value."""
    return {member.value for member in kind if member.value}


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("Names in sagas", set(sagas.__all__)),
        ("SagaStep", {field.name for field in dataclasses.fields(SagaStep)}),
        ("Saga", {field.name for field in dataclasses.fields(Saga)}),
        ("StepContext", attributes_of_context()),
        ("SagaState", set(SagaState.__members__)),
        ("Priority", set(Priority.__members__)),
        ("Outcomes", values_of(Outcome)),
        ("Directions", values_of(Direction)),
        ("Resolutions", values_of(Resolution)),
        ("Operations", values_of(Operation)),
        ("Step statuses", values_of(StepStatus)),
        ("Wording of a step", set(wording_templates.STEP_KEYS)),
        ("Wording of a saga", set(wording_templates.SAGA_KEYS)),
        ("Formats", set(wording_templates.FORMATS)),
        ("SagaOrchestrator", public_names(SagaOrchestrator)),
        ("SagaExecution", columns_of("SagaExecution")),
        ("StepRun", columns_of("StepRun")),
        ("SagaEvent", columns_of("SagaEvent")),
        ("Kinds of events", values_of(EventKind)),
        ("Other models", {model.__name__ for model in apps.get_app_config("sagas").get_models()}
         - {"SagaExecution", "StepRun", "SagaEvent"}),
        ("Names in sagas.testing", set(testing.__all__)),
        ("Fixtures", fixture_names()),
        ("Settings", {field.name for field in dataclasses.fields(conf.Settings)}),
        ("Permissions", permissions()),
        ("Log events", log_events()),
        ("System checks", check_ids()),
        ("Signals", {name for name, value in vars(signals).items() if isinstance(value, Signal)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_section_lists_each_name_once(section, names):
    documented = names_in(REFERENCE, section)

    assert (names - documented, documented - names) == (set(), set())


def test_the_function_that_returns_the_orchestrator_is_documented():
    assert orchestrator_module.get_saga_orchestrator.__name__ in REFERENCE.read_text()


def test_each_setting_has_its_default():
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows_of(REFERENCE, "Settings")}

    assert shown == {field.name: _shown(field.default) for field in dataclasses.fields(conf.Settings)}


def test_each_field_of_a_step_has_its_default():
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows_of(REFERENCE, "SagaStep")}

    assert shown == {field.name: _shown(field.default) for field in dataclasses.fields(SagaStep)}


def _shown(default: Any) -> str:
    if default is dataclasses.MISSING:
        return "required"
    return f"{default:g}" if isinstance(default, float) else str(default)


def our_commands() -> list[str]:
    """Return the names of the management commands of the app `sagas`."""
    return sorted(name for name, app in get_commands().items() if app == "sagas")


@pytest.mark.parametrize("name", our_commands())
def test_each_command_is_documented_with_its_arguments(name):
    parser = load_command_class("sagas", name).create_parser("manage.py", name)
    options = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
    positional = {str(action.metavar or action.dest) for action in parser._actions if not action.option_strings}

    assert names_in(REFERENCE, name) == (options - DJANGO_OPTIONS - {"--json"}) | positional


def test_every_exit_code_is_documented():
    assert names_in(REFERENCE, "Exit codes") == {str(int(code)) for code in Exit}


@pytest.mark.django_db
def test_every_metric_is_documented():
    names = {family.name for family in metrics.registry().collect()}

    assert names_in(REFERENCE, "Metrics") == names


def test_every_variable_of_the_demo_is_documented():
    source = (ROOT / "sagaproject/settings.py").read_text()
    read = re.findall(r'(?:read_\w+\(\s*|environ\.get\(|environ\[)"([A-Z_]+)"', source)

    assert names_in(REFERENCE, "The demo project's environment") == set(read)
