"""The documents name what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.findall(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`", (ROOT / "docs/GUARANTEES.md").read_text())


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_test_that_the_guarantees_name_is_there(file, test):
    assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text()


def test_each_of_the_seventeen_promises_names_a_test():
    promises = re.split(r"^## (?=\d+\. )", (ROOT / "docs/GUARANTEES.md").read_text(), flags=re.MULTILINE)[1:]

    assert [promise.split(".")[0] for promise in promises] == [str(number) for number in range(1, 18)]
    assert all("::test_" in promise for promise in promises)
