"""Sagas that wait, hang, or take their process down; what they do is in their contexts and step runs."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sagaproject.outcomes import reports_outcome
from sagas import Priority, Saga, SagaStep, StepFailed, register
from sagas.signals import beat
from tests.crash import toys


def nothing(context):
    return None


def nap(context):
    """Wait as on a network."""
    time.sleep(context.get("seconds", 0.05))


def die(context):
    """Take the process down, as a crash in a C library does."""
    os._exit(9)


def meddle(context):
    """Ask django-q2 for its broker, leave a process behind in the background, fork and end another."""
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
    """What a program that this step starts finds in its environment."""
    printed = subprocess.run(["printenv", "PYTHONPATH"], check=True, capture_output=True, text=True)
    return {"PYTHONPATH": printed.stdout.strip()}


def compute(context):
    """Stay in C, where no signal and no exception reaches, for some seconds; once."""
    if context.attempt == 1:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", context["rounds"])


def take_the_signal(context):
    """SIGTERM for the process while nothing is due, given to this thread, as the operating system may do."""
    nap(context)
    if context.attempt == 1:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


def delegate(context):
    """Have threads of an executor do it, as asyncio does to look up a host."""
    end = time.monotonic() + context["seconds"]
    while time.monotonic() < end:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(time.sleep, 0.05).result()


def quit_loudly(context):
    """End the process as a command would, with words about the customer."""
    sys.exit(f"no such customer: {context['customer']}")


def nap_the_second_time(context):
    """Fail in the first run."""
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
# An undo that is set aside as soon as its provider is away.
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
# A step that another version of the code calls otherwise.
RENAMED = register(
    Saga("renamed", [SagaStep(os.environ.get("STRANGE_STEP", "before"), nap), SagaStep("after", nothing)])
)
# A saga that not every cluster knows.
if name := os.environ.get("STRANGE_SAGA"):
    register(Saga(name, [SagaStep("do", nothing)]))


def stumble(**_):
    """A receiver that fails at each beat."""
    raise STUMBLES[os.environ["STRANGE_BEAT"]]


STUMBLES = {"raises": OSError("no such customer"), "exits": SystemExit("no such customer")}
if "STRANGE_BEAT" in os.environ:
    beat.connect(stumble)
