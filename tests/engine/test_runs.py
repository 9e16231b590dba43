"""Runs: the latest is the one that began last, however soon after another."""

import time
from pathlib import Path

import pytest

from gameday.engine.runs import all_runs, find_run, new_run
from gameday.journal.log import JOURNAL_NAME

SECOND = 1_800_000_000_000_000_000


def test_runs_of_one_second_are_in_the_order_in_which_they_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for after_ns, title in [(0, "zebra"), (20_000_000, "b c"), (999_999_999, "a"), (1_000_000_000, "")]:
        monkeypatch.setattr(time, "time_ns", lambda at=SECOND + after_ns: at)
        run = new_run(tmp_path, title)
        (run.directory / JOURNAL_NAME).touch()
        names.append(run.name)
    assert [run.name for run in all_runs(tmp_path)] == names
    assert find_run(tmp_path, None).name == names[-1]
    assert names[0] == "20270115-080000-zebra-0000"
    assert names[-1] == "20270115-080001-0000"
