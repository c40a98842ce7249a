"""A canary for each personal key of the project's sagas: none sings in a log, an error or a command's words."""

import json
import logging
import traceback
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.signals import pre_save

from integrations import sandbox
from integrations.exceptions import CompensationRefused, Kind, ProviderError
from sagaproject.bookings.models import Booking
from sagaproject.bookings.sagas import COLLECT_PAYMENT_SAGA, CREATE_BOOKING_SAGA
from sagas import InvalidInput, SagaState
from sagas.definition.states import TERMINAL
from sagas.models import SagaEvent, SagaExecution, StepRun
from sagas.orchestrator import get_saga_orchestrator

pytestmark = pytest.mark.django_db(databases=["default", "sandbox"])

CANARIES = {
    "customer_name": "Zéfira O'Canary",
    "customer_email": "zefira.canary@example.com",
    "customer_phone": "+5511912344711",
    "customer_document": "52998224725",
}
# Each in the forms in which it could be quoted; in lower case.
SONGS = [
    "zéfira", "z\\u00e9fira", "z%c3%a9fira", "o'canary", "o&#x27;canary", "o%27canary",
    "zefira.canary", "912344711", "91234-4711", "529.982", "52998224725", "247-25",
]  # fmt: skip
INPUT = {
    "create_booking": {
        **CANARIES,
        "sale_id": "SALE-001",
        "description": "City tour",
        "amount": "420.00",
        "starts_at": "2026-12-01T10:00:00-03:00",
        "ends_at": "2026-12-01T12:00:00-03:00",
    },
    "collect_payment": {
        "customer_name": CANARIES["customer_name"],
        "customer_email": CANARIES["customer_email"],
        "sale_id": "SALE-001",
        "description": "City tour",
        "amount": "420.00",
        "payment_method": "pm_card_visa",
    },
}


def quoted(saga):
    """What a provider might quote of the saga's input."""
    personal = {key: value for key, value in INPUT[saga].items() if key in CANARIES}
    document = " CPF 529.982.247-25" if "customer_document" in personal else ""
    return f"{json.dumps(personal)} {personal} /people?email=zefira.canary%40example.com{document}"


def refusal(saga):
    return ProviderError(Kind.REFUSED, "invalid", f"This request is invalid: {quoted(saga)}")


def doubt(saga):
    return ProviderError(Kind.UNKNOWN, "timeout", f"No answer to {quoted(saga)}")


def bug(saga):
    return KeyError(quoted(saga))


def no_undo(saga):
    return CompensationRefused(
        "too_late", f"It is too late for {quoted(saga)}", f"Write to {CANARIES['customer_email']}."
    )


SCENES = {
    "succeeded": ("create_booking", {}, SagaState.SUCCEEDED),
    "refused at the last step": ("create_booking", {("calendar", "add"): refusal}, SagaState.FAILED),
    "not undone": (
        "create_booking",
        {("calendar", "add"): refusal, ("invoices", "cancel"): no_undo},
        SagaState.PARTIALLY_COMPENSATED,
    ),
    "a bug in an adapter": ("create_booking", {("email", "send"): bug}, SagaState.IN_PROGRESS),
    "in doubt": ("create_booking", {("whatsapp", "send_template"): doubt}, SagaState.IN_PROGRESS),
    "an undo set aside": (
        "create_booking",
        {("calendar", "add"): refusal, ("invoices", "cancel"): doubt},
        SagaState.COMPENSATING,
    ),
    "paid": ("collect_payment", {}, SagaState.SUCCEEDED),
    "declined": ("collect_payment", {("payments", "create"): refusal}, SagaState.FAILED),
    "paid, the receipt refused": ("collect_payment", {("email", "send"): refusal}, SagaState.FAILED),
    "paid, not counted": ("collect_payment", {("analytics", "track"): refusal}, SagaState.SUCCEEDED),
}


@pytest.fixture(autouse=True)
def all_logs(caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="sagas")


@pytest.fixture
def quoting():
    """Lets providers fail with errors that quote what they were sent."""
    added = []

    def order(saga, errors):
        def probe(moment, port, operation, key):
            if moment == "before" and (port, operation) in errors:
                raise errors[port, operation](saga)

        added.append(probe)
        sandbox.probes.append(probe)

    yield order
    for probe in added:
        sandbox.probes.remove(probe)


@pytest.fixture
def broken_follower(saga):
    """What the saga tells the booking cannot be written down."""

    def refuse(**_):
        raise ValueError(f"No booking for {quoted(saga)}")

    pre_save.connect(refuse, sender=Booking)
    yield
    pre_save.disconnect(refuse, sender=Booking)


def said_by(*words):
    """All that a command says, and the sentence it fails with."""
    out, err = StringIO(), StringIO()
    try:
        call_command(*words, stdout=out, stderr=err)
        failure = ""
    except CommandError as error:
        failure = "".join(traceback.format_exception(error))
    return f"{out.getvalue()}\n{err.getvalue()}\n{failure}"


def logged(records):
    """Each record as a handler writes it, with its traceback and its fields."""
    fields = [getattr(record, "fields", "") for record in records]
    return "\n".join(map(logging.Formatter().format, records)) + str(fields)


def kept():
    """What is stored of errors and holds: everything but the input, context and outputs, which are the saga's own."""
    runs = StepRun.objects.values_list("error_type", "error_message", "idempotency_key", "worker")
    events = SagaEvent.objects.values_list("reason", "data")
    return f"{list(runs)} {list(events)} {list(SagaExecution.objects.values_list('held', 'failed_step'))}"


def songs(text):
    """The places where a canary sings."""
    low = text.lower()
    return [low[max(0, low.index(song) - 80) : low.index(song) + 80] for song in SONGS if song in low]


def by_execute(saga, limit):
    get_saga_orchestrator().execute("s1", saga, context=INPUT[saga], max_seconds=limit)
    return ""


def by_run_saga(saga, limit, *form):
    return said_by(
        "run_saga", saga, "--saga-id", "s1", "--context", json.dumps(INPUT[saga]), "--wait", f"{limit}", *form
    )


def has_come_to(state):
    """Whether it is in that state and, when it is to go on from there, has met with an error."""
    found = SagaExecution.objects.filter(saga_id="s1", state=state)
    return found.exists() and (state in TERMINAL or StepRun.objects.exclude(error_message="").exists())


def told_by_all_commands(saga_id):
    """What operators are shown of an execution, in words and as documents."""
    commands = [
        ["saga_status", saga_id],
        ["saga_status", "SALE-001"],
        ["saga_stats"],
        ["saga_doctor"],
        ["saga_verify"],
        ["saga_retry", saga_id, "--dry-run", "--reason", "why"],
    ]
    return "".join(said_by(*words, *form) for words in commands for form in ([], ["--json"]))


def test_each_personal_key_has_its_canary():
    keys = {*CREATE_BOOKING_SAGA.personal, *COLLECT_PAYMENT_SAGA.personal}

    assert keys == {*CANARIES}
    assert all(songs(value) for value in CANARIES.values())
    assert len(songs(quoted("create_booking"))) >= len(CANARIES)


@pytest.mark.parametrize("way", ["execute", "run_saga", "run_saga --json"])
@pytest.mark.parametrize(("saga", "errors", "state"), SCENES.values(), ids=SCENES)
def test_no_canary_appears_whatever_happens_to_the_saga(caplog, quoting, saga, errors, state, way):
    quoting(saga, errors)
    # What waits between its tries is left as soon as it has come so far.
    limit, said = 60 if state in TERMINAL else 0.1, ""
    while not has_come_to(state):
        said += {"execute": by_execute, "run_saga": by_run_saga}[way.split()[0]](saga, limit, *way.split()[1:])

    errors_kept = [run for run in StepRun.objects.all() if run.error_message]
    assert bool(errors_kept) == bool(errors)
    assert songs(said + told_by_all_commands("s1")) == []
    assert songs(kept()) == []
    assert songs(logged(caplog.records)) == []


@pytest.mark.parametrize("saga", INPUT)
def test_no_canary_appears_when_on_change_fails(caplog, broken_follower, saga):
    said = said_by("run_saga", saga, "--saga-id", "s1", "--context", json.dumps(INPUT[saga]))

    assert "On hold" in said
    assert songs(said + told_by_all_commands("s1") + kept() + logged(caplog.records)) == []


@pytest.mark.parametrize("saga", INPUT)
@pytest.mark.parametrize("key", [*CANARIES, "amount", "unknown"])
def test_no_canary_appears_in_a_validation_error(caplog, saga, key):
    bad = INPUT[saga] | {key: CANARIES["customer_email"] + "\nx"}
    if key == "customer_email":
        bad[key] = CANARIES["customer_name"]

    with pytest.raises(InvalidInput) as error:
        get_saga_orchestrator().execute("s1", saga, context=bad)
    said = said_by("run_saga", saga, "--context", json.dumps(bad))

    assert "Refused" in said
    assert songs(said + "".join(traceback.format_exception(error.value)) + logged(caplog.records)) == []


DETAIL = f"Failing row contains ({', '.join(CANARIES.values())})".replace("'", "''")
DISK_FULL = {
    "sqlite": f"""
CREATE TRIGGER disk_full BEFORE INSERT ON sagas_execution BEGIN SELECT RAISE(ABORT, 'disk full\n{DETAIL}'); END
""",
    "postgresql": f"""
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'disk full' USING DETAIL = '{DETAIL}';
END $$;
CREATE TRIGGER disk_full BEFORE INSERT ON sagas_execution EXECUTE FUNCTION disk_full()
""",
}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_canary_appears_when_the_database_fails(caplog, form):
    """PostgreSQL tells the row that it could not write, on a line of its own."""
    with connection.cursor() as cursor:
        cursor.execute(DISK_FULL[connection.vendor])

    said = said_by("run_saga", "create_booking", "--context", json.dumps(INPUT["create_booking"]), *form)

    assert "The database failed: disk full." in said
    assert songs(said + logged(caplog.records)) == []


def test_personal_values_in_a_reason_are_not_shown(quoting):
    """They are kept as they were written."""
    quoting("create_booking", {("email", "send"): doubt})
    orchestrator = get_saga_orchestrator()
    orchestrator.execute("s1", "create_booking", context=INPUT["create_booking"], max_seconds=0.1)
    reason = f"{CANARIES['customer_name']} called from {CANARIES['customer_phone']}"

    orchestrator.hold("s1", reason=reason)
    said = told_by_all_commands("s1")
    orchestrator.release("s1")
    orchestrator.cancel("s1", reason=reason)
    orchestrator.resume("s1", max_seconds=0.1)
    said += told_by_all_commands("s1")

    assert "[customer_name] called from [customer_phone]" in said
    assert songs(said) == []
    assert SagaEvent.objects.filter(reason=reason).count() == 2
