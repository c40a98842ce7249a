"""Run the benchmarks on SQLite and PostgreSQL and print the results next to their targets.

    python -m tests.benchmarks [--json] [--only sqlite|postgresql] [--part engine|workers|api|admin]

The command starts its own PostgreSQL server, or uses the one in TEST_DATABASE_URL. A missed target is no error,
because a busy machine is slow. The ratio to the floor is more reliable: both are measured in the same minute.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tests.benchmarks.measure import PARTS
from tests.postgres import database_url

DATABASES = ["sqlite", "postgresql"]
RATIOS = {"sqlite": 3.0, "postgresql": 2.0}
AIMS = {"booking": 50.0, "payment": 70.0, "undos": 30.0, "concurrent": 100.0}
LINEAR = 1.2
THROUGHPUT = {"sqlite": 300.0, "postgresql": 350.0}
IDLE = 25.0
LIST, AFTER_THE_END = 100.0, 100.0
PAGE = 300.0
LINE = "{:<44} {:>12} {:>12}   {}"


def main() -> int:
    """Measure and print; return 0 even if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What a saga costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--only", choices=DATABASES, help="measure on one database")
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this part; may come several times")
    options = parser.parse_args()
    names = [options.only] if options.only else DATABASES
    results = {name: measure(name, options.part or PARTS) for name in names}
    print(json.dumps(results, indent=2) if options.json else table(results))
    return 0


def measure(database: str, parts: Sequence[str]) -> dict[str, Any]:
    """Measure these parts on one database, in a separate process that knows no other database."""
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
        command = [sys.executable, "-m", "tests.benchmarks.measure", *parts]
        # The compensations log hundreds of errors; print them only if the measurement fails.
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"The measurement on {database} failed.\n{found.stderr}")
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return a table of the measured parts, with one line per number and one column per database."""
    measured = next(iter(results.values()))
    sections = {"engine": _engine, "workers": _workers, "api": _api, "admin": _admin}
    return "\n\n".join("\n".join(lines(results)) for part, lines in sections.items() if part in measured)


def _engine(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    results = {name: result["engine"] for name, result in results.items()}
    line = partial(_line, results)
    yield from _heading(results, "milliseconds a saga")
    for of, title in (("saga", "4 steps that do nothing"), ("floor", "the floor: the same writes, plain driver")):
        yield line(title, lambda *_: "")
        yield line("  CPU, ours", lambda _, r, of=of: _number(r["noop"][of]["cpu"]))
        yield line("  CPU, ours and the server's", lambda _, r, of=of: _number(_total(r["noop"][of])))
        yield line("  wall", lambda _, r, of=of: _number(r["noop"][of]["wall"]))
    aim = ", ".join(f"{RATIOS[name]:g}x {name}" for name in results)
    yield line("saga : floor, CPU", lambda _, r: _ratio(_total(r["noop"]["saga"]), _total(r["noop"]["floor"])), aim)
    yield line("saga : floor, wall", lambda _, r: _ratio(r["noop"]["saga"]["wall"], r["noop"]["floor"]["wall"]))
    for name, title in (
        ("booking", "booking, wall"),
        ("payment", "payment, wall"),
        ("undos", "three undos, wall"),
        ("concurrent", "100 bookings at once, wall each"),
    ):
        yield line(title, lambda _, r, name=name: _number(r[name]["wall"]), f"{AIMS[name]:g}")
    yield line("  the longest of them", lambda _, r: _number(r["concurrent"]["longest"]))
    yield line("1,000 bookings in sequence, wall each", lambda _, r: _number(r["sequence"]["wall"]))
    yield line(
        "  second half : first half, wall", lambda _, r: f"{r['sequence']['growth']:.2f}x", f"linear: {LINEAR:g}x"
    )
    yield line("  second half : first half, CPU", lambda _, r: f"{r['sequence']['cpu_growth']:.2f}x")


def _workers(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    line = partial(_line, results)
    yield from _heading(results, "2 workers")
    yield line("2,000 noop sagas, 8 threads each: a second", _of_workers("per_second"), _aims(results, THROUGHPUT))
    yield line("  CPU a saga, the cluster's", _of_workers("cpu"))
    yield line("  CPU a saga, the server's", _of_workers("server"))
    if "engine" in next(iter(results.values())):
        floor = "  the floor by one client: a second"
        yield line(floor, lambda _, r: _number(1000 / r["engine"]["noop"]["floor"]["wall"]))
    yield line("queued to ended, idle, p50", _of_workers("idle_p50"), f"{IDLE:g}")
    yield line("  p95", _of_workers("idle_p95"))
    yield line("4 steps of 50 ms, 16 threads each: a second", _of_workers("naps_per_second"), "ideal: 160")
    yield line("  of the ideal", _of_workers("naps_of_ideal"), "0.8 postgresql")


def _api(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    line = partial(_line, results)
    yield from _heading(results, "the API")
    yield line("SELECT 1, p95", lambda _, r: _number(r["api"]["baseline"]))
    for name in next(iter(results.values()))["api"]["lists"]:
        yield line(
            f"list of 200,000 by {name}, p95", lambda _, r, name=name: _number(r["api"]["lists"][name]), f"{LIST:g}"
        )
    yield line("Prefer: wait, answered after the end, p50", lambda _, r: _number(r["api"]["after_the_end_p50"]))
    yield line("  p95", lambda _, r: _number(r["api"]["after_the_end_p95"]), f"{AFTER_THE_END:g}")
    yield line("starts by 16 clients for 60 s: a second", lambda _, r: _number(r["api"]["starts_per_second"]))


def _admin(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the admin, which is measured on PostgreSQL only; each has the number of queries."""
    measured = next((result["admin"] for result in results.values() if result["admin"]), None)
    if measured is None:
        return
    yield LINE.format("the admin, 1,000,000 executions (postgresql)", "p50", "p95", "aim  questions")
    yield "-" * 86
    for name, page in measured["pages"].items():
        beside = f"{PAGE:g}  {page['queries']}"
        yield LINE.format(name, _number(page["p50"]), _number(page["p95"]), beside)


def _heading(results: dict[str, dict[str, Any]], title: str) -> Iterator[str]:
    yield LINE.format(title, *_columns(results, lambda name, _: name), "aim")
    yield "-" * 86


def _line(
    results: dict[str, dict[str, Any]], what: str, cell: Callable[[str, dict[str, Any]], str], aim: str = ""
) -> str:
    return LINE.format(what, *_columns(results, cell), aim).rstrip()


def _of_workers(key: str) -> Callable[[str, dict[str, Any]], str]:
    return lambda _, result: _number(result["workers"][key])


def _aims(results: dict[str, dict[str, Any]], aims: dict[str, float]) -> str:
    return ", ".join(f"{aims[name]:g} {name}" for name in results)


def _columns(results: dict[str, dict[str, Any]], cell: Callable[[str, dict[str, Any]], str]) -> list[str]:
    cells = [cell(name, result) for name, result in results.items()]
    return cells + [""] * (len(DATABASES) - len(cells))


def _total(spent: dict[str, float | None]) -> float | None:
    """Return the CPU time of this process plus that of the server; SQLite has no server."""
    return (spent["cpu"] or 0.0) + (spent["server"] or 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ratio(value: float | None, floor: float | None) -> str:
    return "-" if value is None or not floor else f"{value / floor:.2f}x"


if __name__ == "__main__":
    sys.exit(main())
