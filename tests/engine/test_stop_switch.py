"""The stop switch by itself: what counts as engaged, and what a run that watches it sees."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from gameday.engine.stop_switch import StopSwitch, SwitchWatch


def test_what_counts_as_engaged(tmp_path: Path) -> None:
    path = tmp_path / "there" / "stop"
    switch, shared = StopSwitch(path, shared=False), StopSwitch(path, shared=True)
    assert switch.reason() is None, "nobody has ever engaged it"
    assert "is missing" in (shared.reason() or "")
    path.parent.mkdir()
    assert shared.reason() is None
    path.touch()
    assert "is engaged" in (switch.reason() or "")
    path.write_text("an incident\nis on")
    assert "an incident" in (switch.reason() or "")
    path.unlink()
    path.mkdir()
    assert "cannot be read" in (switch.reason() or "")


def test_the_first_reason_stands_and_everybody_may_read_it(tmp_path: Path) -> None:
    switch = StopSwitch(tmp_path / "stop", shared=False)
    assert switch.engage("the first") == "the first"
    assert switch.engage("the second") == "the first"
    assert switch.path.stat().st_mode & 0o444 == 0o444
    assert (switch.release(), switch.release()) == (True, False)
    assert switch.reason() is None


class Said:
    """A switch that is engaged at the second look alone."""

    path = Path("stop")

    def __init__(self) -> None:
        self._reasons = iter([None, "stop"])

    def reason(self) -> str | None:
        return next(self._reasons, None)


@pytest.fixture
def watch() -> SwitchWatch:
    return SwitchWatch(Said())  # type: ignore[arg-type]


def test_once_engaged_it_stays_so_for_the_run(watch: SwitchWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been released before anybody asked, and the run has seen it all the same."""
    looks = iter([False, False, False, False, True])
    monkeypatch.setattr(watch, "_ended", SimpleNamespace(is_set=lambda: next(looks), wait=lambda _s: None))
    watch._look()
    assert watch.reason == "stop"


def test_one_that_nobody_could_look_at_counts_as_engaged(watch: SwitchWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch.reason is None
    now = watch._looked_at
    monkeypatch.setattr("gameday.engine.stop_switch.time", SimpleNamespace(monotonic=lambda: now + 6))
    assert watch.reason == "the stop switch stop could not be looked at for 6 s"


def test_a_first_look_that_never_comes_is_a_reason(watch: SwitchWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.stop_switch._FIRST_LOOK_S", 0.0)
    said = asyncio.run(asyncio.wait_for(watch.first_look(), 30))
    assert "could not be looked at within" in (said or "")
