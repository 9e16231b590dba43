"""A project with four sessions, and its store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.history.store import Store, open_store
from gameday.journal.events import Verdict
from tests.cli.test_history_verb import write

URL = "sqlite:///.gameday/history.db"


def fill(root: Path) -> None:
    """Two good sessions, one in which all is worse, and one that was aborted, of another service elsewhere."""
    write(root, 0, fires_after=4.0)
    write(root, 1, fires_after=6.0, recovers=4.0)
    write(root, 2, Verdict.WEAKNESS, fires_after=12.0, recovers=40.0, finding="It did not hold")
    write(root, 3, Verdict.ABORTED, fires_after=None, environment="lab", service="cart", path="experiments/b.yaml")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gameday.yaml").write_text(f"project: shop\nhistory: {URL}\n")
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(shop: Path) -> Iterator[Store]:
    opened = open_store(URL, shop)
    yield opened
    opened.close()
