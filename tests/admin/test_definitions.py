"""The page of saga definitions: what each saga does, and whether the current code can run its executions."""

import html
import re
import xml.etree.ElementTree as ET

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework import serializers

from sagas.definition import registry
from sagas.models import MissingSaga, SagaExecution
from sagas.orchestrator import get_saga_orchestrator
from tests.admin.conftest import words_of
from tests.support.bookings import BOOKING
from tests.support.query_plans import rows_read, scans, statements_of

from .pages import LIST, ids_in, text_of

DESK = "/admin/sagas/definition/"
QUICK = (
    "sagas_execution USING INTEGER PRIMARY KEY (rowid=?)",
    "U0 USING COVERING INDEX sagas_execution_state (state=?)",
)
ALL_FIT = "Compatible with the current code."
NOT_REGISTERED = (
    "This saga is not registered here. Deploy a version that has it; until then its executions cannot continue."
)

pytestmark = pytest.mark.django_db


def sections(client):
    """Return the text of each saga's section by the section's title."""
    page = client.get(DESK).content.decode()
    found = re.findall(r'<section class="saga-card">(.*?)</section>', page, re.DOTALL)
    titles = [re.search(r"<h2>(.*?)</h2>", section)[1] for section in found]
    told = [" ".join(re.sub(r"<[^>]*>", " ", section).replace("&#x27;", "'").split()) for section in found]
    return dict(zip(titles, told, strict=True))


def diagram(client, name):
    """Return the parsed diagram of the saga."""
    page = client.get(DESK).content.decode()
    drawings = re.findall(r'<svg class="saga-diagram".*?</svg>', page, re.DOTALL)
    mine = next(drawing for drawing in drawings if f"title-{name}" in drawing)
    return ET.fromstring(mine)  # noqa: S314  (the page is our own)


def labels(drawing, y=None):
    return [text.text for text in drawing.iter("text") if y is None or text.get("y") == y]


def test_each_saga_is_told_in_words(support):
    told = sections(support)

    assert list(told) == ["Collect payment", "Create booking"]
    assert told["Collect payment"].startswith(
        "Collect payment Charges a customer and enters the payment into the books. "
        f"No unfinished executions. {ALL_FIT} "
    )
    table = told["Collect payment"].partition("Step Calls Time limit Retries Undo Notes ")[2]
    assert table.startswith(
        "Charge process_payment – 15 s 3 Can be undone; at most 15 s, 3 retries "
        "Charges the customer; undoing it refunds them. "
        "If in doubt, its provider is asked what really happened. "
        "Entry in the books create_invoice our own database 5 s 2 Can be undone; at most 5 s, 3 retries "
        "Receipt by e-mail send_receipt – 5 s 2 Cannot be undone "
        "Entry in the statistics log_analytics – 2 s 1 Cannot be undone "
        "Optional: if it fails, the saga continues. "
        "Input Field Kind Required Personal "
        "Sale id sale_id text of at most 64 characters yes no "
        "Customer name customer_name text of at most 200 characters yes yes "
        "Customer email customer_email e-mail address yes yes "
    )
    assert "Amount amount number with 2 decimal places yes no Currency currency one of: BRL, EUR, USD no no" in table


def test_a_drawing_shows_the_steps_and_their_undos_and_tells_them_in_words(support, registered, stage):
    registered(
        stage.step("reserve"),
        stage.step("count", undo=None, optional=True),
        stage.step("pay", pivot=True),
        stage.step("ship", undo=None),
        name="quest",
    )
    drawing = diagram(support, "quest")

    assert drawing.find("title").text == "Quest"
    assert drawing.find("desc").text == (
        "Steps in order: Reserve, Count, Pay, Ship. Undone in this order: Pay, Reserve. "
        "Point of no return: Pay. Optional: Count."
    )
    assert labels(drawing) == ["Reserve", "Count", "optional", "Pay", "point of no return", "Ship", "Undo", "Undo"]
    assert [box.get("class") for box in drawing.iter("rect")] == [
        "",
        "optional",
        "pivot",
        "",
        "compensation",
        "compensation",
    ]
    steps = [int(box.get("x")) for box in drawing.iter("rect")][:4]
    assert steps == sorted(steps)
    assert all(int(box.get("x")) + int(box.get("width")) < int(drawing.get("width")) for box in drawing.iter("rect"))


def test_what_is_special_about_a_step_is_told(support, registered, stage):
    registered(
        stage.step("write", undo=None, idempotent=False, timeout=0.5),
        stage.step("pay", undo=None, pivot=True, money="amount"),
        name="quest",
    )

    told = sections(support)["Quest"]
    assert "Write write – 0.5 s 3 Cannot be undone If in doubt, it is never called again. " in told
    assert (
        "Pay pay – 30 s 3 Cannot be undone Point of no return: once it is done, nothing can be undone. "
        "Charges the customer."
    ) in told
    assert "What it takes" not in told


class Anything(serializers.Serializer):
    """An input with one field of each kind."""

    sizes = serializers.MultipleChoiceField(choices=[("s", "small"), ("l", "large")])
    again = serializers.BooleanField(required=False)
    site = serializers.URLField()
    token = serializers.UUIDField()
    words = serializers.CharField()
    count = serializers.IntegerField()
    rate = serializers.FloatField()
    day = serializers.DateField()
    hour = serializers.TimeField()
    span = serializers.DurationField()
    names = serializers.ListField()
    rest = serializers.JSONField()
    told = serializers.CharField(read_only=True)


def test_each_kind_of_input_has_words(support, registered, stage):
    registered(stage.step("ask"), name="quest", schema=Anything, personal=["names"])

    assert sections(support)["Quest"].partition("Personal ")[2] == (
        "Sizes sizes several of: small, large yes no Again again yes or no no no Site site web address yes no "
        "Token token UUID yes no Words words text yes no Count count whole number yes no Rate rate number yes no "
        "Day day date yes no Hour hour time of day yes no Span span duration yes no Names names list yes yes "
        "Rest rest structured value yes no"
    )


def test_unfinished_executions_are_counted_and_lead_to_their_list(support):
    get_saga_orchestrator().start("b-1", "create_booking", context=BOOKING)
    get_saga_orchestrator().start("b-2", "create_booking", context=BOOKING)
    get_saga_orchestrator().cancel("b-2")
    response = support.get(DESK)
    url = (
        "/admin/sagas/sagaexecution/?saga=create_booking&amp;state=compensating&amp;state=in_progress&amp;state=pending"
    )

    assert f"1 unfinished execution {ALL_FIT}" in sections(support)["Create booking"]
    assert f'href="{url}"' in response.content.decode()
    listed = support.get(url.replace("&amp;", "&")).content.decode()
    assert "b-1" in listed
    assert "b-2" not in listed


def test_executions_that_todays_code_would_strand_are_named(support, registered, stage):
    registered(stage.step("pack"), stage.step("ship"), name="quest")
    for name in ("q-1", "q-2"):
        get_saga_orchestrator().start(name, "quest", context={})
    registered(stage.step("ship"), name="quest")
    get_saga_orchestrator().start("q-3", "quest", context={})

    told = sections(support)["Quest"]
    assert told.startswith(
        "Quest 3 unfinished executions "
        "2 of them were planned with the step pack, which is not defined any more. "
        "They will be put on hold. Show the list "
    )
    assert ALL_FIT not in told
    url = f"{LIST}?saga=quest&stranded=pack"
    assert f'<a href="{html.escape(url)}">Show the list</a>' in support.get(DESK).content.decode()
    listed = support.get(url)
    assert ids_in(listed) == ["q-2", "q-1"]
    assert "Planned with a step that is not defined any more" in text_of(listed)
    assert ids_in(support.get(f"{LIST}?stranded=ship")) == []


def test_an_unregistered_saga_is_shown_while_executions_are_unfinished(support, registered, stage):
    registered(stage.step("pack"), name="quest")
    get_saga_orchestrator().start("q-1", "quest", context={})
    registry.unregister("quest")

    assert sections(support)["quest"] == f"quest {NOT_REGISTERED} 1 unfinished execution"


def test_a_saga_that_no_running_worker_knows_is_shown(support):
    now = timezone.now()
    for name in ("create_booking", "quest"):
        MissingSaga.objects.create(name=name, since=now, seen_at=now)

    told = sections(support)
    assert re.search(
        r"No running worker has known this saga since .*\. Its due executions wait\.", told["Create booking"]
    )
    assert told["quest"].startswith(f"quest {NOT_REGISTERED} No unfinished executions. No running worker has known")


def test_a_plan_that_cannot_be_read_takes_nothing_with_it(support):
    broken = get_saga_orchestrator().start("b-1", "create_booking", context=BOOKING)
    get_saga_orchestrator().start("b-2", "create_booking", context=BOOKING)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sagas_execution SET plan = '{' WHERE id = %s", [broken.pk])

    assert "2 unfinished executions" in sections(support)["Create booking"]


def test_what_a_definition_says_is_no_markup(support, registered, stage):
    registered(stage.step("pack"), name="quest", description="<script>alert(1)</script>")
    page = support.get(DESK).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


def test_who_may_not_see_executions_does_not_see_it(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("guest", is_staff=True))

    assert client.get(DESK).status_code == 403


def test_without_a_saga_it_says_so(support):
    sagas = [registry.get_saga(name) for name in list(registry.all_sagas())]
    for saga in sagas:
        registry.unregister(saga.name)
    try:
        said = words_of(support.get(DESK))
    finally:
        for saga in sagas:
            registry.register(saga)

    assert said.endswith("No saga is registered here.")


@pytest.fixture
def history(db):
    """Create many executions; one in 400 is unfinished."""
    SagaExecution.objects.bulk_create(
        SagaExecution(
            saga_id=f"x-{number}",
            saga_name="create_booking",
            state="succeeded" if number % 400 else "in_progress",
            plan=["create_nf"],
        )
        for number in range(20_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.mark.prove
def test_one_question_reads_the_unfinished_executions_and_no_others(support, history):
    ((sql, parameters),) = statements_of(lambda: support.get(DESK))

    if connection.vendor == "postgresql":
        assert rows_read(sql, parameters) <= 200, sql
    else:
        assert scans(sql, parameters, QUICK, ["sagas_execution", "U0"]) == [], sql
    assert "50 unfinished executions" in sections(support)["Create booking"]


@pytest.mark.prove
def test_the_list_of_stranded_executions_reads_few_finished_ones(support, history):
    SagaExecution.objects.filter(state="in_progress").update(plan=["pack"])

    for sql, parameters in statements_of(lambda: support.get(f"{LIST}?saga=create_booking&stranded=pack")):
        if connection.vendor == "postgresql":
            assert rows_read(sql, parameters) <= 200, sql
        else:
            known = [*QUICK, "sagas_execution USING INDEX", "sagas_execution USING COVERING INDEX"]
            assert scans(sql, parameters, known, ["sagas_execution", "U0"]) == [], sql
    assert len(ids_in(support.get(f"{LIST}?saga=create_booking&stranded=pack"))) == 50
