"""Deadlines: a step that blocks is recorded as in doubt in time, and its late result changes nothing."""

import hashlib
import signal
import socket
import threading
import time

import pytest
from django.db import connections

from sagas import SagaState, StepTimeout
from sagas.engine import runner
from sagas.models import StepRun
from tests.support import new_id, run, story

SHORT = 0.2
GRACE = 0.3


@pytest.fixture(autouse=True)
def short_grace(settings):
    settings.SAGAS = {"GRACE": GRACE}


def sleep(context):
    time.sleep(30)


def read_a_socket(context):
    here, there = socket.socketpair()
    with here, there:
        here.recv(1)


def swallow(context):
    try:
        time.sleep(30)
    except Exception:  # noqa: BLE001  (StepTimeout is none)
        return {"late": "swallowed"}


def swallow_all(context):
    try:
        time.sleep(30)
    except BaseException:  # noqa: BLE001
        return {"late": "swallowed"}


def clean_up(context):
    try:
        time.sleep(30)
    except StepTimeout:
        context["cleaned"] = "up"
        raise


def raise_another(context):
    try:
        time.sleep(30)
    except StepTimeout:
        raise ValueError("gave up") from None


@pytest.mark.django_db
@pytest.mark.parametrize("blocked", [sleep, read_a_socket, swallow, swallow_all, clean_up, raise_another])
def test_a_step_that_blocks_in_the_main_thread_is_cut_off_in_doubt(stage, blocked):
    begun = time.monotonic()
    execution = run(stage.step("a", blocked, timeout=SHORT, retry_count=0))

    assert time.monotonic() - begun < 5
    assert execution.state is SagaState.FAILED
    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]
    assert SHORT <= execution.step_executions.first().duration() < SHORT + GRACE + 1
    assert execution.context == {}


@pytest.mark.django_db
def test_a_timeout_is_recorded_as_what_it_is(stage):
    execution = run(stage.step("a", sleep, timeout=SHORT, retry_count=0))

    first = execution.step_executions.first()
    assert (first.error_type, first.error_message) == ("StepTimeout", "the attempt took longer than its timeout")


@pytest.mark.django_db
def test_an_undo_has_a_timeout_of_its_own(stage):
    execution = run(
        stage.step("a", undo=[sleep, {}], timeout=30, compensation_timeout=SHORT),
        stage.step("b", ValueError(), retry_count=0),
    )

    assert execution.state is SagaState.FAILED
    assert story(execution)[2:] == ["a compensation 1 uncertain", "a compensation 2 succeeded"]


@pytest.mark.django_db
def test_the_timer_that_was_running_runs_on(stage):
    rung = []
    former = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        run(stage.step("a", sleep, {}, timeout=SHORT))
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        handler = signal.getsignal(signal.SIGALRM)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)

    assert 50 < left < 60
    assert handler is not former
    assert rung == []


@pytest.fixture
def alarms():
    """Return a function that sets a one-time SIGALRM timer and returns the list of the times at which it fired."""
    rung = []
    former = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(time.monotonic()))

    def set_alarm(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return rung

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, former)


@pytest.mark.django_db
def test_a_timer_that_ends_before_the_step_fires_and_the_step_goes_on(stage, alarms):
    rung = alarms(SHORT / 4)

    def wait_for_it(context):
        give_up = time.monotonic() + 20
        while not rung and time.monotonic() < give_up:
            time.sleep(0.01)
        return {"rung": len(rung)}

    execution = run(stage.step("a", wait_for_it, timeout=30))

    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"rung": 1}


@pytest.mark.django_db
def test_a_step_is_cut_off_in_time_although_another_timer_was_over_before(stage, alarms):
    rung = alarms(SHORT / 4)
    begun = time.monotonic()

    execution = run(stage.step("a", sleep, timeout=SHORT, retry_count=0))

    assert rung[0] - begun < SHORT
    assert time.monotonic() - begun < 5
    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]
    assert SHORT <= execution.step_executions.first().duration() < SHORT + GRACE + 1


@pytest.mark.django_db
def test_a_timer_that_rang_during_the_step_does_not_ring_again_after_it(stage):
    rung = []
    former = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        run(stage.step("a", lambda context: time.sleep(0.2), timeout=5))
        left, _ = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)

    assert (len(rung), left) == (1, 0.0)


@pytest.mark.django_db
def test_a_step_in_time_leaves_no_timer_behind(stage):
    run(stage.step("a", timeout=SHORT))

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


class InAThread:
    """Execute a saga in a thread, as a web server does."""

    def __init__(self, *steps, **options):
        self.execution = None
        self.saga_id = new_id()
        self.thread = threading.Thread(target=self.run, args=steps, kwargs=options)
        self.thread.start()

    def run(self, *steps, **options):
        try:
            self.execution = run(*steps, saga_id=self.saga_id, **options)
        finally:
            connections.close_all()

    def wait_for_a_step_run(self):
        """Wait for the first step run and return it."""
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            found = StepRun.objects.filter(execution__saga_id=self.saga_id).first()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError("no attempt was recorded")

    def join(self):
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.execution


@pytest.mark.django_db(transaction=True)
def test_a_step_that_computes_in_another_thread_is_cut_off(stage):
    def spin(context):
        while True:
            time.sleep(0.01)

    execution = InAThread(stage.step("a", spin, timeout=SHORT, retry_count=0)).join()

    assert execution.state is SagaState.FAILED
    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]
    assert execution.step_executions.first().error_type == "StepTimeout"


@pytest.mark.django_db(transaction=True)
def test_a_timeout_that_is_swallowed_in_another_thread_is_in_doubt(stage):
    def stubborn(context):
        try:
            while True:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001
            return {"late": "swallowed"}

    execution = InAThread(stage.step("a", stubborn, timeout=SHORT, retry_count=0)).join()

    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]
    assert execution.context == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.untraced
@pytest.mark.parametrize("late", [{"late": "result"}, ValueError("late")], ids=repr)
def test_a_stuck_step_is_written_in_time_and_its_late_end_changes_nothing(stage, late):
    let_go = threading.Event()
    still_there = []

    def stuck(context):
        let_go.wait(30)
        still_there.append(context.step)
        if isinstance(late, Exception):
            raise late
        return late

    running = InAThread(stage.step("a", stuck, {"in": "time"}, timeout=SHORT))
    first = running.wait_for_a_step_run()
    assert still_there == []
    assert first.outcome == "uncertain"
    assert first.duration() < SHORT + GRACE + 1

    let_go.set()
    execution = running.join()
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]
    assert execution.state is SagaState.SUCCEEDED
    assert execution.context == {"in": "time"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.untraced
def test_a_stuck_steps_execution_is_free_for_others_meanwhile(stage, registered, orchestrator):
    let_go = threading.Event()

    def stuck(context):
        let_go.wait(30)
        return {"by": "the stuck one"}

    saga = registered(stage.step("a", stuck, {"by": "another"}, timeout=SHORT))
    running = InAThread(*saga)
    running.wait_for_a_step_run()

    execution = orchestrator.execute(running.saga_id, "trip", saga)
    assert execution.state is SagaState.SUCCEEDED

    let_go.set()
    assert running.join().context == {"by": "another"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.untraced
def test_a_step_that_returns_as_it_is_given_up_is_written_once(stage):
    let_go, next_begun, given_up = threading.Event(), threading.Event(), threading.Event()

    def hold_up(frame, event, argument):
        """Delay the thread that abandons the attempt until the next attempt runs."""
        if frame.f_code is not runner.abandon.__code__:
            return None
        if event == "call":
            let_go.set()
            next_begun.wait(30)
        if event == "return":
            given_up.set()
        return hold_up

    def stuck(context):
        threading.settrace(hold_up)  # applies to threads that start later
        try:
            let_go.wait(30)
        finally:
            let_go.wait(30)

    def go_on(context):
        next_begun.set()
        given_up.wait(30)
        return {"in": "time"}

    step = stage.step("a", stuck, undo=[go_on], idempotent=False, timeout=SHORT, compensation_timeout=30)
    try:
        execution = run(step)
    finally:
        threading.settrace(None)

    assert given_up.is_set()
    assert story(execution) == ["a action 1 uncertain", "a compensation 1 succeeded"]
    assert stage.told == ["a", "a.undo"]


@pytest.mark.django_db(transaction=True)
def test_a_call_into_c_that_ignores_signals_is_recorded_in_time(stage):
    ended = []

    def compute(context):
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 6_000_000)
        ended.append(time.time())
        return {"late": "result"}

    execution = run(stage.step("a", compute, {"in": "time"}, timeout=SHORT))

    first = execution.step_executions.first()
    if ended:
        assert first.finished_at.timestamp() < ended[0]
    assert first.outcome == "uncertain"
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded"]
    assert execution.context == {"in": "time"}


@pytest.mark.django_db
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_goes_to_the_caller_and_the_attempt_is_in_doubt(stage, interruption):
    saga_id = new_id()
    steps = [stage.step("a", interruption, {}), stage.step("b")]
    with pytest.raises(interruption):
        run(*steps, saga_id=saga_id)

    execution = run(*steps, saga_id=saga_id)

    assert execution.state is SagaState.SUCCEEDED
    assert story(execution) == ["a action 1 uncertain", "a action 2 succeeded", "b action 1 succeeded"]
