"""Scripts of what goes wrong in a run, and a strategy that draws them."""

import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

FOR_GOOD = 1000
AT_PLAN = 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one job: `how` it ends after `at` of its targets, in seconds `before` and `after` the work.

    `times` counts the attempts of an undo that end so before one succeeds.
    """

    how: str = "well"  # or: fails, exits, hangs, gone
    at: int = 0
    before: float = 0.0
    after: float = 0.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens `delay` seconds after the nth event of a kind was written."""

    event: str
    nth: int
    what: str  # abort, message, add, remove, break, mend, signals
    value: float | str = 0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """One run: what it is to do, and what goes wrong. Fates beyond a list's end are good ones."""

    ladders: tuple[tuple[tuple[str, ...], ...], ...]  # of experiments, of steps
    instances: int = 4
    ceiling: int | None = None  # per cent
    plans: tuple[Fate, ...] = ()
    injections: tuple[Fate, ...] = ()
    undos: tuple[Fate, ...] = ()
    acts: tuple[Act, ...] = ()
    # From which event on (or AT_PLAN, the first plan); at its write, its sync or for want of room; how many times.
    journal_fails: tuple[int, str, int] | None = None
    restart_fails: bool = False
    cut: int = 0  # the moment at which a machine that dies would have left things; see `World.timeline`


_DELAYS = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.35])
_HOW = st.sampled_from(["well", "well", "well", "fails", "exits", "hangs", "gone"])
_EVENTS = ("FaultPlanned", "FaultInjected", "StageStarted", "StageEnded", "UndoStarted", "UndoEnded", "SignalsSampled")


def _fates(times: st.SearchStrategy[int] = st.just(1)) -> st.SearchStrategy[tuple[Fate, ...]]:
    """What becomes of the first few jobs of a kind."""
    fate = st.builds(Fate, how=_HOW, at=st.integers(0, 3), before=_DELAYS, after=_DELAYS, times=times)
    return st.lists(fate, max_size=4).map(tuple)


@st.composite
def _ladders(draw: st.DrawFn) -> tuple[str, ...]:
    """Counts and shares, each of which must grow."""
    counts = sorted(draw(st.sets(st.integers(1, 4), max_size=2)))
    shares = sorted(draw(st.sets(st.sampled_from([25, 34, 50, 60, 100]), min_size=not counts, max_size=2)))
    both = [[str(count) for count in counts], [f"{share}%" for share in shares]]
    return tuple(itertools.chain(*draw(st.permutations(both))))


_acts = st.one_of(
    st.builds(
        Act, event=st.sampled_from(_EVENTS), nth=st.integers(1, 6), what=st.just(what), value=value, delay=_DELAYS
    )
    for what, value in (
        ("abort", st.just(0)),
        ("message", st.just(0)),
        ("add", st.just(0)),
        ("remove", st.integers(0, 7)),
        ("break", st.integers(0, 7)),
        ("mend", st.integers(0, 7)),
        ("signals", st.sampled_from([0.0, 0.2, 0.9, "unreachable"])),
    )
)
scripts = st.builds(
    Script,
    ladders=st.lists(st.lists(_ladders(), min_size=1, max_size=2).map(tuple), min_size=1, max_size=2).map(tuple),
    instances=st.integers(1, 7),
    ceiling=st.sampled_from([None, None, 25, 34, 50, 60, 75, 100]),
    plans=st.integers(0, 9).map(lambda number: (*[Fate()] * number, Fate("fails"))) | st.just(()),
    injections=_fates(),
    undos=_fates(st.sampled_from([1, 2, 3, FOR_GOOD])),
    acts=st.lists(_acts, max_size=5).map(tuple),
    journal_fails=st.none()
    | st.tuples(
        st.integers(8, 60) | st.just(AT_PLAN),
        st.sampled_from(["write", "sync", "full"]),
        st.sampled_from([1, 3, FOR_GOOD]),
    ),
    restart_fails=st.booleans(),
    cut=st.integers(1, 60),
)
