"""Finds faults by name through entry points, ours and third parties' alike."""

from functools import cache
from typing import TYPE_CHECKING, Any

from gameday.faults.base import Fault, FaultError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "gameday.faults"


@cache
def _entries() -> dict[str, "EntryPoint"]:
    from importlib.metadata import entry_points  # 13 ms, and an experiment need not use any fault of ours

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def fault_names() -> tuple[str, ...]:
    """All faults that are installed, sorted; none of them is imported."""
    return tuple(sorted(_entries()))


@cache
def load_fault(name: str) -> Fault[Any]:
    """The fault of that name. Raises FaultError when there is none or it cannot be imported."""
    entry = _entries().get(name)
    if entry is None:
        raise FaultError(f"there is no fault `{name}`; there are {', '.join(fault_names())}")
    try:
        fault = entry.load()()
    except Exception as error:  # a third party's module may raise anything
        raise FaultError(f"the fault `{name}` ({entry.value}) cannot be loaded: {error}") from error
    if not isinstance(fault, Fault):
        raise FaultError(f"the fault `{name}` ({entry.value}) is not a gameday.faults.base.Fault")
    return fault
