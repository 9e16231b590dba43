"""What the store has been fed from this directory, kept beside the journals: most have not changed since.

It is believed only while the store bears the same marks: one that was made anew, restored from a backup, or had
sessions taken out to be read anew bears others, or none.
"""

import hashlib
import secrets
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.common.files import replace_file
from gameday.history import schema
from gameday.history.store import Store

_EPOCH = "fed"  # in the settings of a project: it is another when sessions have been taken out
_ID_BYTES = 8

type Sizes = tuple[int, int]  # of a journal, and of the signatures beside it, in bytes; both only ever grow


class FedRuns(msgspec.Struct, frozen=True):
    """Runs that were over when they were fed, by their names. `version`: the reader's; `directory`: which of those that
    feed the store this is; `mark`: what the store bears for it since; `epoch`: what it bore for all then."""

    version: int
    directory: str
    mark: str | None = None
    epoch: str | None = None
    runs: dict[str, Sizes] = {}


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
    mark, name = secrets.token_hex(_ID_BYTES), _mark_of(fed.directory)
    with store.database.writing() as connection:
        lock_feed(store, connection)
        if _bears(store, connection, fed.directory) != (fed.mark, fed.epoch):
            return
        _set(store, connection, name, mark)
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
