"""Who has paired before, from journals of which only two lines are read; and that a session goes by it."""

import asyncio
import sys
import time
from pathlib import Path

import msgspec
import pytest

from gameday.common.processes import ProcessRef
from gameday.engine.pairings import pair_session, past_sessions
from gameday.engine.runs import new_run
from gameday.engine.session import run_session
from gameday.journal.events import (
    FORMAT,
    ExperimentInfo,
    NoteAdded,
    SessionEnded,
    SessionStarted,
    Verdict,
)
from gameday.journal.log import JournalWriter
from gameday.people import Pair, PastSession
from gameday.spec.model import People

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import EXPERIMENT, PretendSystem, events_of

T0 = 1_772_791_200.0
ADA = ("@ada", "@grace")


def keep(
    root: Path, *pairs: tuple[str | None, str | None], at: float = T0, verdict: Verdict | None = Verdict.HELD
) -> Path:
    """A run's journal; without a verdict, of one that has not ended."""
    run = new_run(root, f"run {at:.0f}")
    writer = JournalWriter(run.directory)
    infos = tuple(
        ExperimentInfo(title="t", path="a.yaml", builder=builder, sre=sre, document={"x": "y" * 1000})
        for builder, sre in pairs
    )
    writer.append(
        SessionStarted(
            at=at, format=FORMAT, gameday="", session=run.name, kind="game-day", title="t", path="d.yaml",
            environment="lab", host="", runner=ProcessRef(1, "1"), experiments=infos,
        )
    )  # fmt: skip
    for _ in range(50):
        writer.append(NoteAdded(at=at + 1, author="@x", text="z" * 2000))
    if verdict is not None:
        writer.append(SessionEnded(at=at + 2, verdict=verdict, exit_code=verdict.exit_code, reason=""))
    writer.close()
    return run.journal


def test_what_was(tmp_path: Path) -> None:
    keep(tmp_path, ADA, ("@lin", None))
    keep(tmp_path, ("@lin", "@ken"), at=T0 + 1, verdict=None)  # its runner died, or it goes on
    keep(tmp_path, ADA, at=T0 + 2, verdict=Verdict.NOT_STARTED)
    keep(tmp_path, (None, None), at=T0 + 3)
    keep(tmp_path, ADA, at=T0 + 4, verdict=Verdict.ABORTED)
    found = past_sessions(tmp_path)
    assert sorted(found, key=lambda session: session.at) == [
        PastSession(T0, (Pair(*ADA), Pair("@lin", None))),
        PastSession(T0 + 1, (Pair("@lin", "@ken"),)),
        PastSession(T0 + 4, (Pair(*ADA),)),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\xff\xfe", b"{", b"[" * 100_000, b'{"event":"session-started"}\n',
     b'{"event":"note-added","at":1}\n', b'{"event":"session-started","at":1,"experiments":[{"builder":3}]}\n'],
)  # fmt: skip
def test_damaged_journals_are_passed_over(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, ADA).write_bytes(content)
    keep(tmp_path, ("@lin", "@ken"), at=T0 + 1)
    assert [session.pairs for session in past_sessions(tmp_path)] == [(Pair("@lin", "@ken"),)]


def test_a_first_line_of_a_newer_gameday(tmp_path: Path) -> None:
    keep(tmp_path).write_text(
        '{"event":"session-started","at":5,"new":[1],"experiments":[{"builder":"@ada","sre":"@grace","x":{}}]}\n'
    )
    assert past_sessions(tmp_path) == (PastSession(5.0, (Pair(*ADA),)),)


def test_a_project_without_runs(tmp_path: Path) -> None:
    people = People(builders=("@ada",), sres=("@grace",))
    [found] = pair_session(people, 1, tmp_path)
    assert found.reason == "@ada and @grace have not met before"
    assert pair_session(People(), 2, tmp_path) == (Pair(reason="nobody is named"),) * 2


def test_long_journals_are_not_read_through(tmp_path: Path) -> None:
    """A gibibyte of them, most of which is no data on the disk, takes no longer than their first and last lines."""
    for number in range(8):
        journal = keep(tmp_path, ADA, at=T0 + number)
        first = journal.read_bytes().split(b"\n", 1)[0]
        with journal.open("wb") as file:
            file.write(first + b"\n")
            file.truncate(128 * 1024 * 1024)
    began = time.monotonic()
    assert len(past_sessions(tmp_path)) == 8
    assert time.monotonic() - began < 1.0  # to read them takes some seconds


def test_sessions_go_by_it(tmp_path: Path) -> None:
    """Two people on each side: after the first session, the other two."""
    system = PretendSystem(tmp_path)
    people = People(builders=("@ada", "@lin"), sres=("@grace", "@ken"))
    session = msgspec.structs.replace(system.session(EXPERIMENT), people=people)
    found = []
    for _ in range(2):
        result = asyncio.run(run_session(session, []))
        [started] = events_of(result.run.directory, SessionStarted)
        found.append([(info.builder, info.sre) for info in started.experiments])
    assert found == [[("@ada", "@grace")], [("@lin", "@ken")]]
