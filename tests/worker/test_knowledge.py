"""What a supervisor makes of what it hears and sees, told minute by minute."""

import itertools
import os

import pytest

from sagas.worker.knowledge import Knowledge
from sagas.worker.reports import REPORTS, Line, Report, Reports

PARENT, SENTINEL, MONITOR, PUSHER = 10, 11, 14, 15
WORKERS = [12, 13]
BEFORE_IT_FORKS = {PARENT: 1, SENTINEL: PARENT}
ALL = BEFORE_IT_FORKS | dict.fromkeys([*WORKERS, MONITOR, PUSHER], SENTINEL)


class Scene:
    """A cluster of two workers as its supervisor knows it, which looks every second."""

    def __init__(self):
        self.now = 1000.0
        self.living = dict(ALL)
        self.known = Knowledge(self.now)
        self.bells = itertools.count()
        self.tell(Report("sentinel", SENTINEL, workers=len(WORKERS)))

    def tell(self, *reports):
        for report in reports:
            self.known.hear(report, self.now)

    def look(self, *, overdue=False):
        self.known.see(dict(self.living), self.now)
        return self.known.trouble(self.now, overdue=overdue)

    def begin(self):
        """All tell who they are."""
        self.tell(Report("pusher", PUSHER), *map(worker, WORKERS))
        assert self.look() == ""
        assert self.known.has_worked

    def pass_by(self, seconds, *, overdue=False, tell=lambda: [worker(pid) for pid in WORKERS]):
        """The first trouble within so many seconds, in each of which something is told."""
        for _ in range(seconds):
            self.now += 1.0
            self.tell(*tell())
            if trouble := self.look(overdue=overdue):
                return trouble
        return ""

    def replace(self, old, new):
        """One worker leaves in peace, and the sentinel forks another."""
        self.tell(worker(old, left=True))
        del self.living[old]
        self.living[new] = SENTINEL


def worker(pid, **told):
    return Report("worker", pid, **{"name": f"host:{pid}:0", "free": 4} | told)


@pytest.fixture
def scene():
    return Scene()


def test_a_cluster_that_stays_as_it_is_is_well(scene):
    scene.begin()

    assert scene.pass_by(3600) == ""
    assert scene.known.monitor == MONITOR
    assert scene.known.hands == set(WORKERS)


def test_a_sentinel_that_hangs_before_it_forks_is_found_out(scene):
    scene.living = dict(BEFORE_IT_FORKS)

    assert scene.pass_by(60, tell=list) == ""
    assert scene.pass_by(1, tell=list) == "for 60 s it has had fewer processes than it should"


def test_workers_that_hang_before_they_tell_are_found_out(scene):
    scene.tell(Report("pusher", PUSHER))

    assert scene.pass_by(61, tell=list) == ""
    assert scene.pass_by(1, tell=list).endswith(" has not told for 60 s who it is")


def test_workers_that_do_not_tell_yet_are_not_taken_for_those_who_never_leave(scene):
    scene.living = BEFORE_IT_FORKS | {WORKERS[0]: SENTINEL}
    scene.tell(worker(WORKERS[0]))
    scene.look()
    scene.living |= {WORKERS[1]: SENTINEL, MONITOR: SENTINEL}
    scene.look()
    scene.living |= {PUSHER: SENTINEL}
    scene.tell(Report("pusher", PUSHER))
    scene.look()
    assert not scene.known.monitor

    scene.tell(worker(WORKERS[1]))
    assert scene.look() == ""
    assert scene.known.monitor == MONITOR


def test_a_newborn_that_hangs_is_found_out_although_the_others_come_and_go(scene):
    scene.begin()
    scene.replace(WORKERS[1], 100)
    others = itertools.chain([WORKERS[0]], itertools.count(101))
    other = next(others)

    for _ in range(6):
        new = next(others)
        scene.replace(other, new)
        other = new
        assert scene.pass_by(10, tell=lambda other=other: [worker(other)]) == ""
    trouble = scene.pass_by(10, tell=lambda: [worker(other)])

    assert trouble == "process 100 has not told for 60 s who it is"


def test_workers_that_are_replaced_at_each_look_raise_no_alarm(scene):
    scene.begin()
    one, other = WORKERS
    for new in range(100, 300, 2):
        scene.replace(one, new)
        assert scene.pass_by(1, tell=lambda other=other: [worker(other)]) == ""
        scene.replace(other, new + 1)
        assert scene.pass_by(1, tell=lambda new=new: [worker(new)]) == ""
        one, other = new, new + 1

    assert scene.known.hands == {one, other}
    assert scene.known.names == [f"host:{one}:0"]


@pytest.mark.parametrize("victim", [SENTINEL, PUSHER, MONITOR, *WORKERS])
def test_whoever_dies_is_missed(scene, victim):
    scene.begin()

    del scene.living[victim]

    assert scene.look() in {f"process {victim} died", *(f"process {pid} has lost its parent" for pid in ALL)}


def test_a_pusher_that_has_been_replaced_is_missed(scene):
    scene.begin()
    del scene.living[PUSHER]
    scene.living[100] = SENTINEL
    scene.tell(Report("pusher", 100))

    assert scene.look() == f"process {PUSHER} died"


def test_a_drain_may_last_longer_than_silence_may(scene):
    scene.begin()

    assert scene.pass_by(600, tell=lambda: [worker(WORKERS[0]), worker(WORKERS[1], draining=True)]) == ""
    assert scene.known.unaware == {WORKERS[0]}
    trouble = scene.pass_by(600, tell=lambda: [worker(WORKERS[0])])

    assert trouble == f"worker {WORKERS[1]} has not been seen for 60 s"


def test_a_supervisor_that_was_stopped_itself_takes_no_silence_ill_and_no_lost_farewell(scene):
    scene.begin()
    del scene.living[WORKERS[1]]
    scene.living[100] = SENTINEL
    scene.now += 300

    assert scene.look() == ""
    assert scene.pass_by(100, tell=lambda: [worker(WORKERS[0]), worker(100)]) == ""


def test_free_threads_that_answer_no_bell_although_work_is_due_are_deaf(scene):
    scene.begin()

    assert scene.pass_by(10, overdue=True) == ""
    assert (
        scene.pass_by(2, overdue=True) == "no bell was answered for 10 s, although work was due and threads were free"
    )


@pytest.mark.parametrize(
    "tell",
    [
        lambda scene: [worker(WORKERS[0], answered=next(scene.bells)), worker(WORKERS[1])],
        lambda scene: [worker(pid, ringing=True) for pid in WORKERS],
        lambda scene: [worker(pid, free=0) for pid in WORKERS],
        lambda scene: [worker(WORKERS[0], ringing=True)],
    ],
    ids=["goes and finds nothing", "waits in a claim", "is full", "told last that it was free, some time ago"],
)
def test_who_cannot_take_what_is_due_is_not_deaf(scene, tell):
    scene.begin()

    assert scene.pass_by(59, overdue=True, tell=lambda: tell(scene)) == ""


@pytest.fixture
def pipe(monkeypatch):
    """Both ends of a pipe as supervisor and sentinel have them."""
    reports, line = Reports(), Line()
    monkeypatch.setenv(REPORTS, str(reports.line))
    line.take_up()
    yield reports, line
    reports.handed_over()
    reports.close()


def test_the_names_of_many_sagas_get_through(pipe):
    reports, line = pipe
    told = [Report("saga", SENTINEL, name="s" * 60 + str(number)) for number in range(500)]

    for report in told:
        line.tell(report)

    assert reports.read() == told


def test_a_full_pipe_neither_holds_anybody_up_nor_tears_a_line(pipe):
    reports, line = pipe
    told = [worker(12, answered=number) for number in range(10_000)]

    for report in told:
        line.tell(report)

    heard = reports.read()
    assert heard == told[: len(heard)]
    assert 0 < len(heard) < len(told)
    line.tell(worker(13))
    assert reports.read() == [worker(13)]


def test_what_another_version_says_is_passed_over(caplog):
    reports = Reports()
    for said in (b'{"role": "worker", "pid": 1, "mood": 7}\n', b"what\n", b'[1]\n{"role": "pus', b'her", "pid": 2}\n'):
        os.write(reports.line, said)
    reports.handed_over()

    assert reports.read() == [Report("pusher", 2)]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["report.unreadable"] * 3
    reports.close()
