"""An experiment: its hypothesis on golden signals, its method of faults and activities, and what it expects."""

from enum import StrEnum
from pathlib import Path

import msgspec

from gameday.common.json import JsonObject
from gameday.spec.location import Location, Mistake


class SignalKind(StrEnum):
    """The four golden signals (Site Reliability Engineering, O'Reilly 2016, chapter 6)."""

    LATENCY = "latency"
    TRAFFIC = "traffic"
    ERRORS = "errors"
    SATURATION = "saturation"


class Unit(StrEnum):
    """The base unit a value is kept in. A ratio of 1 is 100 %."""

    SECONDS = "s"
    RATIO = "ratio"
    PER_SECOND = "/s"
    BYTES = "B"
    NUMBER = "number"


class Comparator(StrEnum):
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class SignalId(msgspec.Struct, frozen=True, order=True):
    """One measured series: `measure` is p50…p99.9 for latency, rate for traffic, ratio for errors, and cpu, memory,
    connections or a name of the user's own for saturation."""

    service: str
    kind: SignalKind
    measure: str

    def __str__(self) -> str:
        return f"{self.service}.{self.kind}.{self.measure}"


class Condition(msgspec.Struct, frozen=True):
    """A comparison of a signal with a threshold in its base unit.

    With `relative`, what is compared is |value - baseline| / baseline (traffic's `change`). `for_s` is how long, in
    seconds, a breach (of a hypothesis) or a match (of an abort condition) must last before it counts.
    """

    signal: SignalId
    comparator: Comparator
    threshold: float
    unit: Unit
    for_s: float
    text: str  # as written: "< 300ms"
    location: Location
    relative: bool = False

    def holds_for(self, value: float) -> bool:
        """Whether `value` (base unit, or relative change) satisfies the comparison. Never called with NaN."""
        match self.comparator:
            case Comparator.LESS:
                return value < self.threshold
            case Comparator.LESS_OR_EQUAL:
                return value <= self.threshold
            case Comparator.GREATER:
                return value > self.threshold
            case Comparator.GREATER_OR_EQUAL:
                return value >= self.threshold


class ActivityKind(StrEnum):
    PROBE = "probe"
    ACTION = "action"


class Dry(StrEnum):
    """What is only pretended, by the names of `chaos run --dry`."""

    PROBES = "probes"
    ACTIONS = "actions"
    ACTIVITIES = "activities"
    PAUSE = "pause"

    def pretends(self, kind: ActivityKind) -> bool:
        """Whether an activity of this kind is not run."""
        return self is Dry.ACTIVITIES or self.value == f"{kind.value}s"


class Activity(msgspec.Struct, frozen=True):
    """A Chaos Toolkit activity, kept as it was written; only the adapter looks into `definition`."""

    kind: ActivityKind
    name: str
    definition: JsonObject
    background: bool
    pause_before_s: float
    pause_after_s: float
    location: Location
    timeout_s: float | None = None  # its provider's
    dry: Dry | None = None  # its own, before the experiment's


class BlastRadius(msgspec.Struct, frozen=True):
    """How much of the target one stage touches: a count, or a share between 0 and 1. Exactly one is set."""

    count: int | None = None
    share: float | None = None

    def of(self, total: int) -> int:
        """How many of `total` this allows: rounded down, so that the ceiling is never exceeded."""
        if self.count is not None:
            return min(self.count, total)
        assert self.share is not None
        from fractions import Fraction

        # Fraction of the decimal text: 0.29 * 100 is 28.999… in binary floating point.
        return int(Fraction(repr(self.share)) * total)

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{(self.share or 0) * 100:g}%"


class Target(msgspec.Struct, frozen=True):
    """What a fault hits. `service` is the victim; `caller`, for dependency faults, limits it to calls from there
    (written `from:`). The others find pods and nodes of a cluster; `keys` are those that were written."""

    service: str | None
    location: Location
    caller: str | None = None
    selector: str | None = None
    owner: str | None = None
    name: str | None = None
    node: str | None = None
    zone: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    pick: str | None = None
    keys: tuple[tuple[str, Location], ...] = ()

    def __str__(self) -> str:
        """For people: "payments", "checkout → payments", "deployment/payments in zone a"."""
        subject = self.service or self.owner or self.name or self.selector
        parts = [
            f"{self.caller} → {subject}" if self.caller else subject or ("nodes" if self.node or self.zone else "")
        ]
        parts += [f"on {self.node}"] if self.node else []
        parts += [f"in zone {self.zone}"] if self.zone else []
        parts += [f"in the cluster {self.cluster}"] if self.cluster else []
        return " ".join(filter(None, parts))


class Argument(msgspec.Struct, frozen=True):
    """A fault's own setting, as written; the fault says what it means."""

    name: str
    text: str
    location: Location


class FaultStep(msgspec.Struct, frozen=True):
    """A native fault in a method: a ladder of stages, each held and judged before the next."""

    fault: str  # "process/kill"
    target: Target
    ladder: tuple[BlastRadius, ...]
    hold_s: float
    arguments: tuple[Argument, ...]
    location: Location
    name: str


class Hypothesis(msgspec.Struct, frozen=True):
    """The steady state: native conditions on golden signals, and any Chaos Toolkit probes."""

    title: str
    conditions: tuple[Condition, ...] = ()
    probes: tuple[Activity, ...] = ()


class ExpectedAlert(msgspec.Struct, frozen=True):
    """An alert that must fire within `within_s` seconds of the first injection."""

    name: str
    within_s: float
    severity: str | None
    runbook: str | None
    location: Location


class Timing(msgspec.Struct, frozen=True):
    """How an experiment is measured, all in seconds."""

    interval_s: float = 1.0  # between samples
    baseline_s: float = 10.0  # how long the baseline is recorded
    steady_s: float = 5.0  # how long signals must hold again to count as recovered
    recovery_s: float = 60.0  # how long recovery is waited for
    blind_after_s: float = 10.0  # how long a guarding signal may be unreadable


class HypothesisStrategy(StrEnum):
    """When a plain experiment's hypothesis is judged, by the names of `chaos run --hypothesis-strategy`."""

    DEFAULT = "default"  # before and after the method
    BEFORE = "before-method-only"
    AFTER = "after-method-only"
    DURING = "during-method-only"
    CONTINUOUSLY = "continuously"  # before, during and after
    SKIP = "skip"

    @property
    def judges_before(self) -> bool:
        """Whether it must hold before anything is done."""
        return self in (self.DEFAULT, self.BEFORE, self.CONTINUOUSLY)

    @property
    def judges_during(self) -> bool:
        """Whether it is judged again and again while the method runs."""
        return self in (self.DURING, self.CONTINUOUSLY)

    @property
    def judges_after(self) -> bool:
        """Whether it is judged when the method has ended."""
        return self in (self.DEFAULT, self.AFTER, self.CONTINUOUSLY)


class RollbackStrategy(StrEnum):
    """When a plain experiment's rollbacks run, by the names of `chaos run --rollback-strategy`."""

    DEFAULT = "default"
    ALWAYS = "always"
    NEVER = "never"
    DEVIATED = "deviated"


class Runtime(msgspec.Struct, frozen=True):
    """How a plain experiment is run: what `chaos run` has options for."""

    hypothesis: HypothesisStrategy = HypothesisStrategy.DEFAULT
    frequency_s: float = 1.0  # between two judgements while the method runs
    fail_fast: bool = False  # the first of them that does not hold ends the method
    rollbacks: RollbackStrategy = RollbackStrategy.DEFAULT
    dry: Dry | None = None


class Experiment(msgspec.Struct, frozen=True):
    """One experiment file. `plain` means that it uses nothing but the Chaos Toolkit's own keys."""

    path: Path
    title: str
    description: str
    service: str | None
    hypothesis: Hypothesis
    method: tuple[FaultStep | Activity, ...]
    rollbacks: tuple[Activity, ...]
    alerts: tuple[ExpectedAlert, ...]
    recovers_within_s: float | None
    abort_when: tuple[Condition, ...]
    timing: Timing
    plain: bool
    location: Location
    tags: tuple[str, ...] = ()
    runtime: Runtime = Runtime()
    # Opaque to us, handed to the adapter.
    configuration: JsonObject = {}
    secrets: JsonObject = {}
    document: JsonObject = {}  # all of it, as written
    controls: tuple[str, ...] = ()
    dashboards: tuple[str, ...] = ()  # that must show what happens, named as a service's are
    warnings: tuple[Mistake, ...] = ()  # what is probably not meant, and keeps nothing from running

    def pretends(self, activity: Activity) -> bool:
        """Whether the activity is only pretended."""
        dry = activity.dry or self.runtime.dry
        return dry is not None and dry.pretends(activity.kind)

    def pauses(self, activity: Activity) -> tuple[float, float]:
        """How long to wait before and after it, in seconds."""
        if self.pretends(activity) or (activity.dry or self.runtime.dry) is Dry.PAUSE:
            return 0.0, 0.0
        return activity.pause_before_s, activity.pause_after_s
