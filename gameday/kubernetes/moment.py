"""A look at one moment: within a block each list of a cluster is asked for once, however many want to see it."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_LISTS: ContextVar[dict[Hashable, Sequence[Any]] | None] = ContextVar("lists", default=None)


@contextmanager
def one_moment() -> Iterator[None]:
    """Until the block ends. For what changes nothing: of a change it would see nothing."""
    token = _LISTS.set({})
    try:
        yield
    finally:
        _LISTS.reset(token)


def lists_of_moment() -> dict[Hashable, Sequence[Any]] | None:
    """The lists that have been asked for; None outside of any block."""
    return _LISTS.get()
