"""A pytest plugin that applies one mutant: `-p tests.mutation.plugin --mutant NAME`."""

import os

import pytest

from .mutants import MUTANTS


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the mutant. Without the option, the code is unchanged."""
    parser.addoption("--mutant", default="", help="the promise to take out")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Apply the mutant after the tests have imported the modules that they use."""
    name = session.config.getoption("--mutant")
    if name:
        MUTANTS[name].apply()
        os.environ["MUTANT"] = name  # The worker processes of the test read it.
