"""Signatures under a run: void once a byte of the journal has changed, and never in the way."""

import hashlib
from pathlib import Path

import pytest

from gameday.journal.events import Role
from gameday.journal.log import JOURNAL_NAME
from gameday.journal.signatures import NAME, Signature, add_signature, journal_hash, read_signatures


def sign(directory: Path, author: str, role: Role = Role.BUILDER, comment: str = "") -> None:
    add_signature(directory, Signature(author, role, 1.0, journal_hash(directory), comment))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A journal of more than is read at once."""
    (tmp_path / JOURNAL_NAME).write_bytes(b"x" * (3 * 1024 * 1024 + 1))
    return tmp_path


def test_a_change_of_the_last_byte_voids_it(run: Path) -> None:
    path = run / JOURNAL_NAME
    data = path.read_bytes()
    assert journal_hash(run) == hashlib.sha256(data).hexdigest()
    sign(run, "@ada")
    assert [signed.is_valid for signed in read_signatures(run)] == [True]
    path.write_bytes(data[:-1] + b"y")
    assert [signed.is_valid for signed in read_signatures(run)] == [False]
    path.unlink()
    assert [signed.is_valid for signed in read_signatures(run)] == [False]


def test_the_last_word_of_each_in_each_role_counts_and_what_is_damaged_is_passed_over(run: Path) -> None:
    sign(run, "@ada", comment="first")
    sign(run, "@bob")
    with (run / NAME).open("ab") as file:
        file.write(b'{"author":"\xff"}\n[]\n')
    sign(run, "@ada", Role.SRE)
    sign(run, "@ada", comment="second")
    found = [(item.signature.author, item.signature.role, item.signature.comment) for item in read_signatures(run)]
    assert found == [("@bob", Role.BUILDER, ""), ("@ada", Role.SRE, ""), ("@ada", Role.BUILDER, "second")]


def test_a_file_without_end_is_not_read(run: Path) -> None:
    sign(run, "@ada")
    with (run / NAME).open("ab") as file:
        file.truncate(1024 * 1024 + 1)
    assert read_signatures(run) == ()
