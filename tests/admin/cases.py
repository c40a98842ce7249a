"""Cases for the admin's tests: the demo's scenes, and what is done to them on their pages."""

import html
import re

from sagaproject.bookings.demo.scenes import SCENES, played
from sagas.orchestrator import get_saga_orchestrator


def scene(saga, outcome):
    """The execution of that scene of the demo, played to its end."""
    found = next(scene for scene in SCENES if (scene.saga, scene.outcome) == (saga, outcome))
    played(found)
    return get_saga_orchestrator().get_status(found.saga_id)


def case_url(execution):
    return f"/admin/sagas/sagaexecution/{execution.pk}/change/"


def act_url(execution, act):
    return f"/admin/sagas/sagaexecution/{execution.pk}/act/{act}/"


def do(client, execution, act, reason="she called", **data):
    """Confirm the act as its page asks it, at the version that the execution has."""
    execution.refresh_from_db()
    return client.post(act_url(execution, act), {"version": execution.version, "reason": reason, **data})


def text_of(response):
    """What a page says, on one line, without its tags."""
    page = response.content.decode()
    main = page[page.index('<div id="content"') : page.index("<footer")]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def items(response, heading):
    """The list under that heading of a preview; none where there is no such heading."""
    page = response.content.decode()
    found = re.search(rf"<h2[^>]*>{re.escape(heading)}</h2>\s*<[ou]l[^>]*>(.*?)</[ou]l>", page, re.DOTALL)
    sentences = re.findall(r"<li>(.*?)</li>", found.group(1)) if found else []
    return [html.unescape(sentence) for sentence in sentences]


def told(client, execution):
    """The message with which the case file greets after an act."""
    page = client.get(case_url(execution)).content.decode()
    found = re.search(r'<ul class="messagelist">\s*<li[^>]*>(.*?)</li>', page, re.DOTALL)
    return html.unescape(found.group(1)) if found else ""


def what_was_done(execution):
    """The last event of a person: kind, who, from where, why."""
    event = execution.events.exclude(source="engine").order_by("-pk").first()
    return event.kind, event.actor_name, event.source, event.reason
