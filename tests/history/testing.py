"""Processes that all use one store at once, and what the tests look up in it."""

import multiprocessing
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from gameday.history.schema import metadata, settings
from gameday.history.store import Store

_DERIVED_AT_EACH_FEED = ("fed_at",)


def at_once(
    task: Callable[..., object], arguments: Sequence[tuple[object, ...]], timeout_s: float = 120
) -> list[object]:
    """What each process gives; they are new interpreters, and begin together."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        barrier = manager.Barrier(len(arguments))
        with context.Pool(len(arguments)) as pool:
            found = [pool.apply_async(_begin, (barrier, task, given)) for given in arguments]
            return [one.get(timeout_s) for one in found]


def _begin(
    barrier: "multiprocessing.synchronize.Barrier", task: Callable[..., object], given: Sequence[object]
) -> object:
    barrier.wait(60)
    return task(*given)


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, but for when, and by which directory, it was fed."""
    with store.database.reading() as connection:
        return {
            table.name: sorted(
                (
                    tuple(row)
                    for row in connection.execute(
                        sa.select(*(column for column in table.c if column.name not in _DERIVED_AT_EACH_FEED))
                    )
                    if table is not settings or not row.name.startswith("fed")
                ),
                key=repr,
            )
            for table in metadata.sorted_tables
        }
