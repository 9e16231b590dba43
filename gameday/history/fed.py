"""What the store has been fed from this directory, kept beside the journals: most have not changed since.

It is believed only while the store bears the same mark: a store that was made anew, restored from a backup, or had
sessions taken out bears another, or none.
"""

import hashlib
import os
import secrets
import time
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.common.files import replace_file
from gameday.engine.runs import runs_directory
from gameday.history import schema
from gameday.history.store import Store
from gameday.journal.log import JOURNAL_NAME
from gameday.journal.signatures import NAME as SIGNATURES

_MARK = "fed "  # how the names of marks begin, in the settings of a project
_BYTES = 8
_KEPT_S = 90 * 86400.0  # of directories that are gone, as of most builds, no mark need stay


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A journal, and the signatures beside it, as they were found: bytes, and when they were changed last, in
    nanoseconds by the clock of then. 0: there are none."""

    size: int
    changed_ns: int
    signatures_size: int = 0
    signatures_changed_ns: int = 0

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the journal and of the signatures."""
        return self.size, self.signatures_size


class FedRuns(msgspec.Struct, frozen=True):
    """Runs of which the store has all that was in their journals, by their names. `version`: that of the reader;
    `directory`: which of those that feed the store; `mark`: what the store bears for it, "" when nothing."""

    version: int
    directory: str
    mark: str = ""
    runs: dict[str, Seen] = {}


def look(root: Path, fed: FedRuns) -> tuple[int, dict[str, Seen]]:
    """How many runs have a journal; and those that are not as they were when they were fed, the oldest first. There may
    be very many, of which hardly any has changed."""
    try:
        directory = os.open(runs_directory(root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return 0, {}
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries)
        return _look(directory, names, fed)
    finally:
        os.close(directory)


def _look(directory: int, names: list[str], fed: FedRuns) -> tuple[int, dict[str, Seen]]:
    runs, changed, known = 0, dict[str, Seen](), fed.runs.get
    stat, access = os.stat, os.access  # each is asked a hundred thousand times
    for name in names:
        try:
            status = stat(f"{name}/{JOURNAL_NAME}", dir_fd=directory)
        except OSError:  # somebody has removed it
            continue
        if not (size := status.st_size):  # nothing has been written yet
            continue
        runs += 1
        seen, path = Seen(size, status.st_mtime_ns), f"{name}/{SIGNATURES}"
        if access(path, os.F_OK, dir_fd=directory):  # hardly any has been signed, and an error takes longer
            try:
                status = stat(path, dir_fd=directory)
                seen = Seen(size, seen.changed_ns, status.st_size, status.st_mtime_ns)
            except OSError:
                pass
        if known(name) != seen:
            changed[name] = seen
    return runs, changed


def read_fed(store: Store, version: int) -> FedRuns:
    """What can be believed of it; no runs of another version's. Raises StoreError."""
    try:
        found = _decoder.decode(_path(store).read_bytes())
    except (OSError, ValueError, RecursionError):  # there is none yet, or it is damaged
        found = FedRuns(version, secrets.token_hex(_BYTES))
    with store.database.reading() as connection:
        mark = _mark_in(connection, store, found.directory)
    is_of_now = mark and (found.mark, found.version) == (mark, version)
    return found if is_of_now else FedRuns(version, found.directory, mark)


def mark_fed(connection: Connection, store: Store, fed: FedRuns) -> str | None:
    """A new mark, in a transaction in which nobody else takes sessions out; None: the mark is not the one any more that
    it was."""
    if _mark_in(connection, store, fed.directory) != fed.mark:
        return None
    table, now = schema.settings, int(time.time())
    mark = f"{now:010} {secrets.token_hex(_BYTES)}"
    row = {"project": store.project, "name": _MARK + fed.directory, "value": mark}
    statement = store.database.insert(table).values(**row)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[table.c.project, table.c.name], set_={"value": mark})
    )
    connection.execute(table.delete().where(*_are_marks(store.project), table.c.value < f"{now - _KEPT_S:010.0f}"))
    return mark


def write_fed(store: Store, fed: FedRuns) -> None:
    """Keep it, once the store bears its mark. Raises nothing."""
    try:
        replace_file(_path(store), msgspec.json.encode(fed))
    except OSError:  # where nothing can be written, the store is asked about every run each time
        return


def forget_fed(connection: Connection, project: str) -> None:
    """Sessions are taken out of the store: nobody may believe any more that it has them."""
    connection.execute(schema.settings.delete().where(*_are_marks(project)))


_decoder = msgspec.json.Decoder(FedRuns)


def _path(store: Store) -> Path:
    """One for each store and project that is fed from here."""
    name = hashlib.sha256(f"{store.where}\0{store.project}".encode()).hexdigest()[:12]
    return store.root / ".gameday" / f"fed-{name}.json"


def _mark_in(connection: Connection, store: Store, directory: str) -> str:
    table = schema.settings
    where = (table.c.project == store.project, table.c.name == _MARK + directory)
    return str(connection.execute(sa.select(table.c.value).where(*where)).scalar() or "")


def _are_marks(project: str) -> tuple[sa.ColumnElement[bool], ...]:
    return schema.settings.c.project == project, schema.settings.c.name.startswith(_MARK)
