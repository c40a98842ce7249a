"""The README is short enough, and all links, files and tests that the pages name exist."""

import re

import pytest

from sagas.admin.actions.labels import LABELS

from .pages import PAGES, README, ROOT, anchors_of, links_of, prose_of

GUARANTEES = (ROOT / "docs/GUARANTEES.md").read_text()
NAMED_TESTS = re.findall(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`", GUARANTEES)


def test_the_readme_has_fewer_than_250_lines():
    assert len(README.read_text().splitlines()) < 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    broken = []
    for link in links_of(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)

    assert broken == []


def test_the_readme_leads_to_every_page():
    linked, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        linked.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links_of(page) if "://" not in link}
        waiting += [target for target in targets if target.suffix == ".md" and target not in linked]

    assert set(PAGES) - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    named = set(re.findall(r"`((?:sagas|sagaproject|integrations|tests|docs)/[\w./]+)`", prose_of(page)))

    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS)
def test_every_test_that_the_guarantees_name_exists(file, test):
    assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text()


def test_each_of_the_seventeen_promises_names_a_test():
    promises = re.split(r"^## (?=\d+\. )", GUARANTEES, flags=re.MULTILINE)[1:]

    assert [promise.split(".")[0] for promise in promises] == [str(number) for number in range(1, 18)]
    assert all("::test_" in promise for promise in promises)


def test_the_rescue_page_names_every_operation_as_the_admin_does():
    text = (ROOT / "docs/howto/rescue-a-failed-execution.md").read_text()

    assert [str(label) for label in LABELS.values() if f"*{label}*" not in text] == []
