"""Bulk operations through the pages: select, preview, confirm, watch; no execution is changed twice."""

import re
from collections import Counter
from html import escape

import pytest
from django.db.models.expressions import RawSQL
from django.test import Client
from django.utils import timezone

from sagas import StepFailed
from sagas.models import BulkOperation, SagaEvent, SagaExecution, SagaWorker
from sagas.operations import Operation, bulk, perform
from sagas.testing import drain
from tests.support import html, run

LIST = "/admin/sagas/sagaexecution/"
BULK = f"{LIST}bulk/"
CANARY = "zefira.canary@example.com"
PACE = "Runs up to 10 at a time, so that no provider is overloaded."
NO_WORKER = "No worker is running. It continues when one starts."


@pytest.fixture
def failed(stage, registered, db):
    """Return a function that creates `count` executions which failed at their last step; the step is then fixed."""

    def fail(count, **more):
        charge, steps = stage.step("charge", money="amount"), {"personal": ("email",), **more}
        broken = registered(charge, stage.step("ship", StepFailed("no ship")), **steps)
        given = {"amount": "10.50", "email": CANARY}
        pks = [run(*broken, saga_id=f"f-{number}", context=given).pk for number in range(count)]
        registered(charge, stage.step("ship"), **steps)
        stage.calls.clear()
        return pks

    return fail


def choose(client, operation, pks, **more):
    """Run the bulk action of the list on these executions and return the page that follows."""
    return client.post(LIST, {"action": f"bulk_{operation}", "_selected_action": pks, **more}, follow=True)


def form_of(response):
    """Return the data that the page's form sends if the user types nothing."""
    return {"choice": html.page_of(response).xpath('string(//input[@name="choice"]/@value)')}


def words(response):
    """Return the page's text in one line."""
    page = html.page_of(response)
    return html.text_of(next(iter(page.xpath('//*[@id="content-main"]')), page))


def confirm(client, page, **typed):
    return client.post(BULK, form_of(page) | {"reason": "the ship is back"} | typed)


def retries():
    return Counter(SagaEvent.objects.filter(kind="retry").values_list("execution__saga_id", flat=True))


def test_five_hundred_failed_executions_are_retried_once_each(support, failed, stage):
    pks = failed(500)
    page = choose(support, "retry", pks[:100], select_across="1")

    said = words(page)
    assert "500 executions will be retried" in said
    assert PACE in said
    assert "Customers will be charged at most R$ 5,250.00." in said
    assert "Charge Done 500 Ship Done 500" in said

    first, second = confirm(support, page, count="500"), confirm(support, page, count="500")
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"]
    bulk_operation = BulkOperation.objects.get()
    while bulk.counts(bulk_operation)["waiting"]:
        bulk.advance(bulk_operation)
        assert bulk.counts(bulk_operation)["running"] <= 10
        drain()

    assert set(retries().values()) == {1}
    assert retries().total() == 500
    assert Counter(stage.told) == {"charge": 500, "ship": 500}
    assert "500 of 500 finished" in words(support.get(first["Location"]))


def test_a_page_is_put_together_by_so_many_queries_however_many_rows(support, failed, django_assert_max_num_queries):
    failed(120)
    with django_assert_max_num_queries(17):
        page = choose(support, "retry", [], select_across="1")
    followed = confirm(support, page, count="120")["Location"]

    with django_assert_max_num_queries(11):
        support.get(followed)


def test_a_second_tab_that_shows_the_same_does_nothing_twice(support, failed):
    pks = failed(3)
    one, other = choose(support, "retry", pks), choose(support, "retry", pks)
    confirm(support, one, count="3")
    bulk.advance_all()

    followed = confirm(support, other, count="3")
    bulk.advance_all()

    assert retries() == {"f-0": 1, "f-1": 1, "f-2": 1}
    said = words(support.get(followed["Location"]))
    assert said.count("Not done: it has changed since you looked at it. Look again, then decide.") == 3


def test_who_reloads_the_page_or_comes_back_to_it_finds_what_was_confirmed(support, supervisor, failed):
    page = choose(support, "retry", failed(2))
    address = page.redirect_chain[-1][0]
    reloaded = support.get(address)
    assert "2 executions will be retried." in words(reloaded)

    followed = confirm(support, page, count="2")["Location"]

    assert confirm(support, reloaded, count="2")["Location"] == followed
    assert support.get(address)["Location"] == followed
    assert supervisor.get(address)["Location"] == LIST
    assert BulkOperation.objects.count() == 1


def test_what_is_looked_at_is_not_done(support, failed):
    pks = failed(2)
    before = list(SagaExecution.objects.values())

    choose(support, "retry", pks)
    assert support.get(BULK).status_code == 302

    assert list(SagaExecution.objects.values()) == before
    assert not BulkOperation.objects.exists()
    assert not SagaEvent.objects.exists()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"reason": " ", "count": "2"}, "This field is required."),
        ({"count": ""}, "This field is required."),
        ({"count": "3"}, "There are 2 executions, not 3."),
        ({"count": "all"}, "Enter a whole number."),
    ],
)
def test_who_does_not_say_why_or_how_many_is_asked_again_and_may_then(support, failed, typed, told):
    page = choose(support, "retry", failed(2))

    again = confirm(support, page, **typed)

    assert again.status_code == 200
    assert told in words(again)
    assert not BulkOperation.objects.exists()
    confirm(support, again, count="2")
    confirm(support, page, count="2")
    assert BulkOperation.objects.count() == 1


def test_what_moves_no_money_asks_for_no_number(support, failed):
    pks = failed(2)
    SagaExecution.objects.update(needs_attention=True)

    followed = confirm(support, choose(support, "acknowledge", pks))
    bulk.advance_all()

    assert "2 of 2 finished" in words(support.get(followed["Location"]))
    assert not SagaExecution.objects.filter(needs_attention=True).exists()


def test_those_that_it_is_not_possible_for_are_told_with_the_reason(support, failed, stage):
    pks = failed(2)
    done = [run(stage.step("a"), saga_id=f"done-{number}").pk for number in range(25)]
    SagaExecution.objects.filter(pk=pks[0]).update(context=RawSQL("%s", ["{"]))

    said = words(choose(support, "retry", [*pks, *done]))

    assert "1 execution will be retried" in said
    assert "26 executions will not change" in said
    assert "It can be retried only after it failed, and it is “Succeeded”. (25) done-0 done-1" in said
    assert "and 5 more" in said
    assert "Its row in the database cannot be read. (1) f-0" in said


def test_where_it_is_possible_for_none_there_is_nothing_to_confirm(support, stage, db):
    page = choose(support, "retry", [run(stage.step("a")).pk])

    assert "This is not possible for any of the selected executions." in words(page)
    assert form_of(page) == {"choice": ""}


def test_too_many_are_told_so_and_nothing_is_foretold(support, stage, db):
    rows = [SagaExecution(saga_id=f"m-{number}", saga_name="trip", state="failed") for number in range(1001)]
    SagaExecution.objects.bulk_create(rows)

    response = support.post(
        LIST, {"action": "bulk_retry", "_selected_action": ["1"], "select_across": "1"}, follow=True
    )

    assert "A bulk operation takes at most 1000 executions, and more are selected. Filter the list first." in (
        response.content.decode()
    )


@pytest.mark.parametrize("pk", ["x", "", "-1", "9" * 40, "1\x00"])
def test_what_cannot_be_selected_is_refused(support, failed, pk):
    failed(1)

    assert support.post(LIST, {"action": "bulk_retry", "_selected_action": [pk]}).status_code == 400


def test_whoever_has_logged_in_anew_is_told_that_the_selection_is_lost(support, failed):
    page = choose(support, "retry", failed(2))
    support.logout()
    support.force_login(support.user)
    answer = support.get(page.redirect_chain[-1][0], follow=True)

    assert answer.redirect_chain == [(LIST, 302)]
    assert [str(message) for message in answer.context["messages"]] == [
        "The selection has expired. Select the executions again; bulk operations that were confirmed are in their list."
    ]
    assert not BulkOperation.objects.exists()


def test_a_choice_that_was_tampered_with_or_is_anothers_does_nothing(support, supervisor, failed):
    page = choose(support, "retry", failed(2))
    chosen = form_of(page)["choice"]

    for client, choice in ((supervisor, chosen), (support, chosen[:-1]), (support, "")):
        answer = client.post(BULK, {"choice": choice, "reason": "x", "count": "2"})
        assert (answer.status_code, answer["Location"]) == (302, LIST)
    assert not BulkOperation.objects.exists()


@pytest.mark.parametrize("operation", ["retry", "hold", "release", "acknowledge"])
def test_a_role_has_the_acts_that_it_may_take_and_no_others(support, supervisor, auditor, failed, operation):
    pks = failed(1)
    option = f'value="bulk_{operation}"'

    assert [option in client.get(LIST).content.decode() for client in (support, supervisor, auditor)] == [
        True, True, False,
    ]  # fmt: skip
    choose(auditor, operation, pks)
    assert not BulkOperation.objects.exists()


def test_who_has_lost_the_permission_since_the_preview_is_refused(support, failed):
    page = choose(support, "retry", failed(1))
    support.user.groups.clear()

    assert confirm(support, page, count="1").status_code == 403

    support.user.user_permissions.set([])
    assert not BulkOperation.objects.exists()


@pytest.mark.parametrize(
    ("take_away", "told"),
    [
        (lambda user: user.groups.clear(), "the user who confirmed it may not do this any more."),
        (lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False),
         "the account of the user who confirmed it was closed."),
        (lambda user: user.delete(), "the account of the user who confirmed it was deleted."),
    ],
)  # fmt: skip
def test_who_loses_the_right_while_it_goes_on_has_the_rest_refused(support, auditor, failed, settings, take_away, told):
    settings.SAGAS = {"BULK_AT_ONCE": 1}
    followed = confirm(support, choose(support, "retry", failed(3)), count="3")["Location"]
    bulk.advance_all()
    take_away(support.user)
    drain()

    bulk.advance_all()

    assert retries() == {"f-0": 1}
    assert list(BulkOperation.objects.get().items.values_list("status", "sentence")) == [
        ("done", ""), ("refused", told), ("refused", told),
    ]  # fmt: skip
    assert words(auditor.get(followed)).count(f"Not done: {told}") == 2


def test_who_may_not_see_executions_sees_no_batch(admin_client, support, failed, db):
    followed = confirm(support, choose(support, "retry", failed(1)), count="1")["Location"]
    support.user.groups.clear()

    for page in (followed, f"{followed}progress/", "/admin/sagas/bulkoperation/"):
        assert support.get(page).status_code == 403
        assert Client().get(page).status_code == 302
    assert admin_client.get(f"{BULK}{BulkOperation.objects.get().pk + 1}/").status_code == 404


def test_a_confirmation_without_a_csrf_token_is_refused(support, failed):
    page = choose(support, "retry", failed(1))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(support.user)

    assert confirm(strict, page, count="1").status_code == 403
    assert not BulkOperation.objects.exists()


def test_progress_tells_each_group_and_each_row_and_how_it_stands_now(support, failed):
    pks = failed(5)
    followed = confirm(support, choose(support, "retry", pks), count="5")["Location"]
    assert f"{NO_WORKER} {PACE} 0 of 5 finished All 5 Waiting 5 Running 0" in words(support.get(followed))
    perform(Operation.RETRY, "f-0", reason="quicker")
    perform(Operation.HOLD, "f-0", reason="wait")
    bulk.advance_all()
    perform(Operation.HOLD, "f-1", reason="wait")

    said = words(support.get(followed))
    assert "2 of 5 finished All 5 Waiting 0 Running 3 Succeeded 0 Failed 0 Need attention 1 Not done 1" in said
    assert "f-0 Not done: it has changed since you looked at it. Look again, then decide. On hold" in said
    assert re.search(r"f-1 Done at \S+ [ap]\.m\. On hold f-2 Done at \S+ [ap]\.m\. Pending", said)
    drain()
    assert "5 of 5 finished" in words(support.get(followed))

    shown = words(support.get(followed, {"show": "needs_attention"}))
    assert ("f-1" in shown, "f-0" in shown, "f-2" in shown) == (True, False, False)
    for pk in pks:
        assert f'href="{LIST}{pk}/change/"' in support.get(followed).content.decode()


def test_it_says_how_it_goes_in_a_sentence_that_changes_seldom(support, failed, settings):
    settings.SAGAS = {"BULK_AT_ONCE": 1}
    followed = confirm(support, choose(support, "retry", failed(2)), count="2")["Location"]
    bulk_operation, said = BulkOperation.objects.get(), []

    def look():
        said.append(html.texts(support.get(followed), '//*[@role="status"]')[0])

    look()
    now = timezone.now()
    SagaWorker.objects.create(
        name="host:1:abc", host="host", pid=1, process_group=1, cluster="sagas", started_at=now, seen_at=now, free=8
    )
    look()
    for _ in range(2):
        bulk.advance(bulk_operation)
        look()
        drain()
    look()

    assert said == [
        NO_WORKER,
        "It continues by itself. You can close this page.",
        "It continues by itself. You can close this page.",
        "The last executions are running.",
        "Finished.",
    ]


def test_money_that_goes_back_is_foretold_and_so_is_what_is_not_known(support, stage, registered, db):
    charge = stage.step("charge", undo=[StepFailed("no refund")], money="amount")
    saga = registered(charge, stage.step("ship", StepFailed("no ship")))
    inputs = ({"amount": "10", "currency": "EUR"}, {"amount": "1234.5"}, {"amount": "much"})
    not_undone = [run(*saga, context=given).pk for given in inputs]

    said = words(choose(support, "retry", not_undone))

    assert (
        "Money Customers will be refunded at most R$ 1,234.50. Customers will be refunded at most € 10.00. "
        "In 1 case money moves, but the amount is not known. What will happen, at most Step What will happen Times "
        "Charge Undone 3" in said
    )


def test_a_personal_amount_is_shown_only_with_the_permission(support, supervisor, stage, registered):
    saga = registered(stage.step("charge", money="fee"), stage.step("ship", StepFailed("no ship")), personal=["fee"])
    hers = [run(*saga, context={"fee": "98765.43"}).pk]

    assert "Money In 1 case money moves, but the amount is not known." in words(choose(support, "retry", hers))
    assert "Money Customers will be charged at most R$ 98,765.43." in words(choose(supervisor, "retry", hers))


def test_the_part_that_changes_is_not_sent_again_while_it_has_not(support, failed):
    part = confirm(support, choose(support, "retry", failed(1)), count="1")["Location"] + "progress/"
    first = support.get(part)

    assert first["Cache-Control"] == "private, no-cache"
    assert 'data-finished="no"' in first.content.decode()
    assert support.get(part, headers={"If-None-Match": first["ETag"]}).status_code == 304
    bulk.advance_all()
    assert support.get(part, headers={"If-None-Match": first["ETag"]}).status_code == 200
    drain()
    assert 'data-finished="yes"' in support.get(part).content.decode()


def test_rows_are_told_a_page_at_a_time(support, failed):
    followed = confirm(support, choose(support, "retry", failed(60)), count="60")["Location"]

    first, second = words(support.get(followed)), words(support.get(followed, {"page": "2"}))

    assert ("f-49 " in first, "f-50 " in first, "Page 1 of 2" in first) == (True, False, True)
    assert ("f-49 " in second, "f-50 " in second, "Page 2 of 2" in second) == (False, True, True)


def test_bulk_acts_are_listed_and_lead_to_their_progress(auditor, support, failed):
    followed = confirm(support, choose(support, "retry", failed(2)), count="2")["Location"]
    bulk_operation = BulkOperation.objects.get()

    listed = words(auditor.get("/admin/sagas/bulkoperation/"))

    assert "Retry" in listed
    assert "sara" in listed
    assert auditor.get(f"/admin/sagas/bulkoperation/{bulk_operation.pk}/change/")["Location"] == followed
    assert auditor.get("/admin/sagas/bulkoperation/none/change/").status_code == 404
    for operation in ("add/", f"{bulk_operation.pk}/delete/"):
        assert auditor.post(f"/admin/sagas/bulkoperation/{operation}", {"post": "yes"}).status_code == 403


def test_personal_data_is_for_those_who_may_see_it(support, auditor, stage, registered, db):
    def quote(execution, old, new):
        if old == "failed":
            raise ValueError(f"no such customer: {execution.input['email']}")

    saga = registered(stage.step("a", StepFailed("no")), personal=("email",), on_change=quote)
    page = choose(support, "retry", [run(*saga, saga_id="f", context={"email": CANARY}).pk])
    followed = confirm(support, page, reason=f"{CANARY} has called")["Location"]
    bulk.advance_all()

    seen = support.get(followed).content.decode()
    assert "ValueError: no such customer: [email]" in seen
    assert CANARY not in seen + page.content.decode() + support.get("/admin/sagas/bulkoperation/").content.decode()
    assert f"Reason: {CANARY} has called" in words(auditor.get(followed))


def test_what_somebody_smuggles_in_is_text(support, auditor, stage, registered, db):
    script = "<script>alert(1)</script>"
    saga = registered(stage.step("a", StepFailed("no")))
    page = choose(support, "retry", [run(*saga).pk])
    followed = confirm(support, page, reason=script)["Location"]

    asked_again = confirm(support, page, reason=script * 100).content.decode()
    seen = auditor.get(followed).content.decode()
    assert script not in asked_again + seen
    assert escape(script) in asked_again
    assert escape(script) in seen


def test_a_row_whose_context_cannot_be_read_takes_no_page_down(support, failed):
    pks = failed(2)
    followed = confirm(support, choose(support, "retry", pks), count="2")["Location"]
    SagaExecution.objects.filter(pk=pks[0]).update(context=RawSQL("%s", ["{"]))
    bulk.advance_all()

    said = words(support.get(followed))

    assert "f-0 Not done: The column context cannot be read" in said
    assert "f-1 Done at" in said
