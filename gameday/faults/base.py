"""What a fault is: a plan without side effects, an injection, an undo, and a check that it is undone.

All four are plain synchronous functions. The engine calls each in a child process of its own, with a timeout, and kills
the child when the run must end; a fault may block, crash or print what it likes without harm to the run.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import msgspec

from gameday.journal.events import CheckOutcome
from gameday.kubernetes.reference import ClusterRef


class FaultError(Exception):
    """A fault cannot be planned, injected or undone; the message says why, to a person."""


class ConflictError(FaultError):
    """Somebody else has changed what the fault changed: it is theirs now, and to try the undo again changes nothing."""


class ParameterKind(StrEnum):
    """How a parameter's text is read, and what the fault gets."""

    DURATION = "duration"  # "300ms" -> seconds, float
    INTEGER = "integer"  # int
    TEXT = "text"  # str
    CHOICE = "choice"  # str, one of the choices
    BOOLEAN = "boolean"  # "true" or "false" -> bool


class Parameter(msgspec.Struct, frozen=True):
    """One setting a fault takes. Without a default it must be given, unless it is optional. Bounds are inclusive, in
    the base unit."""

    kind: ParameterKind
    help: str
    default: str | None = None  # as a user would write it
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False


type Value = bool | float | int | str


class Radius(msgspec.Struct, frozen=True):
    """How much one stage touches: a count, or a share between 0 and 1."""

    count: int | None = None
    share: float | None = None

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{(self.share or 0) * 100:g}%"


class System(msgspec.Struct, frozen=True):
    """What the faults can reach in the environment. `namespaces`: where in a cluster they may act; none: anywhere.

    `nodes`: the names, or patterns of these, of the nodes that they may touch; none: any, if no namespaces are named.
    """

    inventory: Path | None = None
    cluster: ClusterRef | None = None
    namespaces: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    clusters: dict[str, ClusterRef] = {}  # further ones, by the names that targets use
    places: dict[str, str] = {}  # where the policy says so, for messages, by `namespaces` and `nodes`

    def place(self, rule: str) -> str:
        """The end of a message that refuses something by this rule of the policy."""
        return self.places.get(rule, "")


class Pick(StrEnum):
    """Which of the candidates a stage hits first."""

    RANDOM = "random"  # repeated by the recorded seed
    OLDEST = "oldest"
    NEWEST = "newest"
    ONE_PER_NODE = "one-per-node"  # at random, a second one on a node only when each has had its first


class Where(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the targets are found, beside or in place of a service: what is named must all be so.

    `selector` is a label selector, `owner` a workload ("deployment/payments"), `name`, `node` and `zone` are names or
    patterns such as "payments-*". `cluster`: another one than the environment's first.
    """

    selector: str | None = None
    owner: str | None = None
    name: str | None = None
    node: str | None = None
    zone: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    pick: Pick = Pick.RANDOM


class Stamp(msgspec.Struct, frozen=True):
    """What says in the system itself whose change something is. `until`: when the run is over for certain, in seconds
    since the Unix epoch; whoever finds the change later may undo it."""

    run: str = "plan"
    fault_id: str = "0.0.0"
    until: float = 0.0


class FaultRequest(msgspec.Struct, frozen=True):
    """What the user asked for, for one stage. `service` is empty where `where` alone says who is hit.

    `already` names the targets that earlier stages of the same step still hold: a stage grows from them, so that the
    blast radius is never the sum of the stages.
    """

    service: str
    radius: Radius
    caller: str | None = None
    arguments: dict[str, Value] = {}
    already: tuple[str, ...] = ()
    seed: int = 0
    where: Where = Where()
    stamp: Stamp = Stamp()


class Reach(msgspec.Struct, frozen=True):
    """How much would be affected, of how much, as the system says now. `unit`: of what, "instances" or "calls"."""

    affected: int
    total: int
    unit: str = "instances"

    def __str__(self) -> str:
        if self.unit == "calls":
            return f"{self.share * 100:g}% of the calls"
        return f"{self.affected} of {self.total} {self.unit}"

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.affected / self.total if self.total else 1.0


class Patience(msgspec.Struct, frozen=True):
    """How long an injection and an undo, with all its attempts, may take, in seconds."""

    inject_s: float = 30.0
    undo_s: float = 90.0


class Table(msgspec.Struct, frozen=True):
    """What would be hit, a row each."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Remark(msgspec.Struct, frozen=True):
    """Something that preflight should know; a failure keeps the session from starting."""

    check: str
    outcome: CheckOutcome
    detail: str


class Permission(msgspec.Struct, frozen=True, order=True):
    """What the user must be allowed to do in a cluster, in the words of RBAC. No namespace: in the cluster as a whole.

    `purpose` is "plan", "inject" or "undo".
    """

    verb: str
    group: str
    resource: str  # with a subresource "pods/eviction"
    namespace: str | None
    purpose: str
    cluster: str = ""  # one of the environment's further ones


class Examination(msgspec.Struct, frozen=True):
    """What there is to know before a stage, beyond its plan."""

    table: Table | None = None
    remarks: tuple[Remark, ...] = ()
    permissions: tuple[Permission, ...] = ()


class Fault[P: msgspec.Struct](ABC):
    """One fault. Register it under the entry-point group `gameday.faults`, by its name.

    `P` is the plan: a frozen msgspec.Struct, JSON in the journal. It must hold all that undo, verify and by_hand need.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    parameters: ClassVar[dict[str, Parameter]] = {}
    lasts: ClassVar[bool] = True  # until it is undone; False when the system is meant to mend it by itself
    target_keys: ClassVar[frozenset[str]] = frozenset({"service", "from"})  # of `target:`, that it understands
    plan_type: type[P]

    @abstractmethod
    def plan(self, request: FaultRequest, system: System) -> P:
        """Decide exactly what will be hit and note what undo needs. Changes nothing. Raises FaultError."""

    @abstractmethod
    def targets(self, plan: P) -> tuple[str, ...]:
        """The names of what is hit, all of them (those of earlier stages too)."""

    @abstractmethod
    def reach(self, plan: P, system: System) -> Reach:
        """How much the plan affects of what is there *now*; asked again right before injection. Raises FaultError."""

    @abstractmethod
    def inject(self, plan: P) -> None:
        """Do it. Raises FaultError; what was done in part is then undone by `undo`."""

    @abstractmethod
    def undo(self, plan: P) -> None:
        """Put back what `plan` recorded. Idempotent; harmless when nothing was injected. Raises FaultError."""

    @abstractmethod
    def verify(self, plan: P) -> tuple[str, ...]:
        """What is still not as it was, one short sentence each; empty when all is undone. Raises FaultError."""

    @abstractmethod
    def by_hand(self, plan: P) -> str:
        """The command or steps with which a person undoes it without gameday."""

    def describe(self, plan: P) -> str:
        """One line for plan and report: what will happen to the targets."""
        return f"{self.name} on {', '.join(self.targets(plan))}"

    def patience(self, plan: P) -> Patience:
        """How long its injection and its undo may take."""
        return Patience()

    def examine(self, request: FaultRequest, plan: P | None, system: System) -> Examination:
        """Look more closely than a plan does, before the session; changes nothing. Raises FaultError.

        `plan` is None when there is none for this stage: what can be said without one is said.
        """
        return Examination()


def allowed(radius: Radius, total: int) -> int:
    """How many of `total` the radius allows, rounded down. Raises FaultError when that is none."""
    from gameday.spec.model import BlastRadius

    wanted = BlastRadius(radius.count, radius.share)
    if radius.count is not None and radius.count > total:
        raise FaultError(f"a blast radius of {radius.count} needs {radius.count} targets, and there are {total}")
    number = wanted.of(total)
    if number < 1:
        raise FaultError(f"a blast radius of {wanted} of {total} is less than one: nothing would be hit")
    return number


def choose[T](candidates: Sequence[T], names: Sequence[str], request: FaultRequest) -> tuple[T, ...]:
    """The targets of this stage: those of earlier stages first, then a random choice that `request.seed` repeats.

    `names` runs beside `candidates`. Raises FaultError when the radius allows none.
    """
    number = allowed(request.radius, len(candidates))
    by_name = dict(zip(names, candidates, strict=True))
    kept = [name for name in request.already if name in by_name][:number]
    rest = sorted(name for name in by_name if name not in kept)
    from random import Random

    Random(request.seed).shuffle(rest)
    return tuple(by_name[name] for name in [*kept, *rest[: number - len(kept)]])
