"""The problems that a supervisor detects from reports and the process table, second by second."""

import itertools
import os

import pytest

from sagas.worker.supervision.liveness import Liveness
from sagas.worker.supervision.worker_reports import REPORTS, Report, ReportReader, ReportWriter

PARENT, SENTINEL, MONITOR, PUSHER = 10, 11, 14, 15
WORKERS = [12, 13]
BEFORE_IT_FORKS = {PARENT: 1, SENTINEL: PARENT}
ALL = BEFORE_IT_FORKS | dict.fromkeys([*WORKERS, MONITOR, PUSHER], SENTINEL)


class Scene:
    """A cluster of two workers; its supervisor checks it every second."""

    def __init__(self):
        self.now = 1000.0
        self.living = dict(ALL)
        self.liveness = Liveness(self.now)
        self.wake_ups = itertools.count()
        self.report(Report("sentinel", SENTINEL, workers=len(WORKERS)))

    def report(self, *reports):
        for report in reports:
            self.liveness.record_report(report, self.now)

    def check(self, *, overdue=False):
        self.liveness.record_processes(dict(self.living), self.now)
        return self.liveness.problem(self.now, overdue=overdue)

    def begin(self):
        """Let all processes report."""
        self.report(Report("pusher", PUSHER), *map(worker, WORKERS))
        assert self.check() == ""
        assert self.liveness.has_worked

    def problem_within(self, seconds, *, overdue=False, reports=lambda: [worker(pid) for pid in WORKERS]):
        """Return the first problem within `seconds`; the processes send these reports every second."""
        for _ in range(seconds):
            self.now += 1.0
            self.report(*reports())
            if problem := self.check(overdue=overdue):
                return problem
        return ""

    def replace(self, old, new):
        """Let one worker leave, and let the sentinel fork another."""
        self.report(worker(old, left=True))
        del self.living[old]
        self.living[new] = SENTINEL


def worker(pid, **fields):
    return Report("worker", pid, **{"name": f"host:{pid}:0", "free": 4} | fields)


@pytest.fixture
def scene():
    return Scene()


def test_an_unchanged_cluster_has_no_problem(scene):
    scene.begin()

    assert scene.problem_within(3600) == ""
    assert scene.liveness.monitor == MONITOR
    assert scene.liveness.possible_workers == set(WORKERS)


def test_a_sentinel_that_hangs_before_it_forks_is_detected(scene):
    scene.living = dict(BEFORE_IT_FORKS)

    assert scene.problem_within(60, reports=list) == ""
    assert scene.problem_within(1, reports=list) == "it has had too few processes for 60 s"


def test_workers_that_hang_before_they_report_are_detected(scene):
    scene.report(Report("pusher", PUSHER))

    assert scene.problem_within(61, reports=list) == ""
    assert scene.problem_within(1, reports=list).endswith(" has not reported its role for 60 s")


def test_a_worker_that_has_not_reported_is_not_taken_for_the_monitor(scene):
    scene.living = BEFORE_IT_FORKS | {WORKERS[0]: SENTINEL}
    scene.report(worker(WORKERS[0]))
    scene.check()
    scene.living |= {WORKERS[1]: SENTINEL, MONITOR: SENTINEL}
    scene.check()
    scene.living |= {PUSHER: SENTINEL}
    scene.report(Report("pusher", PUSHER))
    scene.check()
    assert not scene.liveness.monitor

    scene.report(worker(WORKERS[1]))
    assert scene.check() == ""
    assert scene.liveness.monitor == MONITOR


def test_a_new_worker_that_hangs_is_detected_while_others_are_replaced(scene):
    scene.begin()
    scene.replace(WORKERS[1], 100)
    others = itertools.chain([WORKERS[0]], itertools.count(101))
    other = next(others)

    for _ in range(6):
        new = next(others)
        scene.replace(other, new)
        other = new
        assert scene.problem_within(10, reports=lambda other=other: [worker(other)]) == ""
    problem = scene.problem_within(10, reports=lambda: [worker(other)])

    assert problem == "process 100 has not reported its role for 60 s"


def test_workers_replaced_at_each_check_are_no_problem(scene):
    scene.begin()
    one, other = WORKERS
    for new in range(100, 300, 2):
        scene.replace(one, new)
        assert scene.problem_within(1, reports=lambda other=other: [worker(other)]) == ""
        scene.replace(other, new + 1)
        assert scene.problem_within(1, reports=lambda new=new: [worker(new)]) == ""
        one, other = new, new + 1

    assert scene.liveness.possible_workers == {one, other}
    assert scene.liveness.names == [f"host:{one}:0"]


@pytest.mark.parametrize("victim", [SENTINEL, PUSHER, MONITOR, *WORKERS])
def test_a_process_that_died_is_a_problem(scene, victim):
    scene.begin()

    del scene.living[victim]

    assert scene.check() in {f"process {victim} died", *(f"process {pid} has lost its parent" for pid in ALL)}


def test_a_pusher_that_was_replaced_is_a_problem(scene):
    scene.begin()
    del scene.living[PUSHER]
    scene.living[100] = SENTINEL
    scene.report(Report("pusher", 100))

    assert scene.check() == f"process {PUSHER} died"


def test_a_drain_may_be_long_but_not_silent(scene):
    scene.begin()

    assert scene.problem_within(600, reports=lambda: [worker(WORKERS[0]), worker(WORKERS[1], draining=True)]) == ""
    assert scene.liveness.not_draining == {WORKERS[0]}
    problem = scene.problem_within(600, reports=lambda: [worker(WORKERS[0])])

    assert problem == f"worker {WORKERS[1]} has not reported for 60 s"


def test_a_supervisor_that_was_paused_restarts_its_timers(scene):
    scene.begin()
    del scene.living[WORKERS[1]]
    scene.living[100] = SENTINEL
    scene.now += 300

    assert scene.check() == ""
    assert scene.problem_within(100, reports=lambda: [worker(WORKERS[0]), worker(100)]) == ""


def test_workers_that_ignore_wake_ups_for_due_work_are_a_problem(scene):
    scene.begin()

    assert scene.problem_within(10, overdue=True) == ""
    assert (
        scene.problem_within(2, overdue=True)
        == "no worker looked for work for 10 s, although work was due and threads were free"
    )


@pytest.mark.parametrize(
    "reports",
    [
        lambda scene: [worker(WORKERS[0], wake_ups=next(scene.wake_ups)), worker(WORKERS[1])],
        lambda scene: [worker(pid, claiming=True) for pid in WORKERS],
        lambda scene: [worker(pid, free=0) for pid in WORKERS],
        lambda scene: [worker(WORKERS[0], claiming=True)],
    ],
    ids=["finds nothing", "waits in a claim", "is full", "has an old report of free threads"],
)
def test_workers_that_cannot_claim_are_no_problem(scene, reports):
    scene.begin()

    assert scene.problem_within(59, overdue=True, reports=lambda: reports(scene)) == ""


@pytest.fixture
def pipe(monkeypatch):
    """Yield both ends of a pipe: the supervisor reads, the sentinel writes."""
    reader, writer = ReportReader(), ReportWriter()
    monkeypatch.setenv(REPORTS, str(reader.writing_end))
    writer.open()
    yield reader, writer
    reader.close_writing_end()
    reader.close()


def test_the_names_of_many_sagas_get_through(pipe):
    reader, writer = pipe
    sent = [Report("saga", SENTINEL, name="s" * 60 + str(number)) for number in range(500)]

    for report in sent:
        writer.send(report)

    assert reader.read() == sent


def test_a_full_pipe_neither_blocks_nor_splits_a_line(pipe):
    reader, writer = pipe
    sent = [worker(12, wake_ups=number) for number in range(10_000)]

    for report in sent:
        writer.send(report)

    received = reader.read()
    assert received == sent[: len(received)]
    assert 0 < len(received) < len(sent)
    writer.send(worker(13))
    assert reader.read() == [worker(13)]


def test_reports_of_another_version_are_ignored(caplog):
    reader = ReportReader()
    for line in (b'{"role": "worker", "pid": 1, "mood": 7}\n', b"what\n", b'[1]\n{"role": "pus', b'her", "pid": 2}\n'):
        os.write(reader.writing_end, line)
    reader.close_writing_end()

    assert reader.read() == [Report("pusher", 2)]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["report.unreadable"] * 3
    reader.close()
