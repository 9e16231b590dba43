"""A source of dashboards that keeps the notes it takes as lines of `notes.jsonl` in the directory of its URL.

`notes-behaviour.json` there says what becomes of the first request of a kind, of the second, and so on, the last word
holding for all further ones: "taken", "hang" (it is never answered), or the text with which it is refused. Each request
is a line of `notes-asked.log`.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gameday.coverage.dashboards import Annotation, DashboardError, Named, Window
from gameday.journal.events import DashboardInfo

POST, LIST, REMOVE = "post", "list", "remove"


class Notes:
    """Takes notes, and has no dashboards."""

    def __init__(self, config: object) -> None:
        self._directory = Path(urlsplit(config.url).path)  # type: ignore[attr-defined]

    def knows(self, name: str) -> bool:
        return False

    async def examine(self, named: Sequence[Named], service: str | None, window: Window) -> tuple[DashboardInfo, ...]:
        return ()

    async def close(self) -> None:
        return None

    async def annotate(self, annotation: Annotation) -> None:
        await self._behave(POST)
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(annotation) + b"\n")

    async def annotations(self, run: str) -> tuple[Annotation, ...]:
        await self._behave(LIST)
        return tuple(note for note in notes_in(self._directory) if note.run == run)

    async def remove_annotations(self, run: str) -> int:
        await self._behave(REMOVE)
        notes = notes_in(self._directory)
        kept = [note for note in notes if note.run != run]
        self._file.write_bytes(b"".join(msgspec.json.encode(note) + b"\n" for note in kept))
        return len(notes) - len(kept)

    @property
    def _file(self) -> Path:
        return self._directory / "notes.jsonl"

    async def _behave(self, asked: str) -> None:
        number = asked_of(self._directory).count(asked)
        with (self._directory / "notes-asked.log").open("a") as log:
            log.write(asked + "\n")
        path = self._directory / "notes-behaviour.json"
        wanted = json.loads(path.read_text()) if path.exists() else ["taken"]
        how = wanted[min(number, len(wanted) - 1)]
        if how == "hang":
            await asyncio.Event().wait()
        if how != "taken":
            raise DashboardError(how, int(how[5:8]) if how.startswith("HTTP ") else None)


def notes_in(directory: Path) -> list[Annotation]:
    """All notes that it has taken, in their order."""
    path = directory / "notes.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Annotation) for line in lines]


def asked_of(directory: Path) -> list[str]:
    """What it has been asked for: one of POST, LIST and REMOVE each."""
    path = directory / "notes-asked.log"
    return path.read_text().split() if path.exists() else []


def behave(directory: Path, *requests: str) -> None:
    """What is to become of each request of a kind."""
    (directory / "notes-behaviour.json").write_text(json.dumps(requests))
