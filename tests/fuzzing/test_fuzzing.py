"""A small share of the fuzzing campaign (benchmarks/fuzz.py): whatever stands in a file, there is no traceback."""

import random
import sys
from pathlib import Path

import pytest

from tests.fuzzing.targets import TARGETS, Target, without_killing

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from fuzz import Count, fuzz, jobs_for

INPUTS = 3  # for each unit of a target's weight


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_is_changed_is_accepted_to_begin_with(target: Target, tmp_path: Path) -> None:
    with without_killing():
        for number, seed in enumerate(target.seeds):
            assert target.feed(tmp_path / str(number), seed, random.Random(1)), seed


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_ends_in_a_traceback(target: Target) -> None:
    count = fuzz(target, "test", INPUTS * target.weight)
    assert count.failures == {}
    assert count.inputs == INPUTS * target.weight
    assert count.accepted < count.inputs or target.name in ("a run's lock", "journal")  # of which a part always reads


def test_a_traceback_is_seen_and_so_is_what_takes_long() -> None:
    def feed(_root: Path, data: bytes, _dice: random.Random) -> bool:
        raise KeyError(data)

    count = fuzz(Target("broken", (b"a", b"b"), lambda dice, seeds: dice.choice(seeds), feed), "test", 10)
    assert count.failed == 10
    (text, _), *more = count.failures.values()
    assert "KeyError" in text
    assert more == []
    total = Count()
    total.add(count)
    total.add(Count(inputs=1, accepted=1, slowest_s=3.0, slowest=b"slow"))
    assert (total.inputs, total.accepted, total.failed, total.slowest) == (11, 1, 10, b"slow")


def test_every_kind_gets_its_share() -> None:
    jobs = jobs_for(1000, 1, None)
    assert {name for name, _, _ in jobs} == {target.name for target in TARGETS}
    assert 1000 <= sum(inputs for _, _, inputs in jobs) <= 1000 + len(TARGETS)
    assert len({seed + name for name, seed, _ in jobs}) == len(jobs)
