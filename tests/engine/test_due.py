"""What is due, late, missed or kept back; and that one of many processes at the same moment takes it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gameday.engine.claims import FileClaims
from gameday.engine.freezes import Freezes
from gameday.engine.schedule import (
    GRACE_S,
    KIND,
    ClockError,
    Scheduled,
    State,
    agree_on_now,
    look_at_all,
    take,
)
from gameday.spec.model import Blackout, Schedule

DUE = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)  # a Friday, 10:00 in Berlin
SEEN = timedelta(days=-1)
NAME = "experiments/g.yaml"


class Taken(msgspec.Struct):
    due_at: float
    outcome: str | None = None
    run: str | None = None


class Memory:
    """The store's promise, in memory."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], dict[float, Taken]] = {}

    def claim(self, kind: str, name: str, due_at: float, holder: str) -> bool:
        taken = Taken(due_at)
        return self.known.setdefault((kind, name), {}).setdefault(due_at, taken) is taken

    def settle(self, kind: str, name: str, due_at: float, outcome: str, run: str | None) -> None:
        self.known[kind, name][due_at].outcome = outcome

    def now(self) -> float:
        return DUE.timestamp()

    def claims(self, kind: str, name: str, since: float) -> list[Taken]:
        return [taken for at, taken in self.known.get((kind, name), {}).items() if at >= since]


class Clock:
    """Calls of `gameday schedule run`, each so long after the game day was due."""

    def __init__(self, root: Path, catch_up_s: float | None = None, *blackouts: Blackout) -> None:
        schedule = Schedule("0 10 * * FRI", "Europe/Berlin", 7200.0, catch_up_s=catch_up_s)
        self.item = Scheduled(NAME, "Checkout game day", schedule, blackouts)
        self.claims, self.root = Memory(), root

    def tick(self, late: timedelta) -> list[State]:
        """What was taken."""
        found = look_at_all([self.item], Freezes(self.root), self.claims, DUE + late, "me")
        return [occurrence.state for occurrence in found if take(occurrence, self.claims, "me")]

    def outcome(self) -> str | None:
        (taken,) = self.claims.claims(KIND, NAME, 0.0)
        return taken.outcome


def test_it_is_taken_once(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    found = [
        clock.tick(late) for late in (SEEN, timedelta(seconds=-1), timedelta(0), timedelta(0), timedelta(minutes=1))
    ]
    assert found == [[], [], [State.DUE], [], []]
    assert clock.tick(timedelta(days=7)) == [State.DUE]


def test_a_schedule_that_never_ran_starts_nothing_of_the_past(tmp_path: Path) -> None:
    clock = Clock(tmp_path, 6 * 3600.0)
    assert clock.tick(timedelta(hours=1)) == []
    assert clock.tick(timedelta(hours=2)) == []
    assert clock.tick(timedelta(days=7)) == [State.DUE]
    assert Clock(tmp_path).tick(timedelta(seconds=40)) == [State.DUE], "a Pod that is the first to ask"


@pytest.mark.parametrize(
    ("catch_up_s", "hours", "expected"),
    [(None, 1, State.MISSED), (21600.0, 1, State.DUE), (21600.0, 5.9, State.DUE), (21600.0, 6.1, State.MISSED)],
)
def test_missed(tmp_path: Path, catch_up_s: float | None, hours: float, expected: State) -> None:
    clock = Clock(tmp_path, catch_up_s)
    clock.tick(SEEN)
    assert clock.tick(timedelta(hours=hours)) == [expected]
    assert (clock.outcome() or "").startswith("missed") is (expected is State.MISSED)


def test_a_blackout_is_the_end_of_it(tmp_path: Path) -> None:
    clock = Clock(tmp_path, None, Blackout(DUE.date(), DUE.date()))
    assert clock.tick(timedelta(0)) == [State.BLACKOUT]
    assert "blackout 2026-11-27" in (clock.outcome() or "")
    assert clock.tick(timedelta(minutes=1)) == []


@pytest.mark.parametrize(("day", "expected"), [(0, State.BLACKOUT), (1, State.BLACKOUT), (2, State.DUE)])
def test_caught_up_with_neither_out_of_a_blackout_nor_into_one(tmp_path: Path, day: int, expected: State) -> None:
    """16 hours late, on the next day: neither may lie in one."""
    date = (DUE + timedelta(days=day)).date()
    clock = Clock(tmp_path, 86400.0, Blackout(date, date))
    clock.tick(SEEN)
    assert clock.tick(timedelta(hours=16)) == [expected]


def test_it_does_not_run_into_a_blackout(tmp_path: Path) -> None:
    """At 23:00 for two hours."""
    tomorrow = (DUE + timedelta(days=1)).date()
    clock = Clock(tmp_path, None, Blackout(tomorrow, tomorrow))
    clock.item = msgspec.structs.replace(clock.item, schedule=Schedule("0 23 * * FRI", "Europe/Berlin", 7200.0))
    clock.tick(SEEN)
    assert clock.tick(timedelta(hours=13)) == [State.BLACKOUT]


def test_a_calendar_that_cannot_be_read_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "freeze.ics"
    clock = Clock(tmp_path, None, Blackout(calendar=str(path)))
    assert clock.tick(timedelta(0)) == []
    path.write_bytes(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nEND:VCALENDAR\r\n")
    assert clock.tick(timedelta(minutes=1)) == [State.DUE]


def test_one_of_many_processes_takes_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gameday.engine.claims import FileClaims\n"
        "sys.stdin.read()\n"
        f"print(FileClaims(Path(sys.argv[1])).claim('schedule', {NAME!r}, {DUE.timestamp()}, sys.argv[2]))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    for child in children:  # all are let go at the same moment
        assert child.stdin
        child.stdin.close()
        child.stdin = None
    answers = [child.communicate(timeout=60)[0].strip() for child in children]
    assert sorted(answers) == ["False"] * 5 + ["True"]
    (claim,) = FileClaims(tmp_path).claims(KIND, NAME, 0.0)
    assert claim.holder == str(answers.index("True"))


def test_a_little_wrong_a_clock_may_be() -> None:
    claims = Memory()
    for own_s in (-GRACE_S, 0.0, GRACE_S):
        assert agree_on_now(claims, DUE.timestamp() + own_s) == DUE


@pytest.mark.parametrize(("own_s", "said"), [(-GRACE_S - 1, "5m1s behind"), (26 * 3600.0, "26h ahead of")])
def test_a_clock_that_is_wrong_is_not_gone_by(own_s: float, said: str) -> None:
    with pytest.raises(ClockError, match=f"this machine's clock is {said} the store's"):
        agree_on_now(Memory(), DUE.timestamp() + own_s)
