"""The house check measures correctly, and the code keeps its limits."""

import ast

import pytest

from .report import problems
from .sizes import entries_at_the_top, length
from .source import PACKAGES, names
from .words import ALLOWED, NOT, words_of


def function(source):
    return ast.parse(source).body[0]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    return 1", 2),
        ('def f():\n    """Return one."""\n    return 1', 3),
        ("@cache\ndef f(\n    a,\n):\n    return a", 4),
        ('def f():\n    """Return.\n\n    More.\n    """\n    a = 1\n\n    return a', 8),
    ],
)
def test_a_function_counts_with_its_docstring_and_without_decorators(source, lines):
    assert length(function(source)) == lines


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_case_of_undo", ["case", "of", "undo"]),
        ("SagaCaseFile", ["saga", "case", "file"]),
        ("HTTPError404", ["http", "error", "404"]),
    ],
)
def test_a_name_is_split_into_its_words(name, words):
    assert words_of(name) == words


def test_a_word_is_listed_under_one_term():
    assert len(NOT) == len(set(NOT))


def test_each_exception_has_a_reason():
    assert all(ALLOWED.values())


def test_packages_modules_classes_and_functions_are_read():
    found = {(name.kind, name.name) for name in names(*PACKAGES)}

    assert {
        ("package", "engine"),
        ("module", "planner"),
        ("class", "SagaExecution"),
        ("function", "next_move"),
    } <= found


def test_sagas_has_at_most_twelve_packages_and_modules_of_its_own():
    assert len(entries_at_the_top()) <= 12


def test_names_and_sizes_keep_their_bounds():
    assert list(problems()) == []
