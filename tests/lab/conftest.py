"""One real lab for all tests that leave it as they found it."""

from collections.abc import Iterator

import pytest
from labtools import RunningLab

from gameday.lab import Lab
from gameday.lab.state import Paths


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    root = tmp_path_factory.mktemp("shop")
    lab = Lab(root)
    try:
        lab.up(signals=False)
        yield RunningLab(lab, lab.up(), Paths(root / ".gameday" / "lab"))
    finally:
        lab.down()
