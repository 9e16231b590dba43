"""What the store has been fed from this directory, kept beside the journals: most have not changed since.

It is believed only while the store bears the same marks: one that was made anew, restored from a backup, or had
sessions taken out to be read anew bears others, or none.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.common.files import replace_file
from gameday.engine.launch import may_fork
from gameday.engine.runs import runs_directory
from gameday.history import schema
from gameday.history.store import Store
from gameday.journal.log import JOURNAL_NAME
from gameday.journal.signatures import NAME as SIGNATURES

_EPOCH = "fed"  # in the settings of a project: it is another when sessions have been taken out
_ID_BYTES = 8
_MANY = 20_000  # runs; to look at them takes 0.1 s
_KEPT_S = 90 * 86400.0  # a directory that was not fed from for so long may be gone, as that of a build is


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A journal, and the signatures beside it, as they were found: bytes, and when they were written last, in
    nanoseconds by whatever clock there was. 0: there are none."""

    size: int
    written_ns: int
    signatures_size: int = 0
    signed_ns: int = 0

    @property
    def sizes(self) -> tuple[int, int]:
        """Of the journal and of the signatures."""
        return self.size, self.signatures_size


class FedRuns(msgspec.Struct, frozen=True):
    """`known`: runs that were over when they were fed, by their names. `version`: the reader's; `directory`: which of
    those that feed the store this is; `mark`: what the store bears for it since; `epoch`: what it bore for all then."""

    version: int
    directory: str
    mark: str | None = None
    epoch: str | None = None
    known: dict[str, Seen] = {}


def look(root: Path, fed: FedRuns) -> tuple[int, dict[str, Seen]]:
    """How many runs have a journal; and those that are not as they were when they were fed, the oldest first."""
    try:
        directory = os.open(runs_directory(root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return 0, {}
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
        half = len(names) // 2 if len(names) >= _MANY and may_fork() else 0
        rest = _look_apart(directory, names[:half], fed) if half else lambda: (0, {})
        runs, changed = _look(directory, names[half:], fed)
        more, changed_too = rest()
        return runs + more, dict(sorted((changed | changed_too).items()))
    finally:
        os.close(directory)


def _look_apart(directory: int, names: list[str], fed: FedRuns) -> Callable[[], tuple[int, dict[str, Seen]]]:
    """As `_look`, by a process of its own, since a thread would be no faster; what it finds is given when called."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:  # whatever happens it ends here: what else it has is its parent's
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(msgspec.json.encode(_look(directory, names, fed)))
        finally:
            os._exit(0)
    os.close(write)

    def found() -> tuple[int, dict[str, Seen]]:
        with os.fdopen(read, "rb") as pipe:
            data = pipe.read()
        os.waitpid(child, 0)
        try:
            return _found_decoder.decode(data)
        except msgspec.MsgspecError:  # somebody has ended it
            return _look(directory, names, fed)

    return found


def _look(directory: int, names: list[str], fed: FedRuns) -> tuple[int, dict[str, Seen]]:
    """There may be very many, of which hardly any has changed: most of the time goes into asking the system."""
    runs, changed, known = 0, dict[str, Seen](), fed.known.get
    stat, access = os.stat, os.access
    for name in names:
        try:
            status = stat(f"{name}/{JOURNAL_NAME}", dir_fd=directory)
        except OSError:  # somebody has removed it, or it is another file
            continue
        if not status.st_size:  # nothing has been written yet
            continue
        runs += 1
        signatures = f"{name}/{SIGNATURES}"
        if access(signatures, os.F_OK, dir_fd=directory):  # few are signed, and an error takes longer than an answer
            seen = Seen(status.st_size, status.st_mtime_ns, *_size_and_time(directory, signatures))
        else:
            seen = Seen(status.st_size, status.st_mtime_ns)
        if known(name) != seen:
            changed[name] = seen
    return runs, changed


def _size_and_time(directory: int, path: str) -> tuple[int, int]:
    try:
        status = os.stat(path, dir_fd=directory)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def read_fed(store: Store, version: int) -> FedRuns:
    """What can be believed of it; nothing of another version's. Raises StoreError."""
    try:
        found = _decoder.decode(_path(store).read_bytes())
    except (OSError, ValueError, RecursionError):  # there is none yet, or it is damaged
        found = FedRuns(version, secrets.token_hex(_ID_BYTES))
    with store.database.reading() as connection:
        bears = _bears(store, connection, found.directory)
    if found.mark is not None and (found.version, found.mark, found.epoch) == (version, *bears):
        return found
    return FedRuns(version, found.directory, *bears)


def write_fed(store: Store, fed: FedRuns) -> None:
    """Keep it, unless sessions were taken out since it was read, or somebody else has kept more. Raises StoreError."""
    mark, name = f"{_now()} {secrets.token_hex(_ID_BYTES)}", _mark_of(fed.directory)
    with store.database.writing() as connection:
        lock_feed(store, connection)
        if _bears(store, connection, fed.directory) != (fed.mark, fed.epoch):
            return
        _set(store, connection, name, mark)
        _remove_old_marks(store, connection)
    try:
        replace_file(_path(store), msgspec.json.encode(msgspec.structs.replace(fed, mark=mark)))
    except OSError:  # where nothing can be written, the store is asked about every run each time
        return


def forget_fed(store: Store, connection: Connection) -> None:
    """Sessions are taken out of the store, to be read anew by whoever has their journals. Within `lock_feed`."""
    _set(store, connection, _EPOCH, secrets.token_hex(_ID_BYTES))


def lock_feed(store: Store, connection: Connection) -> None:
    """Nobody else feeds this project until the transaction ends. With SQLite nobody writes anything."""
    if not store.database.is_sqlite:
        name = sa.func.hashtextextended(f"gameday feed {store.project}", 0)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(name)))


_decoder = msgspec.json.Decoder(FedRuns)
_found_decoder = msgspec.json.Decoder(tuple[int, dict[str, Seen]])


def _path(store: Store) -> Path:
    """One for each store and project that is fed from here."""
    name = hashlib.sha256(f"{store.where}\0{store.project}".encode()).hexdigest()[:12]
    return store.root / ".gameday" / f"fed-{name}.json"


def _mark_of(directory: str) -> str:
    return f"{_EPOCH} {directory}"


def _bears(store: Store, connection: Connection, directory: str) -> tuple[str | None, str | None]:
    """The mark of this directory, and the epoch."""
    table, names = schema.settings, (_mark_of(directory), _EPOCH)
    statement = sa.select(table.c.name, table.c.value).where(table.c.project == store.project, table.c.name.in_(names))
    found: dict[str, str] = {row.name: row.value for row in connection.execute(statement)}
    return found.get(names[0]), found.get(names[1])


def _set(store: Store, connection: Connection, name: str, value: str) -> None:
    table = schema.settings
    statement = store.database.insert(table).values(project=store.project, name=name, value=value)
    statement = statement.on_conflict_do_update(index_elements=[table.c.project, table.c.name], set_={"value": value})
    connection.execute(statement)


def _remove_old_marks(store: Store, connection: Connection) -> None:
    """Whoever comes back to such a directory asks for every run there once."""
    table = schema.settings
    is_old = table.c.name.startswith(_mark_of("")), table.c.value < _now(-_KEPT_S)
    connection.execute(table.delete().where(table.c.project == store.project, *is_old))


def _now(plus_s: float = 0.0) -> str:
    """Unix time; later ones are larger as texts, too."""
    return f"{time.time() + plus_s:010.0f}"
