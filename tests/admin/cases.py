"""Helpers for the admin's tests: executions from the demo, their pages, and operations on them."""

from sagaproject.bookings.demo.scenes import SCENES, played
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas.models import SagaExecution
from sagas.operations import Actor
from sagas.orchestrator import get_saga_orchestrator
from sagas.presentation.execution_view import view_of
from sagas.presentation.overview import overview_of
from sagas.presentation.redactor import redactor_for
from tests.support import html, new_id, run_saga
from tests.support.bookings import BOOKING, PAYMENT

ANA = Actor(name="ana", source="cli")


def scene(saga, outcome):
    """Play the demo's scene with this saga and outcome to its end, and return its execution."""
    found = next(scene for scene in SCENES if (scene.saga, scene.outcome) == (saga, outcome))
    played(found)
    return get_saga_orchestrator().get_status(found.saga_id)


def book(max_seconds=None, **changes):
    return run_saga(CREATE_BOOKING_SAGA, new_id(), context=BOOKING | changes, max_seconds=max_seconds)


def pay(max_seconds=None, **changes):
    return run_saga(COLLECT_PAYMENT_SAGA, new_id(), context=PAYMENT | changes, max_seconds=max_seconds)


def waiting(plant):
    """Return a booking that waits because its invoice issuer asked to retry in an hour."""
    plant("invoices", "issue", "throttle", latency_ms=3_600_000)
    return book(max_seconds=0)


def case(execution, *, personal=False):
    """Return the overview of the execution, with or without personal values."""
    execution = SagaExecution.objects.get(pk=execution.pk)
    view = view_of(execution)
    return overview_of(view, redactor_for(execution, view.saga, personal=personal))


def verdict(execution, **options):
    found = case(execution, **options)
    return found.tone, found.headline, found.advice


def sentences(lines):
    return [line.sentence for line in lines]


def url(execution, what):
    """Return the address of one part of an execution's admin page."""
    return f"/admin/sagas/sagaexecution/{execution.pk}/{what}/"


def case_url(execution):
    return f"/admin/sagas/sagaexecution/{execution.pk}/change/"


def act_url(execution, operation):
    return f"/admin/sagas/sagaexecution/{execution.pk}/operation/{operation}/"


def do(client, execution, operation, reason="she called", **data):
    """Submit the form of an operation for the execution's current version."""
    execution.refresh_from_db()
    return client.post(act_url(execution, operation), {"version": execution.version, "reason": reason, **data})


def text_of(response):
    """Return the visible text of a page's content."""
    return html.text_of(html.page_of(response).get_element_by_id("content"))


def items(response, heading):
    """Return the list items under this heading of a preview, or an empty list."""
    return html.texts(response, f'//h2[normalize-space()="{heading}"]/following-sibling::*[1]/li')


def group(response, heading):
    """Return the sentences of the steps in the group with this heading."""
    return html.texts(response, f'//section[h2="{heading}"]//p[@class="saga-sentence"]')


def marks(response):
    """Return the direction and the outcome of each bar of the timeline."""
    bars = html.page_of(response).xpath('//g[contains(@class, "saga-outcome-")]/@class')
    return [tuple(name.rpartition("-")[2] for name in bar.split()[1:]) for bar in bars]


def message(client, execution):
    """Return the message that the execution's page shows after an operation."""
    return " ".join(html.texts(client.get(case_url(execution)), '//ul[@class="messagelist"]/li'))


def what_was_done(execution):
    """Return the last event that a person caused: kind, name, source, reason."""
    event = execution.events.exclude(source="engine").order_by("-pk").first()
    return event.kind, event.actor_name, event.source, event.reason
