"""Claims on a file: one of many takes it, also when others are killed in the middle; torn lines are passed over."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gameday.engine.claims import FileClaims

ROUNDS = 40
# Each goes through the same times, and says which were its own, as soon as they are.
CLAIMER = """
import sys
from pathlib import Path
from gameday.engine.claims import FileClaims
claims = FileClaims(Path(sys.argv[1]))
sys.stdin.readline()
for due_at in range(int(sys.argv[2])):
    if claims.claim("schedule", "g.yaml", float(due_at), "somebody"):
        print(due_at, flush=True)
"""


def start(root: Path, rounds: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CLAIMER, str(root), str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def release(claimer: "subprocess.Popen[str]") -> None:
    assert claimer.stdin
    claimer.stdin.write("\n")
    claimer.stdin.flush()


def test_killed_claimers_leave_no_lock_and_take_nothing_twice(tmp_path: Path) -> None:
    """Four at the same times, of which two are killed at some moment: every time is taken, and none by two."""
    claimers = [start(tmp_path, ROUNDS) for _ in range(4)]
    try:
        for claimer in claimers:
            release(claimer)
        path = FileClaims(tmp_path).path
        for number, victim in enumerate(claimers[:2], 1):
            while not path.exists() or path.read_bytes().count(b"\n") < number * ROUNDS // 4:
                time.sleep(0.001)
            victim.send_signal(signal.SIGKILL)
        outputs = [claimer.communicate(timeout=60)[0] for claimer in claimers]
    finally:
        for claimer in claimers:
            claimer.kill()
    assert [claimer.returncode for claimer in claimers[2:]] == [0, 0]
    said = [int(line) for output in outputs for line in output.splitlines()]
    assert len(said) == len(set(said)), "taken twice"
    kept = [claim.due_at for claim in FileClaims(tmp_path).claims("schedule", "g.yaml", 0.0)]
    assert kept == list(range(ROUNDS))
    assert len(kept) - len(said) <= 2, "each that was killed may have taken one without a word"


def test_a_lock_whose_holder_is_stopped_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    from gameday.engine import claims as module
    from gameday.engine.locks import LockHeldError

    claims = FileClaims(tmp_path)
    assert claims.claim("schedule", "g.yaml", 1.0, "me")
    monkeypatch.setattr(module, "_WAIT_S", 0.05)
    descriptor = os.open(claims.path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(LockHeldError):
            claims.claim("schedule", "g.yaml", 2.0, "me")
    finally:
        os.close(descriptor)
    assert claims.claim("schedule", "g.yaml", 2.0, "me")


def test_what_is_torn_or_foreign_is_passed_over(tmp_path: Path) -> None:
    claims = FileClaims(tmp_path)
    assert claims.claims("schedule", "g.yaml", 0.0) == ()
    assert not claims.path.exists(), "to ask changes nothing"
    assert claims.claim("schedule", "g.yaml", 1.0, "me")
    whole = claims.path.read_bytes()
    torn = json.dumps({"at": 0, "kind": "schedule", "name": "g.yaml", "due_at": 2.0, "holder": "it"}).encode()[:-9]
    claims.path.write_bytes(whole + b"\xff\xfe\n[1]\n" + torn)
    assert claims.claim("schedule", "g.yaml", 2.0, "me"), "who wrote half of a line has never acted on it"
    assert not claims.claim("schedule", "g.yaml", 1.0, "you")
    assert claims.claim("schedule", "other.yaml", 1.0, "you")
    assert claims.claim("another", "g.yaml", 1.0, "you")
    claims.settle("schedule", "g.yaml", 1.0, "not started", None)
    claims.settle("schedule", "g.yaml", 1.0, "everything held", "run-1")
    found = claims.claims("schedule", "g.yaml", 0.0)
    assert [(one.due_at, one.holder, one.outcome, one.run) for one in found] == [
        (1.0, "me", "everything held", "run-1"),
        (2.0, "me", None, None),
    ]
    assert [one.due_at for one in claims.claims("schedule", "g.yaml", 1.5)] == [2.0]
