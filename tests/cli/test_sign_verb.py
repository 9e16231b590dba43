"""Signatures: of both sides, of what was there, and void once that has changed."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli.sign import command
from gameday.journal.events import Role
from gameday.journal.log import JOURNAL_NAME
from gameday.journal.signatures import NAME, read_signatures

FIXTURES = Path(__file__).parent.parent / "journal" / "fixtures"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / ".gameday" / "runs" / "20260306-094000-checkout-3c4d"
    directory.mkdir(parents=True)
    shutil.copy(FIXTURES / "format-1-people.jsonl", directory / JOURNAL_NAME)
    monkeypatch.chdir(tmp_path)
    return directory


def sign(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def test_both_sides(run: Path) -> None:
    assert sign().exit_code == 1
    assert sign("--role", "builder", "--author", "@ada").exit_code == 0
    half = sign()
    assert (half.exit_code, "not signed by: sre" in half.output) == (1, True)
    assert sign("--role", "sre", "--author", "@grace", "--comment", "once the queue has a panel").exit_code == 0
    whole = sign()
    assert whole.exit_code == 0
    assert "@grace (sre)" in whole.output
    assert "once the queue has a panel" in whole.output
    assert "is signed by both sides" in whole.output


def test_a_journal_that_has_changed_voids_it(run: Path) -> None:
    sign("--role", "builder", "--author", "@ada")
    sign("--role", "sre", "--author", "@grace")
    with (run / JOURNAL_NAME).open("a") as file:
        file.write('{"event":"note-added","at":1.0,"author":"@x","text":"late"}\n')
    assert [one.is_valid for one in read_signatures(run)] == [False, False]
    shown = sign()
    assert (shown.exit_code, shown.output.count(": void")) == (1, 2)
    sign("--role", "sre", "--author", "@grace")  # once more, of what is there now
    assert {one.signature.author: one.is_valid for one in read_signatures(run)} == {"@ada": False, "@grace": True}


def test_one_person_is_not_both(run: Path) -> None:
    sign("--role", "builder", "--author", "@ada")
    refused = sign("--role", "sre", "--author", "@ada")
    assert (refused.exit_code, "are two people" in refused.output) == (3, True)
    assert [one.signature.role for one in read_signatures(run)] == [Role.BUILDER]


def test_what_has_not_ended_is_not_signed(run: Path) -> None:
    lines = (run / JOURNAL_NAME).read_text().splitlines(keepends=True)
    (run / JOURNAL_NAME).write_text("".join(lines[:-1]))
    refused = sign("--role", "sre")
    assert (refused.exit_code, "has not ended" in refused.output) == (3, True)
    assert not (run / NAME).exists()


def test_damaged_lines_are_passed_over(run: Path) -> None:
    sign("--role", "sre", "--author", "@grace")
    with (run / NAME).open("ab") as file:
        file.write(b'{"author": 3}\n\xff\n{"torn')
    assert [one.signature.author for one in read_signatures(run)] == ["@grace"]
