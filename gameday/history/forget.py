"""A person's name taken out of the store, the log of actions, predictions, and the journals and signatures of runs that
ended."""

import fcntl
import os
import secrets
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.common.files import sync_directory
from gameday.engine.locks import FileLock, LockHeldError
from gameday.engine.predictions import predictions_directory
from gameday.engine.runs import WRITER_LOCK, Run, RunLife, all_runs
from gameday.history import schema
from gameday.history.feed import forget_marks
from gameday.history.pseudonym import Pseudonym
from gameday.history.store import Store
from gameday.journal.log import JournalError
from gameday.journal.signatures import NAME as SIGNATURES
from gameday.journal.signatures import read_signatures
from gameday.people.action_log import log_path

_SALT = "pseudonyms"
_JSON = {schema.events: "data", schema.actions: "document"}
_PEOPLE = {schema.sessions: "started_by", schema.findings: "owner"}
_MORE_PEOPLE = {schema.actions: ("owner", "opened_by")}
_HOLDERS = (schema.claims, schema.leases, schema.locks)  # "ada@laptop", "run by ada on laptop"
_WORDS = {schema.findings: "detail", schema.verdicts: "reason", schema.signatures: "comment"}


class Forgotten(msgspec.Struct, frozen=True):
    """Where the name was: so many `rows` of the store, lines of the log of `actions`, `predictions` that wait for their
    session, and the `runs` whose journals (and signatures) had it. `voided`: how many signatures are void since their
    journals have changed. `kept`: runs that have not ended, or are being written, in which the name stays."""

    alias: str
    rows: int
    actions: int
    predictions: int
    runs: tuple[str, ...]
    voided: int
    kept: tuple[str, ...]


def look_up(store: Store, person: str) -> Forgotten:
    """What `forget` would do; nothing is changed but that the project's salt is made. Raises StoreError, OSError."""
    return _go_through(store, person, changes=False)


def forget(store: Store, person: str) -> Forgotten:
    """Replace the name everywhere. The sessions whose journals have changed are to be fed anew by a sync. Raises
    StoreError and OSError."""
    return _go_through(store, person, changes=True)


def _go_through(store: Store, person: str, *, changes: bool) -> Forgotten:
    pseudonym = Pseudonym(person, _salt(store))
    rows = _in_store(store, pseudonym, changes=changes)
    actions = _in_actions(store.root, pseudonym, changes=changes)
    predictions = [path for path in predictions_directory(store.root).glob("*.json") if _has(path, pseudonym)]
    for path in predictions if changes else ():
        _rewrite_file(path, pseudonym)
    runs, kept, voided = [], [], 0
    for run in all_runs(store.root):
        files = [path for path in (run.journal, run.directory / SIGNATURES) if path.exists()]
        has_it = {path.name for path in files if _has(path, pseudonym)}
        if not has_it:
            continue
        if not _has_ended(run):
            kept.append(run.name)
            continue
        valid = sum(one.is_valid for one in read_signatures(run.directory)) if run.journal.name in has_it else 0
        if changes and not _rewrite(store, run, pseudonym):
            kept.append(run.name)
            continue
        voided += valid
        runs.append(run.name)
    return Forgotten(pseudonym.alias, rows, actions, len(predictions), tuple(runs), voided, tuple(kept))


def _salt(store: Store) -> str:
    table = schema.settings
    row = {"project": store.project, "name": _SALT, "value": secrets.token_hex(16)}
    with store.database.writing() as connection:
        connection.execute(store.database.insert(table).values(**row).on_conflict_do_nothing())
        found = sa.select(table.c.value).where(table.c.project == store.project, table.c.name == _SALT)
        return str(connection.execute(found).scalar_one())


# -- files


def _has_ended(run: Run) -> bool:
    try:
        return run.life(run.state()) is RunLife.ENDED
    except JournalError:
        return False


def _has(path: Path, pseudonym: Pseudonym) -> bool:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return any(pseudonym.in_line(line.rstrip("\n")) != line.rstrip("\n") for line in file)


def _rewrite(store: Store, run: Run, pseudonym: Pseudonym) -> bool:
    """The journal and the signatures of a run; False when somebody writes it."""
    lock = FileLock(run.directory / WRITER_LOCK)
    try:
        lock.acquire("gameday history forget")
    except LockHeldError:
        return False
    try:
        # Before, so that whoever comes after a crash reads it anew; and after, if somebody was quicker.
        forget_marks(store, [run.name])
        for path in (run.journal, run.directory / SIGNATURES):
            if path.exists():
                _rewrite_file(path, pseudonym)
        sync_directory(run.directory)
        forget_marks(store, [run.name])
    finally:
        lock.release()
    return True


def _rewrite_file(path: Path, pseudonym: Pseudonym) -> None:
    """Line by line, into another file that then takes its place."""
    other = path.with_name(f".{path.name}.forget")
    try:
        with (
            path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as old,
            other.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as new,
        ):
            for line in old:
                end = "\n" if line.endswith("\n") else ""
                new.write(pseudonym.in_line(line.removesuffix("\n")) + end)
            new.flush()
            os.fsync(new.fileno())
        other.chmod(path.stat().st_mode & 0o777)
        other.replace(path)
    finally:
        other.unlink(missing_ok=True)


def _in_actions(root: Path, pseudonym: Pseudonym, *, changes: bool) -> int:
    """How many lines of the log had it. It is the same file afterwards: whoever waits for its lock has it open."""
    path = log_path(root)
    if not path.exists():
        return 0
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        lines = path.read_text("utf-8", "surrogateescape").split("\n")
        replaced = [pseudonym.in_line(line) for line in lines]
        changed = sum(one != other for one, other in zip(lines, replaced, strict=True))
        if changed and changes:
            data = "\n".join(replaced).encode("utf-8", "surrogateescape")
            copy = path.with_name(f".{path.name}.forget")  # all of it, until the log is whole again
            copy.write_bytes(data)
            os.pwrite(descriptor, data, 0)  # on a full disk what was there stays
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
            copy.unlink()
    finally:
        os.close(descriptor)
    return changed


# -- the store


def _in_store(store: Store, pseudonym: Pseudonym, *, changes: bool) -> int:
    """How many rows had it."""
    rows = 0
    with store.database.writing() as connection:
        for table, column in _JSON.items():
            rows += _replace(store, connection, table, column, pseudonym, changes=changes)
        people = [*_PEOPLE.items(), *((table, name) for table, names in _MORE_PEOPLE.items() for name in names)]
        for table, column in (*people, *_WORDS.items(), *((table, "holder") for table in _HOLDERS)):
            rows += _replace(store, connection, table, column, pseudonym, changes=changes)
        rows += _replace_signers(store, connection, pseudonym, changes=changes)
    return rows


def _replace(
    store: Store, connection: Connection, table: sa.Table, column: str, pseudonym: Pseudonym, *, changes: bool
) -> int:
    keys = [*table.primary_key.columns]
    name = table.c[column]
    found = connection.execute(
        sa.select(*keys, name).where(table.c.project == store.project, *_may_be(name, pseudonym))
    )
    replaced = 0
    for *values, text in found.all():
        if text is None or (new := _new(table, column, text, pseudonym)) == text:
            continue
        replaced += 1
        if changes:
            where = (key == value for key, value in zip(keys, values, strict=True))
            connection.execute(table.update().where(*where).values({column: new}))
    return replaced


def _new(table: sa.Table, column: str, text: str, pseudonym: Pseudonym) -> str:
    if _JSON.get(table) == column:
        return pseudonym.in_line(text)
    if table in _HOLDERS:
        return pseudonym.for_holder(text)
    return pseudonym.in_words(text) if _WORDS.get(table) == column else pseudonym.for_person(text)


def _replace_signers(store: Store, connection: Connection, pseudonym: Pseudonym, *, changes: bool) -> int:
    """Signatures are known by their author, so one may already be there."""
    table = schema.signatures
    of = (table.c.project == store.project, *_may_be(table.c.author, pseudonym))
    replaced = 0
    for row in connection.execute(sa.select(table).where(*of)).all():
        author = pseudonym.for_person(row.author)
        if author == row.author:
            continue
        replaced += 1
        if changes:
            this = (table.c.project == store.project, table.c.session == row.session, table.c.role == row.role)
            connection.execute(table.delete().where(*this, table.c.author.in_((author, row.author))))
            connection.execute(table.insert().values(**(dict(row._mapping) | {"author": author})))
    return replaced


def _may_be(column: sa.ColumnElement[str], pseudonym: Pseudonym) -> tuple[sa.ColumnElement[bool], ...]:
    """What narrows the search down, where the database knows upper and lower case as we do."""
    if not pseudonym.name.isascii():
        return ()
    return (sa.func.lower(column).contains(pseudonym.name.lower(), autoescape=True),)
