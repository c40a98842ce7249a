"""The pytest plugin of the integrations, in a separate pytest process."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest
from django.contrib.auth.models import User
from integrations.models import SandboxFault
from integrations.sandbox import probes

def use_both():
    assert not SandboxFault.objects.exists()
    assert not User.objects.exists()
    assert not probes
    SandboxFault.objects.create(mode="refuse")
    User.objects.create(username="ana")
    probes.append(print)

def test_db(db):
    use_both()

def test_a_fixture_that_uses_db(django_user_model, admin_user):
    SandboxFault.objects.create(mode="refuse")

@pytest.mark.django_db
def test_marked():
    use_both()

def test_transactional(transactional_db):
    use_both()

@pytest.mark.django_db(transaction=True)
def test_marked_transactional():
    use_both()

@pytest.mark.django_db(transaction=True, reset_sequences=True)
class TestMarkedClass:
    def test_keeps_its_other_arguments(self, request):
        use_both()
        assert request.node.get_closest_marker("django_db").kwargs["reset_sequences"]

@pytest.mark.xfail(strict=True)
@pytest.mark.django_db(databases=["default"])
def test_that_names_its_databases_gets_no_other():
    SandboxFault.objects.exists()

@pytest.mark.xfail(strict=True)
def test_without_a_database_gets_none():
    SandboxFault.objects.exists()
"""


def test_tests_reach_both_databases_and_find_them_empty(tmp_path):
    (tmp_path / "test_both.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "integrations.pytest_plugin", "-p", "no:cacheprovider"]
    options = ["-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-p", "no:xdist"]

    # Use SQLite, because the outer test run already uses the test database of a database server.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}

    run = subprocess.run(
        [*command, *options, tmp_path],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "6 passed, 2 xfailed" in run.stdout, run.stdout + run.stderr
