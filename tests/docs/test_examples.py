"""The examples in the documentation run."""

import pytest

from sagas.definition.registry import all_sagas

from .pages import README, ROOT, blocks_of

pytest_plugins = ["sagas.testing.fixtures"]
TESTING = ROOT / "docs/howto/test-your-sagas.md"


def run(block, names):
    """Execute a block in the namespace `names`."""
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102  (the code comes from our documentation)
    return names


def block_with(page, text):
    """Return the only code block of the page that contains the text."""
    (found,) = [block for block in blocks_of(page) if block.language == "python" and text in block.text]
    return found


@pytest.mark.django_db(databases=["default", "sandbox"])
def test_the_quick_start_runs_twice(capsys):
    quick_start = block_with(README, "CREATE_BOOKING_SAGA")

    first, second = run(quick_start, {})["execution"], run(quick_start, {})["execution"]

    assert (first.state.value, second.pk) == ("succeeded", first.pk)
    assert capsys.readouterr().out.startswith("Booking created\n")


def test_the_first_saga_of_the_readme_is_registered(registry_restored):
    names = dict.fromkeys(["gateway", "book_parcel", "cancel_parcel", "send_mail"], lambda context: None)

    run(block_with(README, "def charge"), names)

    assert [step.name for step in all_sagas()["order"]] == ["charge", "ship", "confirm"]


@pytest.mark.django_db
def test_the_example_of_a_test_passes(db, fake_provider, saga_clock):
    names = run(block_with(TESTING, "def test_a_refused_parcel"), {})

    names["test_a_refused_parcel_refunds_the_charge"](db, fake_provider, saga_clock)

    assert [effect.state for effect in fake_provider.effects_of("charge")] == ["reversed"]


@pytest.mark.django_db
def test_the_tutorial_runs_from_the_first_block_to_the_last(registry_restored):
    names = {}

    for block in blocks_of(ROOT / "docs/TUTORIAL.md"):
        run(block, names)

    assert names["execution"].saga_id == "tutorial-3"
