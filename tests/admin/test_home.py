"""The home page of the admin: each number links to the list of its executions."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from sagas import OutcomeUnknown, StepFailed
from sagas.models import SagaExecution, SagaWorker
from tests.support import html, run

from .pages import LIST, count_questions, ids_in, text_of

HOME = "/admin/sagas/operations/"


def tiles_of(page):
    """Return the number and the link of each tile that counts executions, by the tile's title."""
    links = html.page_of(page).xpath(f'//ul[@class="saga-tiles"]//a[starts-with(@href, "{LIST}")]')
    return {
        html.text_of(link.find_class("saga-title")[0]): (
            html.text_of(link.find_class("saga-number")[0]),
            link.get("href"),
        )
        for link in links
    }


@pytest.fixture
def worker(db):
    """Create the row of a worker that has reported just now."""
    now = timezone.now()
    return SagaWorker.objects.create(
        name="host:1:abc", host="host", pid=1, process_group=1, cluster="sagas", started_at=now, seen_at=now
    )


@pytest.mark.usefixtures("every_kind")
def test_behind_each_number_are_the_rows_that_it_counts(support, stage):
    run(stage.step("a", OutcomeUnknown("lost"), undo=None, retry_count=0), saga_id="doubtful")
    tiles = tiles_of(support.get(HOME))

    assert {title: number for title, (number, _) in tiles.items()} == {
        "Needs attention": "4", "In doubt": "1", "Being undone": "1", "Waiting": "1", "Running": "1",
    }  # fmt: skip
    assert {title: len(ids_in(support.get(link))) for title, (_, link) in tiles.items()} == {
        title: int(number) for title, (number, _) in tiles.items()
    }


def test_the_home_is_linked_from_the_index_and_searches_the_list(support):
    assert f'href="{HOME}"' in support.get("/admin/").content.decode()
    assert f'role="search" action="{LIST}"' in support.get(HOME).content.decode()


def test_what_is_too_much_to_be_counted_is_said_to_be_more(support):
    SagaExecution.objects.bulk_create(
        (SagaExecution(saga_id=f"x-{n}", saga_name="trip", needs_attention=True) for n in range(1001)),
        batch_size=1000,
    )

    assert tiles_of(support.get(HOME))["Needs attention"] == ("1,000+", f"{LIST}?needs_attention=yes")


def test_a_living_worker_is_told_of(support, worker):
    assert "1 worker is running." in text_of(support.get(HOME))
    assert 'href="/admin/sagas/sagaworker/"' in support.get(HOME).content.decode()


def test_a_warning_in_words_says_that_no_worker_has_been_seen_for_long(support, worker):
    SagaWorker.objects.update(seen_at=timezone.now() - dt.timedelta(minutes=7))

    nobody = "No worker is running; one was last seen 7 minutes ago."
    call = "Nothing continues until an administrator starts one."
    assert f"{nobody} {call}" in text_of(support.get(HOME)).replace("\xa0", " ")


def test_a_warning_in_words_says_that_there_is_no_worker(support):
    assert "No worker is running. Nothing continues until an administrator starts one." in text_of(support.get(HOME))


def test_nothing_is_told_of_a_day_on_which_nothing_ended(support):
    page = text_of(support.get(HOME))

    assert "Nothing finished in the last 24 hours." in page
    assert "Success" not in page


@pytest.mark.usefixtures("every_kind")
def test_the_last_day_is_told_in_numbers(support):
    page = support.get(HOME)
    told = text_of(page)

    assert "25.0 % succeeded: 1 of 4." in told
    assert "peak 4 per hour." in told
    assert "less than 100 ms 4 100 ms to 500 ms 0" in told
    assert re.search(r"p50: \d+ ms, p95: \d+ ms\.", told)
    assert page.content.decode().count('<svg class="saga-chart"') == 2 + len(page.context["durations"].rows)


@pytest.mark.usefixtures("every_kind")
def test_each_failure_leads_to_the_list_of_those_that_failed_so(support):
    page = support.get(HOME)
    rows = html.page_of(page).xpath("//tr[td/a]")
    found = {
        tuple(html.texts(row, "td")[:2]): (
            int(row.xpath("td/a")[0].text),
            set(ids_in(support.get(row.xpath("td/a/@href")[0]))),
        )
        for row in rows
    }

    assert found == {("Trip", "B"): (2, {"failed", "undone-in-part"}), ("Tour", "A"): (1, {"failed-unexpectedly"})}


def test_the_numbers_are_kept_for_a_while_and_say_of_when_they_are(support, stage):
    first = support.get(HOME)
    run(stage.step("a", StepFailed("no")), saga_id="later")
    again = support.get(HOME)

    assert re.search(r"Counted at \d\d:\d\d:\d\d\.", text_of(first))
    assert "Nothing finished in the last 24 hours." in text_of(again)
    assert count_questions(support, HOME) == 5  # session, user, permissions (2), workers
