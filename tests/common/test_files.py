"""What is said to be on disk is: in which order files and directories are synced, and what a failure leaves."""

import errno
import os
from pathlib import Path

import pytest

from gameday.common.files import append_lines, replace_file, write_atomically
from gameday.engine.runs import new_run, runs_directory
from gameday.journal.events import Role
from gameday.journal.log import JournalWriter
from gameday.journal.signatures import Signature, add_signature
from tests.journal.test_log import note, planned

type Deed = tuple[str, int]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[Deed]:
    """What is done, in order: `sync` of an inode and the size that it has then, `replace` by an inode."""
    done: list[Deed] = []
    fsync, replace = os.fsync, os.replace

    def record_sync(fd: int) -> None:
        done.append(("sync", os.fstat(fd).st_ino))
        fsync(fd)

    def record_replace(source: Path, target: Path) -> None:
        done.append(("replace", inode(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    return done


def inode(path: Path) -> int:
    return path.stat().st_ino


def refuse(*_arguments: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_file_is_synced_before_it_takes_anothers_place_and_its_directory_after(
    tmp_path: Path, disk: list[Deed]
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert disk == [("sync", inode(path)), ("replace", inode(path)), ("sync", inode(tmp_path))]
    assert path.stat().st_mode & 0o077 == 0  # it may hold secrets


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="Input/output error"):
        replace_file(path, "new")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("file", "old")]


def test_lines_are_synced_and_a_torn_one_takes_none_along(tmp_path: Path, disk: list[Deed]) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"torn")
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        append_lines(fd, b"one\n", "log")
        assert disk == [("sync", inode(path))]
        append_lines(fd, b"two\n", "log")
    finally:
        os.close(fd)
    assert path.read_bytes() == b"torn\none\ntwo\n"


def test_a_part_of_a_line_is_not_taken_for_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "log", os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        with pytest.raises(OSError, match="only a part"):
            append_lines(fd, b"one\n", "log")
    finally:
        os.close(fd)


def test_a_runs_directory_and_its_journal_survive_a_power_cut_from_the_start(tmp_path: Path, disk: list[Deed]) -> None:
    """A plan on disk is of no use in a directory that is not."""
    run = new_run(tmp_path, "shop")
    writer = JournalWriter(run.directory)
    runs = runs_directory(tmp_path)
    assert {("sync", inode(path)) for path in (tmp_path, runs.parent, runs, run.directory)} <= set(disk)
    writer.append(note("one"))
    disk.clear()
    writer.append(planned("0.0.0"), sync=True)
    assert disk == [("sync", inode(run.journal))]
    writer.append(note("two"))
    assert len(disk) == 1
    writer.close()
    assert disk == [("sync", inode(run.journal))] * 2


def test_a_signature_is_on_disk(tmp_path: Path, disk: list[Deed]) -> None:
    add_signature(tmp_path, Signature("@ada", Role.BUILDER, 1.0, "0" * 64))
    assert disk == [("sync", inode(tmp_path / "signatures.jsonl")), ("sync", inode(tmp_path))]
