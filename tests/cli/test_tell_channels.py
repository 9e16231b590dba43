"""What channels are told once the report is written."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gameday.cli.channels import tell_channels
from gameday.spec.location import SpecError
from gameday.spec.project import load_project
from tests.report import journals


class Told:
    """In place of a ChannelSink."""

    name = "told"

    def __init__(self, answer: str = "") -> None:
        self.answer = answer
        self.link: str | None = None
        self.pictures: list[Any] = []

    def report(self, detail: Any, pictures: Callable[[], Sequence[Any]], seconds: float) -> str:
        self.link, self.pictures = detail.link, list(pictures())
        return self.answer


@pytest.fixture
def result(tmp_path: Path) -> Any:
    directory = tmp_path / "20260306-100000-checkout-ab12"
    journals.rich(directory)
    return SimpleNamespace(run=SimpleNamespace(directory=directory))


def test_an_address_where_there_is_one(result: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Told(), Told("token_revoked")
    path = Path("/somewhere/reports/a day.html")
    tell_channels([first, second], result, path, "https://reports.example.com/gameday/")  # type: ignore[list-item]
    assert first.link == second.link == "https://reports.example.com/gameday/a%20day.html"
    assert first.pictures
    assert all(one.png.startswith(b"\x89PNG") and one.alt for one in first.pictures)
    assert first.pictures[0] is second.pictures[0], "they are drawn once"
    assert "told: token_revoked" in capsys.readouterr().err


def test_else_the_path_and_the_machine(result: Any) -> None:
    told = Told()
    tell_channels([told], result, Path("/somewhere/day.html"), None)  # type: ignore[list-item]
    assert told.link
    assert told.link.endswith(":/somewhere/day.html")


def test_the_address_is_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "gameday.yaml").write_text("report-url: https://reports.example.com/gameday\n")
    assert load_project(tmp_path).report_url == "https://reports.example.com/gameday/"
    (tmp_path / "gameday.yaml").write_text("report-url: reports\n")
    with pytest.raises(SpecError, match="1:13: found `reports`, expected a URL such as https://reports"):
        load_project(tmp_path)
