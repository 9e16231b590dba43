"""What the tests of the spec share: writing files, and stating mistakes as `line:column: found …, expected …`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.spec.location import SpecError


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def mistakes_of(read: Callable[[], object]) -> list[str]:
    """Each mistake without its path; none when there is none."""
    try:
        read()
    except SpecError as error:
        return [str(mistake).removeprefix(f"{mistake.location.path}:") for mistake in error.mistakes]
    return []
