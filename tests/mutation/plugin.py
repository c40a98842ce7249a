"""A pytest plugin for the process that tries one mutant: `-p tests.mutation.plugin --mutant NAME`."""

import os

import pytest

from .mutants import MUTANTS


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the mutant; without it nothing is changed."""
    parser.addoption("--mutant", default="", help="the promise to take out")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Apply the mutant once the tests have imported what they use."""
    name = session.config.getoption("--mutant")
    if name:
        MUTANTS[name].apply()
        os.environ["MUTANT"] = name  # For the worker processes that the test starts.
