"""The input is corrected in a form that is made from the saga's schema; the saga continues with the new input."""

import pytest
from django.contrib.auth.models import Permission
from rest_framework import serializers

from sagas import SagaState, StepFailed
from sagas.models import SagaExecution
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.support import html

from .cases import act_url, case_url, items, message, scene, text_of
from .conftest import logged_in

MOVED = "The case has changed since you opened this page, so nothing was done. Check it, then decide again."


def filled(page):
    """Return the fields of the page's form, as a browser would send them."""
    [form] = html.page_of(page).xpath('//form[.//*[starts-with(@name, "input-")]]')
    fields = form.xpath('.//*[starts-with(@name, "input-")]')
    return {field.name: (field.value or "").removeprefix("\n") for field in fields}


def correct(client, execution, **values):
    """Open the form, change these fields, and request the preview of the changes."""
    form = filled(client.get(act_url(execution, "correct")))
    return client.post(act_url(execution, "correct"), form | {f"input-{name}": v for name, v in values.items()})


def confirm(client, execution, page, reason="a typo"):
    """Confirm the preview on the page."""
    version = filled(page)["input-:version"]
    return client.post(act_url(execution, "correct"), filled(page) | {"version": version, "reason": reason})


def changes(page):
    """Return the rows of the difference: field, old value, new value."""
    return [tuple(html.texts(row, "*")) for row in html.page_of(page).xpath("//tr[td/del]")]


@pytest.fixture
def execute(registered, stage):
    """Return a function that runs saga "x" with this input; by default the saga fails at once."""

    def execute(context, *steps, **options):
        steps = steps or (stage.step("a", StepFailed("no"), {}),)
        return get_saga_orchestrator().execute("x", "trip", registered(*steps, **options), context=context)

    return execute


def test_a_wrong_address_is_corrected_and_the_payment_tried_again(supervisor):
    execution = scene("collect_payment", "refunded")

    page = correct(supervisor, execution, customer_email="ana.souza@example.com")

    assert changes(page) == [("Customer email", "refuse@example.com", "ana.souza@example.com")]
    assert items(page, "Money") == ["R$ 420.00 will be charged to the customer."]
    assert "A receipt will be sent to ana.souza@example.com." in items(page, "What will happen, in this order")
    assert not execution.events.exists()

    assert confirm(supervisor, execution, page)["Location"] == case_url(execution)

    said = "The input is corrected. Retrying from the first step; this page updates itself."
    assert message(supervisor, execution) == said
    corrected, retried = execution.events.order_by("pk")
    assert (corrected.kind, retried.kind) == ("correct", "retry")
    assert {(e.actor_name, e.source, e.reason) for e in (corrected, retried)} == {("vera", "admin", "a typo")}
    assert corrected.data["changes"] == {"set": {"customer_email": "ana.souza@example.com"}}
    assert corrected.data["former"] == {"set": {"customer_email": "refuse@example.com"}}
    assert get_saga_orchestrator().resume(execution.saga_id).state is SagaState.SUCCEEDED


def test_what_is_held_before_a_step_is_corrected_and_released(supervisor, stage, execute):
    def holds(context):
        perform(Operation.HOLD, context.saga_id, reason="look")
        return {"id": 7}

    execution = execute({"mail": "wrong"}, stage.step("a", holds), stage.step("b"))

    page = correct(supervisor, execution, json='{"mail": "right"}')
    assert changes(page) == [("mail", "wrong", "right")]
    confirm(supervisor, execution, page)

    assert message(supervisor, execution) == "The input is corrected, and the case continues. This page updates itself."
    assert [event.kind for event in execution.events.order_by("pk")] == ["hold", "held", "correct", "release"]
    get_saga_orchestrator().resume("x")
    assert stage.calls[-1].context == {"mail": "right", "id": 7}


def test_a_form_that_was_not_touched_changes_nothing(supervisor):
    for execution in (scene("collect_payment", "declined"), scene("create_booking", "undone")):
        page = correct(supervisor, execution)

        assert page.status_code == 200
        assert "Nothing has been changed." in text_of(page)


def test_what_the_schema_refuses_is_said_beside_the_field(supervisor):
    execution = scene("create_booking", "undone")

    page = correct(
        supervisor, execution, customer_document="1", customer_email="no address", amount="", ends_at="2030-12-01T09:00"
    )

    beside = {
        name: " ".join(html.texts(page, f'//ul[@id="id_input-{name}_error"]'))
        for name in ("customer_document", "customer_email", "amount")
    }
    assert beside["customer_email"] == "Enter a valid email address."
    assert beside["amount"] == "A valid number is required."
    assert beside["customer_document"]
    assert not execution.events.exists()

    page = correct(supervisor, execution, ends_at="2030-12-01T09:00")
    assert "The end must be after the start." in text_of(page)


def test_a_field_may_be_emptied_where_the_schema_allows_it(supervisor, execute):
    class Input(serializers.Serializer):
        blank = serializers.CharField(allow_blank=True)
        null = serializers.IntegerField(allow_null=True)
        absent = serializers.CharField(required=False)

    execution = execute({"blank": "a", "null": 1, "absent": "b"}, schema=Input)

    page = correct(supervisor, execution, blank="", null="", absent="")
    assert changes(page) == [("Blank", "a", "(empty)"), ("Null", "1", "(empty)"), ("Absent", "b", "(empty)")]
    confirm(supervisor, execution, page)

    execution.refresh_from_db()
    assert execution.input == {"blank": "", "null": None}


def test_a_field_may_have_any_name(supervisor, execute):
    class Input(serializers.Serializer):
        version = serializers.CharField()
        reason = serializers.CharField()
        json = serializers.CharField()

    execution = execute({"version": "1.0", "reason": "a gift", "json": "{"}, schema=Input)

    page = correct(supervisor, execution, version="2.0", reason="a present", json="}")
    assert changes(page) == [("Version", "1.0", "2.0"), ("Reason", "a gift", "a present"), ("Json", "{", "}")]
    confirm(supervisor, execution, page)

    execution.refresh_from_db()
    assert execution.input == {"version": "2.0", "reason": "a present", "json": "}"}


class Everything(serializers.Serializer):
    text = serializers.CharField()
    lines = serializers.CharField()
    mail = serializers.EmailField()
    number = serializers.IntegerField()
    yes = serializers.BooleanField()
    one_of = serializers.ChoiceField(choices=["a", "b"])
    day = serializers.DateField()
    moment = serializers.DateTimeField()
    exact = serializers.DateTimeField()
    listed = serializers.ListField(child=serializers.IntegerField())
    hidden = serializers.HiddenField(default="there")
    shown = serializers.CharField(read_only=True)


EVERYTHING = {
    "text": "t",
    "lines": "one\ntwo",
    "mail": "a@example.com",
    "number": 5,
    "yes": True,
    "one_of": "a",
    "day": "2030-12-01",
    "moment": "2030-12-01T10:00:00-03:00",
    "exact": "2030-12-01T10:00:00.5-03:00",
    "listed": [1, 2],
}


def test_each_kind_of_field_can_be_corrected(supervisor, execute):
    execution = execute(EVERYTHING, schema=Everything)
    assert "Nothing has been changed." in text_of(correct(supervisor, execution))

    wanted = {"number": "6", "yes": "false", "one_of": "b", "day": "2031-01-01", "moment": "2031-01-01T11:30"}
    page = correct(supervisor, execution, listed="[3]", lines="one\r\nthree", **wanted)
    confirm(supervisor, execution, page)

    execution.refresh_from_db()
    assert execution.input == EVERYTHING | {
        "lines": "one\nthree",
        "number": 6,
        "yes": False,
        "one_of": "b",
        "day": "2031-01-01",
        "moment": "2031-01-01T11:30:00-03:00",
        "exact": "2030-12-01T10:00:00.500000-03:00",
        "listed": [3],
        "hidden": "there",
    }


def test_an_input_without_a_schema_is_corrected_as_json(supervisor, execute):
    execution = execute({"city": "Rio", "n": 1})

    for typed, said in [
        ("{", "This is not JSON."),
        ("[" * 50_000, "This is nested too deeply."),
        ("[1]", "This must be a JSON object, with a value for each name."),
    ]:
        assert said in text_of(correct(supervisor, execution, json=typed))
    page = correct(supervisor, execution, json='{"cvv": "123"}')
    assert "cvv: secrets do not belong in a context; pass a token or a reference" in text_of(page)

    page = correct(supervisor, execution, json='{"city": "Recife", "nights": [2]}')
    assert changes(page) == [("city", "Rio", "Recife"), ("nights", "(empty)", "[2]"), ("n", "1", "(empty)")]
    confirm(supervisor, execution, page)

    execution.refresh_from_db()
    assert execution.input == {"city": "Recife", "nights": [2]}


# Users who may correct the input but not see personal values.


@pytest.fixture
def clerk(db):
    """Return the client of a user who may correct the input but not see personal values."""
    client = logged_in("carla", "Support")
    client.user.user_permissions.add(Permission.objects.get(codename="edit_context"))
    return client


def test_who_may_not_see_what_is_personal_keeps_it_or_writes_it_anew(clerk):
    execution = scene("collect_payment", "refunded")
    form = clerk.get(act_url(execution, "correct"))

    assert "refuse@example.com" not in form.content.decode()
    assert "Ana Souza" not in form.content.decode()
    assert filled(form)["input-customer_name"] == ""
    assert filled(form)["input-description"] == "City tour of Sao Paulo"

    page = correct(clerk, execution, customer_email="new@example.com")
    assert changes(page) == [("Customer email", "[customer_email]", "new@example.com")]
    assert "A receipt will be sent to [customer_email]." in items(page, "What will happen, in this order")
    confirm(clerk, execution, page)

    former = execution.input
    execution.refresh_from_db()
    assert execution.input == former | {"customer_email": "new@example.com"}


def test_what_quotes_something_personal_is_kept_too(clerk, execute):
    context = {"name": "Ana Souza", "note": "for Ana Souza", "city": "Rio"}
    execution = execute(context, personal=["name"])
    form = clerk.get(act_url(execution, "correct"))

    assert "Ana Souza" not in form.content.decode()
    assert "Values that are hidden from your role are not shown, and are kept." in text_of(form)
    page = correct(clerk, execution, json='{"city": "Recife"}')
    confirm(clerk, execution, page)

    execution.refresh_from_db()
    assert execution.input == context | {"city": "Recife"}


def test_what_the_schema_says_of_a_personal_value_does_not_quote_it(clerk, execute):
    class Input(serializers.Serializer):
        name = serializers.CharField()
        city = serializers.CharField()

        def validate(self, attrs):
            if attrs["city"] == "Recife":
                raise serializers.ValidationError({"city": f"{attrs['name']} cannot go there."})
            return attrs

    execution = execute({"name": "Ana Souza", "city": "Rio"}, schema=Input, personal=["name"])

    page = correct(clerk, execution, city="Recife")

    assert "[name] cannot go there." in text_of(page)
    assert "Ana Souza" not in page.content.decode()


# Two operations at the same time.


def test_what_changed_meanwhile_is_shown_anew(supervisor, execute):
    execution = execute({"city": "Rio"})
    page = correct(supervisor, execution, json='{"city": "Recife"}')
    perform(Operation.CORRECT, "x", context={"city": "Natal"})

    again = supervisor.post(act_url(execution, "correct"), filled(page) | {"reason": "a typo"})

    assert again.status_code == 409
    assert MOVED in text_of(again)
    assert '"city": "Natal"' in filled(again)["input-json"]
    execution.refresh_from_db()
    assert (execution.input, execution.state) == ({"city": "Natal"}, SagaState.FAILED)


def test_the_same_confirmation_twice_corrects_once(supervisor, execute):
    execution = execute({"city": "Rio"})
    page = correct(supervisor, execution, json='{"city": "Recife"}')

    assert confirm(supervisor, execution, page).status_code == 302
    assert confirm(supervisor, execution, page).status_code == 409
    assert execution.events.count() == 2


def test_where_only_the_correction_went_through_that_is_said(supervisor, execute):
    def objects(execution, old, new):
        if old is SagaState.FAILED:
            raise ValueError(f"no seat for {execution.input['city']}")

    execution = execute({"city": "Rio"}, on_change=objects)
    page = correct(supervisor, execution, json='{"city": "Recife"}')

    assert confirm(supervisor, execution, page)["Location"] == case_url(execution)

    assert message(supervisor, execution) == (
        "The input is corrected, but the case does not go on with it: "
        "nothing was changed, because on_change raised an error: ValueError: no seat for Recife"
    )
    execution.refresh_from_db()
    assert (execution.input, execution.state) == ({"city": "Recife"}, SagaState.FAILED)
    assert [event.kind for event in execution.events.all()] == ["correct"]


def test_a_correction_needs_a_reason_and_may_be_changed_again(supervisor, execute):
    execution = execute({"city": "Rio"})
    page = correct(supervisor, execution, json='{"city": "Recife"}')

    unreasoned = confirm(supervisor, execution, page, reason="")
    assert "This field is required." in text_of(unreasoned)
    assert changes(unreasoned) == [("city", "Rio", "Recife")]

    edited = supervisor.post(act_url(execution, "correct"), filled(page) | {"edit": "1", "reason": "a typo"})
    assert filled(edited)["input-json"] == '{"city": "Recife"}'
    assert not execution.events.exists()


def test_who_may_not_try_again_may_not_correct_and_try_again(db):
    client = logged_in("carla", "Auditor")
    client.user.user_permissions.add(Permission.objects.get(codename="edit_context"))
    execution = scene("collect_payment", "declined")

    assert client.get(act_url(execution, "correct")).status_code == 403
    assert client.post(act_url(execution, "correct"), {"reason": "x"}).status_code == 403


def test_what_the_schema_makes_of_a_personal_value_is_not_shown(clerk, execute):
    class Input(serializers.Serializer):
        name = serializers.CharField()
        city = serializers.CharField()

        def validate(self, attrs):
            return attrs | {"name": attrs["name"].upper(), "city": f"{attrs['city']} for {attrs['name']}"}

    execution = execute({"name": "Ana Souza", "city": "Rio"}, schema=Input, personal=["name"])
    SagaExecution.objects.update(input={"name": "Ana Souza", "city": "Rio"})

    page = correct(clerk, execution, city="Recife")

    assert changes(page) == [("Name", "[name]", "[name]"), ("City", "Rio", "Recife for [name]")]
    assert "ana souza" not in page.content.decode().lower()
