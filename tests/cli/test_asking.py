"""Questions at the terminal: what counts as a yes, and what ends them."""

import io

import click
import pytest

from gameday.cli.asking import confirm


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("y\n", True), ("YES \n", True), ("n\n", False), ("no\n", False), ("\n", False), ("yep\nja\ny\n", True)],
)
def test_answers(typed: str, wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert confirm("Run it?") is wanted
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("Run it? [y/N]: ") == typed.count("\n")
    assert ("found `ja`, expected y or n" in printed.err) is ("ja" in typed)


def test_nobody_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(click.Abort):
        confirm("Run it?")
