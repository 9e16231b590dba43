"""What is said of signals: samples, the baseline, judgements, and the recovery."""

from enum import StrEnum

import msgspec

from gameday.journal.events.base import Event, Struct

TOLERANCE = "tolerance"  # the condition of a judgement on a probe


class ReadingState(StrEnum):
    """What came of asking for a signal. Only OK has a value, and only a value can be good or bad."""

    OK = "ok"
    EMPTY = "empty"  # answered, with no series
    NAN = "nan"  # answered, with a number that is none (0/0)
    STALE = "stale"  # answered, with data that is too old
    UNREACHABLE = "unreachable"  # not answered, or with an error


class Outcome(StrEnum):
    """Of one judgement."""

    HELD = "held"
    BROKEN = "broken"
    UNREADABLE = "unreadable"


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """One sample of one signal, in its base unit. `signal` is "<service>.<kind>.<measure>"."""

    signal: str
    state: ReadingState
    value: float | None = None
    detail: str = ""


class ConditionInfo(Struct, frozen=True, kw_only=True):
    """A condition of the experiment, as judged. `role` is "hypothesis" or "abort-when"."""

    signal: str
    text: str
    comparator: str
    threshold: float
    unit: str
    for_s: float
    role: str
    relative: bool = False


class Judgement(Struct, frozen=True, kw_only=True):
    """One condition or probe over one window. `worst` is the reading furthest from the threshold (base unit)."""

    subject: str  # signal id, or the probe's name
    condition: str
    outcome: Outcome
    worst: float | None = None
    breached_for_s: float = 0.0
    readable: int = 0
    samples: int = 0
    detail: str = ""


class SignalsSampled(Event, frozen=True, kw_only=True, tag="signals-sampled"):
    """All signals of one tick, one event."""

    experiment: int
    readings: tuple[Reading, ...]


class BaselineRecorded(Event, frozen=True, kw_only=True, tag="baseline-recorded"):
    """The median of each signal over the baseline, in its base unit."""

    experiment: int
    values: dict[str, float]


class HypothesisJudged(Event, frozen=True, kw_only=True, tag="hypothesis-judged"):
    """`when` is "before", "during" or "after"; during, step and stage say where. `ended`: the method had ended, and
    nothing was undone yet."""

    experiment: int
    when: str
    held: bool
    judgements: tuple[Judgement, ...]
    step: int | None = None
    stage: int | None = None
    ended: bool = False


class RecoveryMeasured(Event, frozen=True, kw_only=True, tag="recovery-measured"):
    """`seconds`: from the end of the last undo until the hypothesis held again for good; None when it did not."""

    experiment: int
    recovered: bool
    seconds: float | None = None
    within_s: float | None = None
