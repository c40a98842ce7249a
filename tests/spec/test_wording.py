"""Wording: one sentence for each step, and one for the customer."""

import pytest
from django.utils import timezone
from django.utils.translation import gettext_lazy, override, pgettext_lazy

from sagas import OutcomeUnknown, RetryLater, Saga, SagaState, StepFailed, StillPending
from sagas.definition.states import CustomerState
from sagas.engine.leased_execution import load_history
from sagas.models import SagaExecution
from sagas.presentation.labels import step_label_anywhere
from sagas.presentation.messages import customer_state, settled_by_hand
from tests.support import Registered, Stage, lost, new_id, run
from tests.support.readers import message, steps

pytestmark = pytest.mark.django_db

NO = StepFailed("no")
LATER = RetryLater(60)
AGAIN = {"retry_delay": 60, "max_delay": 60}


def told(execution, saga=None, **options):
    """Return the status and the sentence of each step."""
    return [(step.status.value, step.sentence) for step in steps(execution, saga, **options)]


@pytest.fixture
def execute(registered: Registered, orchestrator):
    """Return a function that executes these steps as a registered saga and returns the execution and the saga."""

    def go(*steps, max_seconds=0.2, context=None, **options):
        saga = registered(*steps, **options)
        execution = orchestrator.execute(new_id(), "trip", saga, context=context, max_seconds=max_seconds)
        return execution, saga

    return go


def test_before_it_begins_nothing_has_begun(stage: Stage, registered, orchestrator):
    saga = registered(stage.step("process_payment"), stage.step("b"))

    execution = orchestrator.start(new_id(), "trip")

    assert told(execution, saga) == [
        ("waiting", "Process payment has not started yet."),
        ("waiting", "B has not started yet."),
    ]


def test_while_a_step_runs_it_is_under_way(stage: Stage, registered, orchestrator):
    seen = []

    def look(context):
        seen.extend(told(SagaExecution.objects.get(), saga))

    saga = registered(stage.step("a"), stage.step("b", look), stage.step("c"))
    orchestrator.execute(new_id(), "trip", saga)

    assert seen == [("done", "A is done."), ("running", "B is under way."), ("waiting", "C has not started yet.")]


@pytest.mark.parametrize(
    ("does", "status", "sentence"),
    [
        (LATER, "running", "A has not worked yet and will be tried again."),
        (StillPending(60), "running", "A has been accepted and is not finished yet."),
        (OutcomeUnknown("?"), "in_doubt", "We don't know yet whether A was done."),
    ],
    ids=["refused for now", "pending", "in doubt"],
)
def test_a_step_that_is_tried_again_tells_how_it_stands_meanwhile(stage: Stage, execute, does, status, sentence):
    execution, saga = execute(stage.step("a", does, **AGAIN), stage.step("b"))

    assert execution.state is SagaState.IN_PROGRESS
    assert told(execution, saga) == [(status, sentence), ("waiting", "B has not started yet.")]


def test_a_step_that_its_provider_is_asked_about_is_in_doubt(stage: Stage, execute):
    execution, saga = execute(stage.step("a", lost(), retry_count=0, verify=[lost()]))

    assert execution.state is SagaState.IN_PROGRESS
    assert told(execution, saga) == [("in_doubt", "We don't know yet whether A was done.")]


def test_what_is_held_waits_for_a_person(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("a", LATER), stage.step("b"))

    execution = orchestrator.hold(execution.saga_id, reason="look first")

    assert told(execution, saga) == [
        ("waiting", "A is on hold."),
        ("waiting", "B has not started yet."),
    ]


def test_nobody_asks_what_became_of_a_held_step_so_it_is_in_doubt(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("a", StillPending(60)))

    execution = orchestrator.hold(execution.saga_id, reason="look first")

    assert told(execution, saga) == [("in_doubt", "We don't know yet whether A was done.")]


def test_a_failed_saga_tells_what_was_undone_refused_and_never_begun(stage: Stage, execute):
    execution, saga = execute(stage.step("a"), stage.step("kept", undo=None), stage.step("b", NO), stage.step("c"))

    assert execution.state is SagaState.FAILED
    assert told(execution, saga) == [
        ("compensated", "A is undone."),
        ("done", "Kept is done."),
        ("refused", "B was not done."),
        ("waiting", "C was not started."),
    ]


def test_a_failed_step_that_may_have_happened_is_not_told_as_refused(stage: Stage, execute):
    undone, saga = execute(stage.step("a", lost(), retry_count=0))
    assert told(undone, saga) == [("compensated", "A is undone.")]

    left, saga = execute(stage.step("a", lost(), retry_count=0, undo=None))
    assert left.state is SagaState.FAILED
    assert told(left, saga) == [("in_doubt", "We don't know yet whether A was done.")]


def test_an_optional_step_may_be_refused_or_in_doubt(stage: Stage, execute):
    execution, saga = execute(
        stage.step("a", NO, optional=True),
        stage.step("b", lost(), optional=True, retry_count=0, undo=None),
        stage.step("c"),
    )

    assert execution.state is SagaState.SUCCEEDED
    assert told(execution, saga) == [
        ("refused", "A was not done."),
        ("in_doubt", "We don't know yet whether B was done."),
        ("done", "C is done."),
    ]


def test_the_step_after_a_refused_optional_one_is_under_way(stage: Stage, execute):
    execution, saga = execute(stage.step("a", NO, optional=True), stage.step("b", LATER))

    assert told(execution, saga) == [
        ("refused", "A was not done."),
        ("running", "B has not worked yet and will be tried again."),
    ]


def test_a_step_that_had_nothing_to_do_was_not_needed(stage: Stage, execute):
    skipping = {"skipped": "nobody to tell"}
    succeeded, saga = execute(stage.step("a", skipping, wording={"done": "Told."}))
    assert told(succeeded, saga) == [("done", "A was not needed.")]

    failed, saga = execute(stage.step("a", skipping, wording={"compensated": "Taken back."}), stage.step("b", NO))
    assert told(failed, saga)[0] == ("compensated", "A was not needed.")


def test_while_it_is_undone_each_step_tells_whether_its_turn_has_come(stage: Stage, execute):
    execution, saga = execute(stage.step("a"), stage.step("b", undo=[LATER]), stage.step("c", NO))

    assert execution.state is SagaState.COMPENSATING
    assert told(execution, saga) == [
        ("compensating", "A will be undone."),
        ("compensating", "B is being undone."),
        ("refused", "C was not done."),
    ]


def test_an_undo_that_is_held_waits_for_a_person(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("a", undo=[LATER]), stage.step("b", NO))

    execution = orchestrator.hold(execution.saga_id, reason="look first")

    assert told(execution, saga)[0] == ("compensating", "A should be undone; this is on hold.")


def test_a_compensation_whose_answer_was_lost_is_in_doubt_until_the_end(stage: Stage, execute, orchestrator):
    in_doubt = ("compensating", "We don't know yet whether A was undone.")
    execution, saga = execute(stage.step("a", undo=[lost(), LATER]), stage.step("b", NO))
    assert told(execution, saga)[0] == in_doubt

    assert told(orchestrator.hold(execution.saga_id, reason="look first"), saga)[0] == in_doubt
    with override("pt-br"):
        assert told(execution, saga)[0] == ("compensating", "Ainda não sabemos se a etapa “A” foi desfeita.")


def test_an_undo_that_failed_for_good_says_so_even_while_others_run(stage: Stage, execute):
    execution, saga = execute(stage.step("a", undo=[LATER]), stage.step("b", undo=[NO]), stage.step("c", NO))

    assert told(execution, saga) == [
        ("compensating", "A is being undone."),
        ("not_compensated", "B could not be undone. Someone must see to it."),
        ("refused", "C was not done."),
    ]


@pytest.mark.parametrize(
    ("undo", "sentence"),
    [
        ([NO], "A could not be undone. Someone must see to it."),
        ([lost(), NO], "We don't know whether A was undone. Someone must check."),
    ],
    ids=["refused", "in doubt"],
)
def test_a_partially_compensated_saga_tells_what_is_not_undone(stage: Stage, execute, undo, sentence):
    execution, saga = execute(stage.step("a", undo=undo), stage.step("b", NO))

    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert told(execution, saga)[0] == ("not_compensated", sentence)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("undone", ("compensated", "A is undone.")), ("done", ("done", "A is done."))],
)
def test_a_persons_word_on_an_undo_that_failed_counts(stage: Stage, execute, orchestrator, word, expected):
    execution, saga = execute(stage.step("a", undo=[NO]), stage.step("b", NO))

    execution = orchestrator.resolve_step(execution.saga_id, "a", word, evidence="their dashboard")

    assert execution.state is SagaState.FAILED
    assert told(execution, saga)[0] == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("done", ("done", "Pay is done.")), ("not_done", ("refused", "Pay was not done."))],
)
def test_a_persons_word_on_a_step_in_doubt_counts(stage: Stage, execute, orchestrator, word, expected):
    execution, saga = execute(stage.step("pay", lost(), pivot=True, idempotent=False, undo=None))
    assert told(execution, saga)[0] == ("in_doubt", "We don't know yet whether Pay was done.")

    execution = orchestrator.resolve_step(execution.saga_id, "pay", word, evidence="their dashboard")

    assert told(execution, saga)[0] == expected


def test_what_is_cancelled_while_it_is_tried_again_was_not_done(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("a", LATER), stage.step("b"))

    execution = orchestrator.cancel(execution.saga_id)

    assert told(execution, saga) == [("refused", "A was not done."), ("waiting", "B was not started.")]


def test_a_finished_saga_that_is_undone_on_request_tells_it(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("a"))

    execution = orchestrator.compensate(execution.saga_id)

    assert told(execution, saga) == [("compensated", "A is undone.")]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([["a", LATER]], [("running", "A has not worked yet and will be tried again.")]),
        ([["a"], ["b", LATER]], [("done", "A is done."), ("running", "B has not worked yet and will be tried again.")]),
        ([["a", NO]], [("refused", "A was not done.")]),
    ],
    ids=["tried again", "after another", "refused"],
)
def test_of_a_saga_that_is_not_known_here_the_history_tells(stage: Stage, steps, expected):
    execution = run(*(stage.step(*step) for step in steps), max_seconds=0.2)

    assert told(execution) == expected


def test_of_the_undo_of_a_saga_that_is_not_known_here_too(stage: Stage):
    execution = run(stage.step("a"), stage.step("b", undo=[LATER]), stage.step("c", NO), max_seconds=0.2)

    assert told(execution) == [
        ("done", "A is done."),
        ("compensating", "B is being undone."),
        ("refused", "C was not done."),
    ]


def test_all_of_it_is_told_in_portuguese(stage: Stage, execute):
    execution, saga = execute(
        stage.step("kept", undo=None), stage.step("a"), stage.step("b", undo=[NO]), stage.step("c", NO), stage.step("d")
    )

    with override("pt-br"):
        sentences = [sentence for _, sentence in told(execution, saga)]

    assert sentences == [
        "A etapa “Kept” foi concluída.",
        "A etapa “A” foi desfeita.",
        "Não foi possível desfazer a etapa “B”. Alguém precisa cuidar disso.",
        "A etapa “C” não foi realizada.",
        "A etapa “D” não começou.",
    ]


def test_a_step_is_called_by_its_own_name(stage: Stage, execute):
    execution, saga = execute(stage.step("nf", NO), stage.step("cal", wording={"name": gettext_lazy("Calendar")}))

    assert told(execution, saga) == [("refused", "Nf was not done."), ("waiting", "Calendar was not started.")]
    with override("pt-br"):
        assert told(execution, saga)[1][1] == "A etapa “Agenda” não começou."


def test_a_step_of_several_sagas_has_the_name_of_each(stage: Stage):
    trips = [Saga("trip", [stage.step("mail", wording={"name": name})]) for name in ("Ticket", "Bill", "Bill")]
    plain = [Saga("walk", [stage.step("mail")]), Saga("rest", [stage.step("sleep")])]

    assert step_label_anywhere("mail", [*trips, *plain]) == "Ticket / Bill / Mail"
    assert step_label_anywhere("fly_home", trips) == "Fly home"


WORDING = {
    "doing": "Charging {amount:money}.",
    "done": "Charged {amount:money} as {payment}.",
    "compensated": "Gave {amount:money} back.",
    "in_doubt": "Perhaps {amount:money} was charged.",
    "refused": "{amount:money} was not charged.",
}


@pytest.mark.parametrize(
    ("does", "options", "sentence"),
    [
        (LATER, {}, "Charging R$ 420.00."),
        (StillPending(60), {}, "Charging R$ 420.00."),
        ({"payment": "pi_7"}, {}, "Charged R$ 420.00 as pi_7."),
        (lost(), AGAIN, "Perhaps R$ 420.00 was charged."),
        (lost(), {"retry_count": 0}, "Gave R$ 420.00 back."),
        (NO, {}, "R$ 420.00 was not charged."),
    ],
)
def test_a_step_is_told_in_its_own_words(stage: Stage, execute, does, options, sentence):
    step = stage.step("pay", does, wording=WORDING, **options)

    execution, saga = execute(step, context={"amount": "420.00"})

    assert [told[1] for told in told(execution, saga)] == [sentence]


CONTEXT = {
    "amount": "1234.5",
    "starts_at": "2026-12-01T13:00:00Z",
    "day": "2026-12-01",
    "naive": "2026-12-01T13:00:00",
    "nights": 3,
    "rate": 0.5,
    "word": "{amount} %(x)s",
    "empty": "",
    "blank": " ",
    "nothing": None,
    "yes": True,
    "nested": {"a": 1},
    "tax": "NaN",
}


@pytest.fixture
def fill(stage: Stage, registered, orchestrator):
    """Return a function that fills a template of a done step and returns its sentence."""

    def filled(template, context=CONTEXT, **options):
        saga = registered(stage.step("a", wording={"done": template}), personal=options.pop("personal_keys", ()))
        execution = orchestrator.execute(new_id(), "trip", saga, context=context)
        return told(execution, saga, **options)[0][1]

    return filled


@pytest.mark.parametrize(
    ("template", "english", "portuguese"),
    [
        ("Plain.", "Plain.", "Plain."),
        ("{{nights}}: {nights}, {rate}", "{nights}: 3, 0.5", "{nights}: 3, 0.5"),
        ("{word}", "{amount} %(x)s", "{amount} %(x)s"),
        ("{amount:money}", "R$ 1,234.50", "R$ 1.234,50"),
        ("{nights:money}", "R$ 3.00", "R$ 3,00"),
        ("{starts_at:datetime}", "Dec. 1, 2026, 10 a.m.", "01/12/2026 às 10:00"),
        ("{starts_at:date}", "Dec. 1, 2026", "01/12/2026"),
        ("{starts_at:time}", "10 a.m.", "10:00"),
        ("{naive:time}", "1 p.m.", "13:00"),
        ("{day:date}", "Dec. 1, 2026", "01/12/2026"),
    ],
)
def test_a_template_is_filled_in_the_readers_language(fill, template, english, portuguese):
    assert fill(template) == english
    with override("pt-br"):
        assert fill(template) == portuguese


def test_and_in_the_readers_time_zone(fill):
    with timezone.override("America/Manaus"):
        assert fill("{starts_at:time}") == "9 a.m."


@pytest.mark.parametrize(
    ("currency", "shown"), [("EUR", "€ 5.00"), ("USD", "$ 5.00"), ("CHF", "CHF 5.00"), ("", "R$ 5.00")]
)
def test_money_is_in_the_currency_of_the_context(fill, currency, shown):
    assert fill("{amount:money}", {"amount": "5", "currency": currency}) == shown


@pytest.mark.parametrize(
    "template",
    [
        "{unknown}",
        "{empty}",
        "{blank}",
        "{nothing}",
        "{yes}",
        "{nested}",
        "{word:money}",
        "{tax:money}",
        "{word:date}",
        "{nights} and {unknown}",
    ],
)
def test_what_cannot_be_filled_gives_way_to_the_general_words(fill, template):
    assert fill(template) == "A is done."


def test_the_context_comes_before_the_input_and_falls_back_to_it(stage: Stage, execute):
    def forget(context):
        context["a"] = "new"
        del context["b"]

    execution, saga = execute(stage.step("x", forget, wording={"done": "{a} {b}"}), context={"a": "old", "b": "given"})

    assert told(execution, saga) == [("done", "new given")]


def test_lazy_translations_are_translated_when_they_are_read(fill):
    assert fill(gettext_lazy("Retry")) == "Retry"
    with override("pt-br"):
        assert fill(gettext_lazy("Retry")) == "Tentar de novo"
        assert fill(pgettext_lazy("no such context", "as it {nights}")) == "as it 3"


@pytest.mark.parametrize("sign", [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))])
def test_no_value_turns_the_sentence_around_it(fill, sign):
    """Characters that override the writing direction would reverse the rest of the sentence."""
    assert fill("{tour} is booked for you.", {"tour": f"{sign}City tour"}) == "City tour is booked for you."
    assert fill("{tour} is booked for you.", {"tour": "رحلة"}) == "رحلة is booked for you."


PERSON = {"name": "Ana Souza", "note": "for Ana Souza", "pin": "7", "amount": "5"}


def test_personal_values_are_shown_only_to_those_who_may_see_them(fill):
    template = "{name} ({pin}), {note}: {amount:money}"

    redacted = fill(template, PERSON, personal_keys=["name", "pin", "amount"])
    shown = fill(template, PERSON, personal_keys=["name", "pin", "amount"], personal=True)

    assert redacted == "[name] ([pin]), for [name]: [amount]"
    assert shown == "Ana Souza (7), for Ana Souza: R$ 5.00"


@pytest.mark.parametrize("personal", [True, False])
def test_a_card_number_is_shown_to_nobody(fill, personal):
    link = "https://pay.example.com/r/4111111111111111"

    assert fill("Pay at {link}", {"link": link}, personal=personal) == "Pay at https://pay.example.com/r/[card number]"


SAGA_WORDING = {
    "processing": "Booking {tour}.",
    "confirmed": "Booked {tour}.",
    "failed": "{tour} is not booked.",
    "checking": "Looking after {tour}.",
}
GENERAL = {
    "processing": "Your request is being worked on.",
    "confirmed": "Your request has been carried out.",
    "failed": "Your request was not carried out.",
    "checking": "Your request is being checked. You do not need to do anything.",
}
IN_PORTUGUESE = {
    "processing": "Seu pedido está sendo processado.",
    "confirmed": "Seu pedido foi concluído.",
    "failed": "Seu pedido não foi realizado.",
    "checking": "Estamos verificando seu pedido. Você não precisa fazer nada.",
}


@pytest.mark.parametrize(
    ("does", "undo", "state", "customer"),
    [
        (LATER, [], SagaState.IN_PROGRESS, "processing"),
        ({}, [], SagaState.SUCCEEDED, "confirmed"),
        (NO, [], SagaState.FAILED, "failed"),
        (NO, [LATER], SagaState.COMPENSATING, "checking"),
        (NO, [NO], SagaState.PARTIALLY_COMPENSATED, "checking"),
    ],
)
def test_the_customer_is_told_in_a_word_and_in_a_sentence(stage: Stage, execute, does, undo, state, customer):
    steps = [stage.step("a", undo=undo), stage.step("b", does)]
    execution, saga = execute(*steps, context={"tour": "City tour"}, wording=SAGA_WORDING)
    plain, plain_saga = execute(*steps)

    assert execution.state is state
    assert customer_state(execution) is CustomerState(customer)
    assert message(execution, saga) == SAGA_WORDING[customer].format(tour="City tour")
    assert message(plain, plain_saga) == message(plain, saga) == message(plain, None) == GENERAL[customer]
    with override("pt-br"):
        assert message(plain, plain_saga) == IN_PORTUGUESE[customer]


def test_what_is_queued_is_being_processed(stage: Stage, registered, orchestrator):
    registered(stage.step("a"))

    assert customer_state(orchestrator.start(new_id(), "trip")) is CustomerState.PROCESSING


def test_what_is_held_is_being_checked(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("a", LATER))

    execution = orchestrator.hold(execution.saga_id, reason="look first")

    assert customer_state(execution) is CustomerState.CHECKING
    assert message(execution, saga) == GENERAL["checking"]


def test_the_customer_is_told_first_why_it_failed(stage: Stage, execute):
    declined = stage.step("pay", NO, wording={"refused": "{card} was declined; nothing was charged."})

    execution, saga = execute(declined, context={"card": "Your card"})

    assert message(execution, saga) == "Your card was declined; nothing was charged. Your request was not carried out."
    assert told(execution, saga) == [("refused", "Your card was declined; nothing was charged.")]


def test_a_reason_is_masked_like_the_rest(stage: Stage, execute):
    declined = stage.step("pay", NO, wording={"refused": "{card} was declined."})

    execution, saga = execute(declined, context={"card": "Ana's card"}, personal=["card"])

    assert message(execution, saga) == "[card] was declined. Your request was not carried out."
    assert message(execution, saga, personal=True) == "Ana's card was declined. Your request was not carried out."


NEVER = {"refused": "Nothing was charged."}
CHARGE = NEVER | {"done": "It was charged.", "not_compensated": "It could not be given back."}


def in_full(execution, saga):
    """Return the customer's message twice: from the complete history, and as a list of executions shows it."""
    by_hand = execution.pk in settled_by_hand([execution])
    return message(execution, saga, history=load_history(execution)), message(execution, saga, by_hand=by_hand)


@pytest.mark.parametrize("does", [{}, lost()], ids=["charged", "perhaps charged"])
@pytest.mark.parametrize(
    ("word", "full"),
    [
        ("done", "It was charged. The rest of your request was not carried out."),
        ("undone", "{tour} is not booked."),
    ],
)
def test_what_a_person_has_let_stay_is_told(stage: Stage, execute, orchestrator, does, word, full):
    pay = stage.step("pay", does, undo=[NO], retry_count=0, wording=CHARGE)
    execution, saga = execute(pay, stage.step("b", NO), context={"tour": "City tour"}, wording=SAGA_WORDING)

    execution = orchestrator.resolve_step(execution.saga_id, "pay", word, evidence="their dashboard")

    assert execution.state is SagaState.FAILED
    assert in_full(execution, saga) == (full.format(tour="City tour"), GENERAL["failed"])


def test_what_a_person_has_found_not_to_have_happened_is_told_as_refused(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("pay", lost(), undo=[NO], retry_count=0, wording=CHARGE))

    execution = orchestrator.resolve_step(execution.saga_id, "pay", "not_done", evidence="their dashboard")

    assert in_full(execution, saga)[0] == f"Nothing was charged. {GENERAL['failed']}"


def test_a_persons_word_on_a_former_run_is_forgotten(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("pay", {}, NO, undo=[NO], wording=CHARGE), stage.step("b", NO))
    orchestrator.resolve_step(execution.saga_id, "pay", "done", evidence="their dashboard")

    execution = orchestrator.retry_failed(execution.saga_id)

    assert in_full(execution, saga) == (f"Nothing was charged. {GENERAL['failed']}",) * 2


def test_what_could_not_be_undone_is_told_and_that_a_person_looks_into_it(stage: Stage, execute):
    execution, saga = execute(
        stage.step("pay", undo=[NO], wording=CHARGE),
        stage.step("b", NO),
        context={"tour": "City tour"},
        wording=SAGA_WORDING,
    )

    assert execution.state is SagaState.PARTIALLY_COMPENSATED
    assert in_full(execution, saga) == (
        "It could not be given back. A person is looking into it. Looking after City tour.",
        "Looking after City tour.",
    )


def test_a_charge_in_doubt_that_was_compensated_is_not_called_refused(stage: Stage, execute):
    execution, saga = execute(stage.step("pay", lost(), retry_count=0, wording=NEVER))

    assert execution.failed_step == "pay"
    assert message(execution, saga) == GENERAL["failed"]
    assert message(execution, saga, history=load_history(execution)) == GENERAL["failed"]


def test_only_the_history_tells_a_refusal_if_others_were_compensated(stage: Stage, execute):
    execution, saga = execute(stage.step("a"), stage.step("pay", NO, wording=NEVER))

    assert message(execution, saga) == GENERAL["failed"]
    full = message(execution, saga, history=load_history(execution))
    assert full == f"Nothing was charged. {GENERAL['failed']}"


def test_a_step_in_our_own_database_is_never_in_doubt(stage: Stage, execute):
    execution, saga = execute(stage.step("a"), stage.step("book", NO, wording=NEVER, transactional=True))

    assert message(execution, saga) == f"Nothing was charged. {GENERAL['failed']}"


def test_what_was_cancelled_has_no_reason(stage: Stage, execute, orchestrator):
    execution, saga = execute(stage.step("pay", LATER, wording=NEVER))

    execution = orchestrator.cancel(execution.saga_id)

    assert message(execution, saga, history=load_history(execution)) == GENERAL["failed"]


def test_the_message_needs_the_row_only(stage: Stage, execute, django_assert_num_queries):
    execution, saga = execute(stage.step("pay", NO, wording=NEVER), wording=SAGA_WORDING, context={"tour": "City tour"})

    with django_assert_num_queries(0):
        assert message(execution, saga) == "Nothing was charged. City tour is not booked."
