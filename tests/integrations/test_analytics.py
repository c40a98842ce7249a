"""Contract tests of the port `Analytics`."""

import pytest

from integrations import Done
from integrations.analytics import AnalyticsEvent
from integrations.exceptions import IdempotencyConflict
from tests.integrations.conftest import in_time

pytestmark = pytest.mark.django_db


def track(analytics, name="payment_collected", key="s1:1:log"):
    event = AnalyticsEvent(name, "SALE-001", {"amount": "420.00"})
    return analytics.track(event, key=key, deadline=in_time())


def test_the_same_key_counts_once(analytics):
    first, second = track(analytics), track(analytics)

    assert second == Done(first.value, replayed=True)


def test_another_key_counts_again(analytics):
    assert track(analytics).value != track(analytics, key="s2:1:log").value


def test_the_same_key_with_another_event_is_a_conflict(analytics):
    track(analytics)

    with pytest.raises(IdempotencyConflict):
        track(analytics, "payment_refunded")
