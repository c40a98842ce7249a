"""The page of an execution updates itself, and stays fast with very many attempts."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sagas.models import SagaExecution, StepRun
from tests.support import html, new_id
from tests.support.bookings import BOOKING

from .cases import ANA, book, case_url, marks, text_of, url, waiting

pytestmark = pytest.mark.django_db


def test_the_live_part_tells_the_same_until_something_happens(support, plant, orchestrator):
    execution = waiting(plant)
    page = support.get(case_url(execution))
    [tag] = html.page_of(page).xpath("//@data-tag")

    first = support.get(url(execution, "live"), headers={"If-None-Match": tag})
    orchestrator.cancel(execution.saga_id, by=ANA)
    then = support.get(url(execution, "live"), headers={"If-None-Match": tag})

    assert (first.status_code, first.content) == (304, b"")
    assert then.status_code == 200
    assert "Cancelled by ana. Nothing is left." in html.text_of(then)
    assert then["ETag"] != tag
    assert "<html" not in then.content.decode()


def follows(client, execution):
    """Return whether the page updates itself."""
    return html.page_of(client.get(url(execution, "live"))).xpath("//@data-live") == ["yes"]


def test_the_page_follows_what_goes_on_soon_and_nothing_else(support, plant, orchestrator):
    begun = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    late = waiting(plant)
    leased_rows = waiting(plant)
    SagaExecution.objects.filter(pk=leased_rows.pk).update(leased=True)
    held = orchestrator.start(new_id(), "create_booking", context=BOOKING)
    orchestrator.hold(held.saga_id)

    assert follows(support, begun)
    assert follows(support, leased_rows)
    assert not follows(support, late)
    assert not follows(support, held)
    assert not follows(support, book())


def test_only_the_verdict_is_read_out(support):
    page = html.page_of(support.get(case_url(book())))

    assert page.xpath('//*[@aria-live="polite"]/@id') == ["saga-state"]


def many_attempts(execution, number):
    """Add `number` failed attempts of the first step to the execution."""
    moment = timezone.now()
    StepRun.objects.bulk_create(
        StepRun(
            execution=execution, step="create_nf", direction="action", run=1, attempt=attempt, outcome="failed",
            error_type="RetryLater", error_message="later", idempotency_key="key", started_at=moment,
            finished_at=moment, sequence=1000 + attempt,
        )
        for attempt in range(2, number + 2)
    )  # fmt: skip
    return execution


def queries(client, path):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


@pytest.mark.parametrize("what", ["change", "live"])
def test_the_number_of_queries_does_not_grow_with_the_attempts(support, plant, what):
    few, many = waiting(plant), many_attempts(waiting(plant), 1000)
    queries(support, url(few, what))

    assert queries(support, url(many, what)) == queries(support, url(few, what))


def test_of_many_attempts_the_newest_are_shown_and_older_ones_linked(support, plant):
    execution = many_attempts(waiting(plant), 700)
    page = support.get(case_url(execution))

    assert "300 of 701 attempts are shown. Older attempts" in text_of(page)
    assert len(marks(page)) == 300
    [older] = html.page_of(page).xpath('//a[contains(@href, "?before=")]/@href')
    page = support.get(older)
    assert "300 of 701 attempts are shown." in text_of(page)
    [older] = html.page_of(page).xpath('//a[contains(@href, "?before=")]/@href')
    page = support.get(older)
    assert "101 of 701 attempts are shown. Newest attempts" in text_of(page)
    assert 'data-live="no"' in page.content.decode()


@pytest.mark.parametrize("before", ["x", "-1", "٣", "9" * 18, "9" * 5000])
def test_an_address_that_somebody_has_written_shows_what_there_is(support, plant, before):
    assert support.get(case_url(waiting(plant)), {"before": before}).status_code == 200
