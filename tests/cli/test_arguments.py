"""What is no text on the command line is said in one line, before anything is done with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VERBS = (
    ("actions", "add"),
    ("note",),
    ("mark", "detected"),
    ("sign", "--role", "sre", "--comment"),
    ("check",),
    ("run",),
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("word", [b"bad \xff byte", b"\xed\xa0\x80"], ids=["no UTF-8", "half a character"])
def test_bytes_that_are_no_text(verb: tuple[str, ...], word: bytes, tmp_path: Path) -> None:
    command = [os.fsencode(part) for part in (sys.executable, "-m", "gameday.cli.main", *verb)]
    done = subprocess.run([*command, word], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: argument {len(verb) + 1}: found {word!r}, expected text in utf-8\n"
    assert list(tmp_path.iterdir()) == []
