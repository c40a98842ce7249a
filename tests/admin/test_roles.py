"""Each role and each operation: a button if the role may perform it, otherwise a sentence that says why not."""

import pytest
from django.test import Client, RequestFactory

from sagas import StepFailed
from sagas.admin.actions.buttons import offered
from sagas.models import SagaEvent
from sagas.operations import Operation, perform
from sagas.orchestrator import get_saga_orchestrator
from tests.support import lost

from .cases import act_url, do
from .conftest import logged_in

FOR_SUPPORT = {"verify", "release", "retry", "resolve", "acknowledge", "hold"}
MAY = {
    "Support": FOR_SUPPORT,
    "Supervisor": {operation.value for operation in Operation},
    "Auditor": set(),
    "": set(),
}
ASK_A_SUPERVISOR = "Your role does not allow this. Ask a supervisor."


@pytest.fixture
def ready(stage, registered):
    """Return functions by operation; each creates an execution on which the operation is possible."""
    no, execute = StepFailed("no"), get_saga_orchestrator().execute

    def doubtful():
        saga = registered(stage.step("a", lost(), idempotent=False, verify=[{}]))
        return execute("x", "trip", saga, max_seconds=0)

    def held():
        doubtful()
        return perform(Operation.HOLD, "x", reason="look")

    def failed():
        return execute("x", "trip", registered(stage.step("a", ValueError("odd"), retry_count=0)))

    def stuck():
        return execute("x", "trip", registered(stage.step("a", undo=[no]), stage.step("b", no)))

    def succeeded():
        return execute("x", "trip", registered(stage.step("a")))

    return {
        "verify": doubtful, "hold": doubtful, "cancel": doubtful, "release": held, "retry": failed,
        "acknowledge": failed, "correct": failed, "resolve": stuck, "compensate": succeeded,
    }  # fmt: skip


def offers(user, execution):
    """Return the buttons by operation, and the reasons for the blocked operations by label."""
    request = RequestFactory().get("/")
    request.user = user
    execution.refresh_from_db()
    buttons, blocked_reasons = offered(request, execution)
    return {button.operation: button for button in buttons}, {
        refusal.label: refusal.sentence for refusal in blocked_reasons
    }


WORDS = {"resolution": "a:undone", "evidence": "seen", "input-json": '{"n": 1}'}


@pytest.mark.parametrize("operation", [operation.value for operation in Operation])
@pytest.mark.parametrize("role", MAY)
def test_a_role_does_what_it_may_and_nothing_else(db, ready, role, operation):
    client, execution = logged_in("somebody", role), ready[operation]()
    version, events = execution.version, SagaEvent.objects.count()
    buttons, blocked_reasons = offers(client.user, execution)

    response = do(client, execution, operation, **WORDS, **{"input-:version": execution.version})

    execution.refresh_from_db()
    if operation in MAY[role]:
        assert operation in buttons
        assert response.status_code == 302
        assert SagaEvent.objects.count() > events
    else:
        assert operation not in buttons
        assert ASK_A_SUPERVISOR in blocked_reasons.values()
        assert response.status_code == client.get(act_url(execution, operation)).status_code == 403
        assert (execution.version, SagaEvent.objects.count()) == (version, events)


@pytest.mark.parametrize("operation", [operation.value for operation in Operation])
def test_nobody_in_particular_is_asked_who_they_are(db, ready, operation):
    execution = ready[operation]()
    version, events = execution.version, SagaEvent.objects.count()

    response = do(Client(), execution, operation, **WORDS)

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/?next=")
    execution.refresh_from_db()
    assert (execution.version, SagaEvent.objects.count()) == (version, events)


def test_each_act_is_a_button_or_a_sentence(support, ready):
    buttons, blocked_reasons = offers(support.user, ready["retry"]())

    assert {operation: button.label for operation, button in buttons.items()} == {
        "retry": "Retry",
        "acknowledge": "Acknowledge",
    }
    assert blocked_reasons == {
        "Check with the provider": "It has no step in doubt that a provider can be asked about.",
        "Release": "It is not on hold.",
        "Correct the input and retry": ASK_A_SUPERVISOR,
        "Mark a step as resolved": "A step can be marked as resolved only while the case is on hold or partly undone.",
        "Put on hold": "It has ended.",
        "Cancel and undo": "It is too late to cancel: it is “Failed”.",
        "Undo everything": "It can be undone only after it succeeded, and it is “Failed”.",
    }


@pytest.mark.parametrize(
    ("operation", "label", "primary"),
    [
        ("verify", "Check with the provider", "verify"),
        ("release", "Release", "release"),
        ("retry", "Retry", "retry"),
        ("resolve", "Mark a step as resolved", "retry"),
        ("compensate", "Undo everything", None),
    ],
)
def test_the_safe_button_is_the_first(supervisor, ready, operation, label, primary):
    buttons, _ = offers(supervisor.user, ready[operation]())

    assert buttons[operation].label == label
    assert [operation for operation, button in buttons.items() if button.primary] == ([primary] if primary else [])


def test_an_undo_that_failed_is_undone_again(support, ready):
    buttons, _ = offers(support.user, ready["resolve"]())

    assert buttons["retry"].label == "Undo again"


def test_what_the_engine_held_at_a_failed_step_goes_on_from_there(support, stage, registered):
    saga = registered(stage.step("pay", pivot=True, undo=None), stage.step("mail", StepFailed("no"), undo=None))
    buttons, _ = offers(support.user, get_saga_orchestrator().execute("x", "trip", saga))

    assert buttons["release"].label == "Continue from the failed step"


def test_what_the_engine_held_before_a_step_is_released(support, stage, registered):
    saga = registered(stage.step("a"), stage.step("b", lost(), {}, retry_delay=3600, max_delay=3600))
    get_saga_orchestrator().execute("x", "trip", saga, max_seconds=0)
    registered(stage.step("a"))
    held = get_saga_orchestrator().resume("x", max_seconds=1)
    assert held.held

    buttons, _ = offers(support.user, held)

    assert buttons["release"].label == "Release"


def test_who_may_not_see_executions_sees_no_page_of_theirs(db, ready):
    client = logged_in("nobody")
    client.user.user_permissions.set([])

    assert client.get(act_url(ready["retry"](), "retry")).status_code == 403
