"""Opens the store that gameday.yaml names, for the verbs of `gameday history`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.cli.output import fail, say

if TYPE_CHECKING:
    from gameday.cli.past_source import PastSource, StoreSource
    from gameday.history.store import Store


@contextmanager
def store_errors() -> Iterator[None]:
    """What is wrong with the store ends the program with status 2 and one message."""
    # Whoever has no store need not import one.
    try:
        yield
    except OSError as error:
        if type(error).__name__ != "StoreError":
            raise
        fail(str(error))


def url_of(root: Path) -> str | None:
    """The URL of the store that gameday.yaml names; mistakes of the file end the program with status 2."""
    from gameday.cli.load import print_mistakes
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_history, read_project

    try:
        return load_history(read_project(root)[0])
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)


def open_past(root: Path, *, local: bool = False) -> "PastSource":
    """The store that gameday.yaml names, as `read_store` has it; without one, or with `local`, the journals here.

    Raises StoreError.
    """
    from gameday.cli.past_source import JournalSource

    return JournalSource(root) if local else read_store(root) or JournalSource(root)


def read_store(root: Path) -> "StoreSource | None":
    """The store that gameday.yaml names, after it has caught up with the journals; None when it names none. Where it
    cannot be written that is said, and it is as it was. Raises StoreError."""
    if (url := url_of(root)) is None:
        return None
    from gameday.cli.history_reader import PastReader
    from gameday.cli.past_source import StoreSource
    from gameday.history.feed import sync
    from gameday.history.store import StoreError, open_store

    try:
        store = open_store(url, root)
        return StoreSource(store, sync(store, PastReader()).unread)
    except StoreError as error:
        try:
            store = open_store(url, root, writes=False)
        except StoreError:
            raise error from None
        say(f"the newest runs may be missing: {error}")
        return StoreSource(store)


def open_named(root: Path) -> "Store":
    """The store, to be written; without one the program ends with status 2. Raises StoreError."""
    if (url := url_of(root)) is None:
        fail("gameday.yaml names no store; add, say, `history: sqlite:///.gameday/history.db`")
    from gameday.history.store import open_store

    return open_store(url, root)
