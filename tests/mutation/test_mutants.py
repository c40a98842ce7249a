"""What keeps a promise is not decoration: without it a named test turns red, and with it that test is green."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.mutation.mutants import MUTANTS
from tests.support.processes import ROOT

pytestmark = pytest.mark.prove

# `make prove` comes by on both databases; each mutant is tried on the one that its test needs.
HERE = {name: mutant for name, mutant in MUTANTS.items() if mutant.database == connection.vendor}
PLUGINS = ("anyio", "cacheprovider", "cov", "faker", "hypothesispytest", "pytest_cov", "schemathesis", "xdist")
# A quarter of each run would go into plugins that these tests do not use.
WITHOUT = [f"-pno:{plugin}" for plugin in PLUGINS]
PYTEST = [sys.executable, "-m", "pytest", *WITHOUT, "-q", "--tb=short", "--show-capture=no"]
# How a test fails; an error of Python or of the database would mean that the mutant cannot run at all.
REASONS = ("AssertionError", "Failed: DID NOT RAISE")


@pytest.fixture
def tree(tmp_path):
    """A copy of the files that git knows or would add, as they are in the working tree."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in known.split("\0"):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(tree: Path, tests: set[str]) -> subprocess.CompletedProcess[str]:
    """Run these tests there, on a database of their own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV", "DJANGO_"))}
    if connection.vendor == "postgresql":
        # Only the server of this URL is used: the test database has a name that is made from the URL's.
        ours["DATABASE_URL"] = urlsplit(ours["DATABASE_URL"])._replace(path=f"/mutant_{os.getpid()}").geturl()
    command = [*PYTEST, *sorted(tests)]
    return subprocess.run(command, cwd=tree, env=ours, check=False, capture_output=True, text=True)


def reasons(output: str) -> list[str]:
    """What pytest says of the failures, a line each."""
    return [line.removeprefix("E ").strip() for line in output.splitlines() if line.startswith("E   ")]


def test_the_named_tests_pass_in_a_copy_that_nobody_has_changed(tree):
    tests = {mutant.test for mutant in HERE.values()}

    result = run(tree, tests)

    assert result.returncode == 0, result.stdout
    assert f"{len(tests)} passed" in result.stdout
    print(*(f"{name:80} {mutant.test}" for name, mutant in HERE.items()), sep="\n")


@pytest.mark.parametrize("name", HERE)
def test_a_mutant_turns_its_test_red(tree, name):
    mutant = HERE[name]
    source = (tree / mutant.path).read_text()
    assert source.count(mutant.text) == 1, f"{mutant.path} has changed: say anew what to replace so that {name}."
    (tree / mutant.path).write_text(source.replace(mutant.text, mutant.replacement))

    result = run(tree, {mutant.test})

    assert (result.returncode, f"FAILED {mutant.test}" in result.stdout) == (1, True), result.stdout
    assert reasons(result.stdout)[0].startswith(REASONS), result.stdout
    print(f"{name}: {reasons(result.stdout)[0]}")
