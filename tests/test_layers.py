"""Test that each import contract holds, and that it breaks when a test plants a violation."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["sagas", "integrations", "sagaproject"]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

LAYERS = "Each layer of sagas imports lower layers only"
SAGAS_APART = "sagas knows neither the integrations nor the project"
INTEGRATIONS_APART = "integrations knows neither sagas nor the project"
NO_DJANGO = "The lowest layers import no Django, not even through others"
ONE_DOOR = "Only sagas.worker imports django_q"
CONTRACTS = [LAYERS, SAGAS_APART, INTEGRATIONS_APART, NO_DJANGO, ONE_DOOR]


@pytest.fixture
def tree(tmp_path):
    """Return a copy of the code in which a test can plant violations."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def contracts(tree: Path) -> dict[str, str]:
    """Run import-linter; return KEPT or BROKEN for the name of each contract."""
    run = subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False, timeout=60
    )
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", run.stdout, re.MULTILINE))
    assert sorted(found) == sorted(CONTRACTS), run.stdout + run.stderr
    assert (run.returncode == 0) == ("BROKEN" not in found.values())
    return found


def plant(tree: Path, file: str, line: str) -> None:
    with (tree / file).open("a") as module:
        module.write(f"\n{line}\n")


def test_the_tree_keeps_every_contract(tree):
    assert set(contracts(tree).values()) == {"KEPT"}


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("sagas/definition/states.py", "import sagas.engine", LAYERS),
        ("sagas/engine/planner.py", "import sagas.worker", LAYERS),
        ("sagas/engine/runner.py", "import sagas.orchestrator", LAYERS),
        ("sagas/monitoring/stats.py", "import sagas.operations", LAYERS),
        ("sagas/engine/runner.py", "import integrations.models", SAGAS_APART),
        ("sagas/models/executions.py", "import sagaproject.settings", SAGAS_APART),
        ("integrations/models.py", "import sagas.definition.exceptions", INTEGRATIONS_APART),
        ("integrations/models.py", "import sagaproject.settings", INTEGRATIONS_APART),
        ("sagas/engine/planner.py", "import django", NO_DJANGO),
        ("sagas/definition/saga.py", "from rest_framework import serializers", NO_DJANGO),
        ("sagas/definition/registry.py", "import sagas.conf", NO_DJANGO),
        ("sagas/engine/runner.py", "from django_q.tasks import async_task", ONE_DOOR),
    ],
)
def test_a_planted_import_breaks_its_contract(tree, file, line, contract):
    plant(tree, file, line)

    assert contracts(tree)[contract] == "BROKEN"


def test_a_package_without_a_layer_breaks_the_layers(tree):
    (tree / "sagas" / "extras").mkdir()
    (tree / "sagas" / "extras" / "__init__.py").touch()

    run = subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False, timeout=60
    )

    assert run.returncode == 1
    assert "sagas.extras" in run.stdout


def test_there_are_at_most_ten_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")

    assert layers["exhaustive"]
    assert len(layers["layers"]) <= 10


def test_the_worker_may_import_django_q(tree):
    (tree / "sagas" / "worker").mkdir(exist_ok=True)
    (tree / "sagas" / "worker" / "__init__.py").touch()
    plant(tree, "sagas/worker/__init__.py", "from django_q.cluster import Cluster")

    assert contracts(tree)[ONE_DOOR] == "KEPT"


def test_the_planner_runs_without_django():
    code = "import sagas.engine.planner, sys; print([name for name in sys.modules if name.startswith('django')])"

    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    assert run.stdout == "[]\n"
