"""Runs the measurements on SQLite and PostgreSQL and prints them beside what we aim at.

    python -m tests.benchmarks [--json] [--only sqlite|postgresql]

It starts a PostgreSQL of its own, or takes the one of TEST_DATABASE_URL. The aims are printed, not enforced: a busy
machine misses them, and the ratio to the floor, taken in the same minute, tells more than the milliseconds.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.postgres import database_url

DATABASES = ["sqlite", "postgresql"]
RATIOS = {"sqlite": 3.0, "postgresql": 2.0}
AIMS = {"booking": 50.0, "payment": 70.0, "undos": 30.0, "concurrent": 100.0}
LINEAR = 1.2
THROUGHPUT = {"sqlite": 300.0, "postgresql": 350.0}
IDLE = 25.0
LIST, AFTER_THE_END = 100.0, 100.0
LINE = "{:<44} {:>12} {:>12}   {}"


def main() -> int:
    """Measure, print; 0 also when an aim is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What a saga costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--only", choices=DATABASES, help="measure on one database")
    options = parser.parse_args()
    names = [options.only] if options.only else DATABASES
    results = {name: measure(name) for name in names}
    print(json.dumps(results, indent=2) if options.json else table(results))
    return 0


def measure(database: str) -> dict[str, Any]:
    """The measurements on one database, by a process that sees no other."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    environment |= {
        "DEBUG": "0",
        "SECRET_KEY": "benchmark",
        "SAGAS_LOG_LEVEL": "WARNING",
        "ALLOWED_HOSTS": "testserver",
    }
    environment["DJANGO_SETTINGS_MODULE"] = "tests.worker.settings"
    with contextlib.ExitStack() as stack:
        if database == "postgresql":
            environment["DATABASE_URL"] = stack.enter_context(database_url())
        command = [sys.executable, "-m", "tests.benchmarks.measure"]
        # The three undos log their errors a hundred times; they are of interest only if it fails.
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"The measurement on {database} failed.\n{found.stderr}")
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def table(results: dict[str, dict[str, Any]]) -> str:
    """The numbers, a line each, a column for each database."""
    lines = [LINE.format("milliseconds a saga", *_columns(results, lambda name, _: name), "aim"), "-" * 86]

    def add(what: str, cell: Callable[[str, dict[str, Any]], str], aim: str = "") -> None:
        lines.append(LINE.format(what, *_columns(results, cell), aim).rstrip())

    for of, title in (("saga", "4 steps that do nothing"), ("floor", "the floor: the same writes, plain driver")):
        add(f"{title}", lambda *_: "")
        add("  CPU, ours", lambda _, r, of=of: _number(r["noop"][of]["cpu"]))
        add("  CPU, ours and the server's", lambda _, r, of=of: _number(_total(r["noop"][of])))
        add("  wall", lambda _, r, of=of: _number(r["noop"][of]["wall"]))
    aim = ", ".join(f"{RATIOS[name]:g}x {name}" for name in results)
    add("saga : floor, CPU", lambda _, r: _ratio(_total(r["noop"]["saga"]), _total(r["noop"]["floor"])), aim)
    add("saga : floor, wall", lambda _, r: _ratio(r["noop"]["saga"]["wall"], r["noop"]["floor"]["wall"]))
    for name, title in (
        ("booking", "booking, wall"),
        ("payment", "payment, wall"),
        ("undos", "three undos, wall"),
        ("concurrent", "100 bookings at once, wall each"),
    ):
        add(title, lambda _, r, name=name: _number(r[name]["wall"]), f"{AIMS[name]:g}")
    add("  the longest of them", lambda _, r: _number(r["concurrent"]["longest"]))
    add("1,000 bookings in sequence, wall each", lambda _, r: _number(r["sequence"]["wall"]))
    add("  second half : first half, wall", lambda _, r: f"{r['sequence']['growth']:.2f}x", f"linear: {LINEAR:g}x")
    add("  second half : first half, CPU", lambda _, r: f"{r['sequence']['cpu_growth']:.2f}x")
    lines += ["", LINE.format("2 workers", *_columns(results, lambda name, _: name), "aim"), "-" * 86]
    add("2,000 noop sagas, 8 threads each: a second", _of_workers("per_second"), _aims(results, THROUGHPUT))
    add("  CPU a saga, the cluster's", _of_workers("cpu"))
    add("  CPU a saga, the server's", _of_workers("server"))
    add("  the floor by one client: a second", lambda _, r: _number(1000 / r["noop"]["floor"]["wall"]))
    add("queued to ended, idle, p50", _of_workers("idle_p50"), f"{IDLE:g}")
    add("  p95", _of_workers("idle_p95"))
    add("4 steps of 50 ms, 16 threads each: a second", _of_workers("naps_per_second"), "ideal: 160")
    add("  of the ideal", _of_workers("naps_of_ideal"), "0.8 postgresql")
    lines += ["", LINE.format("the API", *_columns(results, lambda name, _: name), "aim"), "-" * 86]
    add("SELECT 1, p95", lambda _, r: _number(r["api"]["baseline"]))
    for name in next(iter(results.values()))["api"]["lists"]:
        add(f"list of 200,000 by {name}, p95", lambda _, r, name=name: _number(r["api"]["lists"][name]), f"{LIST:g}")
    add("Prefer: wait, answered after the end, p50", lambda _, r: _number(r["api"]["after_the_end_p50"]))
    add("  p95", lambda _, r: _number(r["api"]["after_the_end_p95"]), f"{AFTER_THE_END:g}")
    add("starts by 16 clients for 60 s: a second", lambda _, r: _number(r["api"]["starts_per_second"]))
    return "\n".join(lines)


def _of_workers(key: str) -> Callable[[str, dict[str, Any]], str]:
    return lambda _, result: _number(result["workers"][key])


def _aims(results: dict[str, dict[str, Any]], aims: dict[str, float]) -> str:
    return ", ".join(f"{aims[name]:g} {name}" for name in results)


def _columns(results: dict[str, dict[str, Any]], cell: Callable[[str, dict[str, Any]], str]) -> list[str]:
    cells = [cell(name, result) for name, result in results.items()]
    return cells + [""] * (len(DATABASES) - len(cells))


def _total(spent: dict[str, float | None]) -> float | None:
    """CPU of ours and of the server; SQLite has no server, so there it is ours."""
    return (spent["cpu"] or 0.0) + (spent["server"] or 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ratio(value: float | None, floor: float | None) -> str:
    return "-" if value is None or not floor else f"{value / floor:.2f}x"


if __name__ == "__main__":
    sys.exit(main())
