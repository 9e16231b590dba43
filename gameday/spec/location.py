"""Where in a user's file something stands, and what is wrong with it there."""

from pathlib import Path

import msgspec


class Location(msgspec.Struct, frozen=True, order=True):
    """A place in a file; line and column count from 1."""

    path: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong: where, what was found, what was expected, and the nearest valid spelling if any."""

    location: Location
    found: str
    expected: str
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        return f"{self.location}: found {self.found}, expected {self.expected}{hint}"


class SpecError(Exception):
    """What the user wrote cannot be used. Carries every mistake found, in the order of the file."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
