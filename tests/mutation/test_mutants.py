"""Each promise has a test that passes, and that fails when a mutant breaks the promise."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.mutation.mutants import MUTANTS
from tests.support.processes import ROOT

pytestmark = pytest.mark.prove

# `make prove` runs on both databases. Try each mutant on the database that its test needs.
HERE = {name: mutant for name, mutant in MUTANTS.items() if mutant.database == connection.vendor}
PLUGINS = ("anyio", "cacheprovider", "cov", "faker", "hypothesispytest", "pytest_cov", "schemathesis", "xdist")
# The plugins take a quarter of each run, and these tests do not need them.
WITHOUT = [f"-pno:{plugin}" for plugin in PLUGINS]
PYTEST = [sys.executable, "-m", "pytest", "-ptests.mutation.plugin", *WITHOUT, "-q", "--tb=short", "--show-capture=no"]
# A test must fail for one of these reasons. Any other error means that the mutated code does not run at all.
REASONS = ("AssertionError", "Failed: DID NOT RAISE")


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Yield a function that runs tests, with or without a mutant, in a new process with its own database."""
    # Do not use `tmp_path`, because the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory() as temporary:
        yield partial(run_tests, Path(temporary))


def run_tests(temporary: Path, tests: set[str], mutant: str = "") -> subprocess.CompletedProcess[str]:
    """Run these tests in a new process that keeps its SQLite databases in the directory `temporary`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV", "DJANGO_"))}
    if connection.vendor == "postgresql":
        # Only the server of this URL matters: Django derives the name of the test database from the URL.
        ours["DATABASE_URL"] = urlsplit(ours["DATABASE_URL"])._replace(path=f"/mutant_{os.getpid()}").geturl()
    ours["TMPDIR"] = str(temporary)
    command = [*PYTEST, f"--mutant={mutant}", *sorted(tests)]
    return subprocess.run(command, cwd=ROOT, env=ours, check=False, capture_output=True, text=True)


def reasons(output: str) -> list[str]:
    """Return the lines of pytest's output that explain the failures."""
    return [line.removeprefix("E ").strip() for line in output.splitlines() if line.startswith("E   ")]


def test_the_named_tests_pass_without_a_mutant(run):
    tests = {mutant.test for mutant in HERE.values()}

    result = run(tests)

    assert result.returncode == 0, result.stdout
    assert f"{len(tests)} passed" in result.stdout
    print(*(f"{name:80} {mutant.test}" for name, mutant in HERE.items()), sep="\n")


@pytest.mark.parametrize("name", HERE)
def test_a_mutant_turns_its_test_red(run, name):
    test = HERE[name].test

    result = run({test}, name)

    assert (result.returncode, f"FAILED {test}" in result.stdout) == (1, True), result.stdout
    assert reasons(result.stdout)[0].startswith(REASONS), result.stdout
    print(f"{name}: {reasons(result.stdout)[0]}")
