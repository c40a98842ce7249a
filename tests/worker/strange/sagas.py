"""Sagas that wait, hang, or crash their process."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sagaproject.provider_errors import reports_outcome
from sagas import Priority, Saga, SagaStep, StepFailed, register
from sagas.signals import beat
from tests.support import toys


def nothing(context):
    return None


def nap(context):
    """Sleep, as a step that waits for the network does."""
    time.sleep(context.get("seconds", 0.05))


def die(context):
    """Crash the process, as a bug in a C library may."""
    os._exit(9)


def meddle(context):
    """Create django-q2's broker, leave a background process running, then fork a process and terminate it."""
    from django_q.brokers import get_broker

    get_broker().ping()
    subprocess.run(["sh", "-c", "sleep 4 &"], check=True)
    forked, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready, b"!")
        signal.pause()
        os._exit(0)
    os.read(forked, 1)
    os.kill(child, signal.SIGTERM)
    return {"the child was ended by": os.WTERMSIG(os.waitpid(child, 0)[1])}


def reveal(context):
    """Return the PYTHONPATH that a program started by this step sees."""
    printed = subprocess.run(["printenv", "PYTHONPATH"], check=True, capture_output=True, text=True)
    return {"PYTHONPATH": printed.stdout.strip()}


def compute(context):
    """At the first attempt, run C code for some seconds; neither signals nor exceptions interrupt it."""
    if context.attempt == 1:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", context["rounds"])


def take_the_signal(context):
    """Send SIGTERM to this thread: the operating system may deliver the process's signals to any thread."""
    nap(context)
    if context.attempt == 1:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


def delegate(context):
    """Use an executor, as asyncio does when it resolves a host name."""
    end = time.monotonic() + context["seconds"]
    while time.monotonic() < end:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(time.sleep, 0.05).result()


def quit_loudly(context):
    """Raise SystemExit with personal data in its message."""
    sys.exit(f"no such customer: {context['customer']}")


def nap_the_second_time(context):
    """Fail in the first run; in later runs, sleep."""
    if context.run == 1:
        raise StepFailed("not in the first run")
    nap(context)


NOOP = register(Saga("noop", [SagaStep(name, nothing, nothing) for name in ("one", "two", "three", "four")]))
NAPS = register(Saga("naps", [SagaStep(name, nap, nothing) for name in ("one", "two", "three", "four")]))
NAP = register(Saga("nap", [SagaStep("nap", nap, nothing, timeout=60)]))
SECOND = register(Saga("second", [SagaStep("nap", nap_the_second_time, nothing)]))
URGENT = register(Saga("urgent", [SagaStep("do", nothing)], priority=Priority.HIGH))
QUIT = register(Saga("quit", [SagaStep("quit", quit_loudly, nothing, retry_count=0)], personal=("customer",)))
POISON = register(Saga("poison", [SagaStep("fine", nothing, nothing), SagaStep("die", die, nothing)]))
MEDDLE = register(Saga("meddle", [SagaStep("meddle", meddle, nothing)]))
REVEAL = register(Saga("reveal", [SagaStep("reveal", reveal, nothing)]))
SIGNAL = register(Saga("signal", [SagaStep("take", take_the_signal, nothing), SagaStep("nap", nap, nothing)]))
DELEGATE = register(Saga("delegate", [SagaStep("delegate", delegate, nothing), SagaStep("rest", nothing)]))
COMPUTE = register(Saga("compute", [SagaStep("compute", compute, nothing, timeout=0.5, retry_delay=0.1)]))
# A saga with a compensation that is deferred as soon as its provider is unavailable.
AWAY = register(
    Saga(
        "away",
        [
            toys.step("one"),
            toys.step("two", compensation=reports_outcome(toys.undo), compensation_retry_count=0, max_delay=0.2),
            toys.step("three", toys.refuse),
        ],
    )
)
# The environment variable gives the step another name, as another version of the code may.
RENAMED = register(
    Saga("renamed", [SagaStep(os.environ.get("STRANGE_STEP", "before"), nap), SagaStep("after", nothing)])
)
# Only clusters with this environment variable register the saga.
if name := os.environ.get("STRANGE_SAGA"):
    register(Saga(name, [SagaStep("do", nothing)]))


def failing_receiver(**_):
    raise FAILURES[os.environ["STRANGE_BEAT"]]


FAILURES = {"raises": OSError("no such customer"), "exits": SystemExit("no such customer")}
if "STRANGE_BEAT" in os.environ:
    beat.connect(failing_receiver)

if mutant := os.environ.get("MUTANT"):
    # tests/mutation/plugin.py sets MUTANT, so that worker processes run with the same mutation as the test process.
    from tests.mutation.mutants import MUTANTS

    MUTANTS[mutant].apply()
