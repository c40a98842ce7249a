"""Contract tests of the port `Calendar`."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from integrations import Done, Undone
from integrations.calendar import EventRequest
from integrations.exceptions import CompensationRefused, IdempotencyConflict, RetiredKey
from tests.integrations.conftest import in_time

pytestmark = pytest.mark.django_db

START = datetime(2026, 12, 1, 13, tzinfo=UTC)


def event_of(summary: str = "City tour") -> EventRequest:
    return EventRequest(summary, START, START + timedelta(hours=2), attendees=("ana@example.com",))


def add(calendar, event=None, key="s1:1:cal"):
    return calendar.add(event or event_of(), key=key, deadline=in_time())


def get(calendar):
    return calendar.get(key="s1:1:cal", deadline=in_time())


def remove(calendar, key="s1:1:cal:undo", external_id=None):
    return calendar.remove(key=key, action_key="s1:1:cal", external_id=external_id, deadline=in_time())


def test_an_event_is_found_under_its_key(calendar):
    added = add(calendar)

    assert not added.replayed
    assert get(calendar).value == added.value


def test_an_event_has_an_id_that_a_calendar_takes(calendar):
    assert re.fullmatch("[a-v0-9]{5,1024}", add(calendar).value.id)


def test_nothing_is_found_under_a_key_that_was_never_used(calendar):
    assert get(calendar) is None


def test_the_same_key_adds_once(calendar):
    first, second = add(calendar), add(calendar)

    assert second == Done(first.value, replayed=True)


def test_the_same_key_with_another_event_is_a_conflict(calendar):
    add(calendar)

    with pytest.raises(IdempotencyConflict):
        add(calendar, event_of("Another tour"))


@pytest.mark.parametrize("knows_the_id", [True, False])
def test_an_event_is_removed_with_or_without_its_id(calendar, knows_the_id):
    event = add(calendar).value

    assert remove(calendar, external_id=event.id if knows_the_id else None) == Undone(external_id=event.id)
    assert get(calendar) is None


@pytest.mark.parametrize("key", ["s1:1:cal:undo", "s1:1:cal:undo:2"])
def test_a_second_removal_finds_it_done(calendar, key):
    event = add(calendar).value
    remove(calendar)

    assert remove(calendar, key) == Undone(already=True, external_id=event.id)


def test_a_removed_event_does_not_come_back_under_its_key(calendar):
    add(calendar)
    remove(calendar)

    with pytest.raises(RetiredKey):
        add(calendar)
    assert get(calendar) is None


def test_the_removal_of_an_event_that_never_was_leaves_its_key_dead(calendar):
    undone = remove(calendar)

    assert undone.nothing_to_undo
    assert not undone.already
    with pytest.raises(RetiredKey) as caught:
        add(calendar)
    assert str(caught.value) == ("The calendar event was undone; the same request is not carried out again (410)")
    assert get(calendar) is None


def test_the_second_removal_of_an_event_that_never_was_says_so(calendar):
    remove(calendar)

    undone = remove(calendar)

    assert undone.already
    assert undone.nothing_to_undo


def test_a_refused_removal_says_what_a_person_can_do(calendar, plant):
    add(calendar)
    plant("calendar", "remove", "refuse")

    with pytest.raises(CompensationRefused) as caught:
        remove(calendar)

    assert str(caught.value) == (
        "The calendar does not let us remove the event (403). Remove it there by hand. https://calendar.example/event"
    )
