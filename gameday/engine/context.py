"""What the parts of an experiment's run share: the experiment as prepared, the tools, the findings so far."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.chaostoolkit.cluster import ActivityCluster
from gameday.common.json import JsonObject
from gameday.coverage import Finding
from gameday.engine.abort import Abort
from gameday.engine.activities import perform, pretend
from gameday.engine.jobs import Ceiling
from gameday.engine.monitor import Monitor
from gameday.engine.recorder import Recorder
from gameday.engine.runs import Run
from gameday.engine.workers import Workers
from gameday.faults.base import System, Value
from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    AnyEvent,
    Phase,
    PhaseEntered,
    RunbookInfo,
)
from gameday.signals import Query, SignalSource
from gameday.spec.model import Activity, ActivityKind, Experiment, FaultStep

if TYPE_CHECKING:
    from gameday.engine.coverage import Coverage
    from gameday.engine.policy import Rules
    from gameday.engine.shared_locks import SharedHold

_GRACE_S = 1.0


def acts(experiment: Experiment, step: FaultStep | Activity) -> bool:
    """Whether it changes anything."""
    return isinstance(step, FaultStep) or (step.kind is ActivityKind.ACTION and not experiment.pretends(step))


class Tools(msgspec.Struct, frozen=True):
    """What every experiment of a session shares."""

    run: Run
    recorder: Recorder
    workers: Workers
    abort: Abort
    source: SignalSource | None
    coverage: "Coverage"
    system: System
    ceiling: Ceiling
    rules: "Rules"
    shared: "SharedHold"
    seed: int


class PreparedExperiment(msgspec.Struct, frozen=True):
    """An experiment with all that was looked up for it before the session began."""

    index: int
    experiment: Experiment
    arguments: dict[int, dict[str, Value]]  # of fault steps, by their place in the method
    queries: tuple[Query, ...]
    runbooks: tuple[RunbookInfo, ...]
    owner: str | None
    controls: tuple[str, ...] = ()  # its own, and those of the Toolkit's settings

    @property
    def is_supervised(self) -> bool:
        """Whether the Toolkit itself runs it: nobody else can honour controls."""
        return self.experiment.plain and bool(self.controls)


class Context(msgspec.Struct):
    """One experiment while it runs."""

    prepared: PreparedExperiment
    tools: Tools
    monitor: Monitor
    configuration: JsonObject = {}  # what the probes in it said before the baseline, in their place
    findings: list[Finding] = []

    @property
    def index(self) -> int:
        """The experiment's place in the session."""
        return self.prepared.index

    @property
    def experiment(self) -> Experiment:
        """As the user wrote it."""
        return self.prepared.experiment

    @property
    def record(self) -> Callable[[AnyEvent], None]:
        """Write an event to the journal."""
        return self.tools.recorder.record

    @property
    def now(self) -> Callable[[], float]:
        """Seconds since the Unix epoch."""
        return self.tools.recorder.now

    @property
    def activity_cluster(self) -> ActivityCluster | None:
        """Which cluster activities mean: the environment's, if it has one."""
        reference = self.tools.system.cluster
        return ActivityCluster(reference, self.tools.run.directory) if reference else None

    async def refusal(self, step: FaultStep | Activity, *, has_injected: bool) -> str | None:
        """Why this step may not touch anything as things are now, by the policy or since another session has a service
        of this one; None when it may."""
        tools = self.tools
        # By the system's clock: that of the run stands still while the machine sleeps, and hours pass.
        now, in_place = datetime.now(UTC), bool(tools.recorder.state.faults) or has_injected
        if refusal := await tools.rules.refusal(self.experiment, step, tools.source, now, in_place):
            return refusal
        # A fault is asked about when its plan says how long its undo may take.
        asked = isinstance(step, Activity) and acts(self.experiment, step)
        return await tools.shared.refusal() if asked else None

    def enter(self, phase: Phase) -> None:
        """A phase begins."""
        self.record(PhaseEntered(at=self.now(), phase=phase, experiment=self.index))

    async def perform(self, activity: Activity, section: str, timeout_s: float) -> ActivityEnded:
        """Run an activity of the experiment, or pretend to; `section` is "hypothesis" or "method".

        `timeout_s` is for one that names none.
        """
        started = ActivityStarted(
            at=self.now(),
            experiment=self.index,
            activity=self.tools.recorder.state.activities,
            name=activity.name,
            kind=activity.kind,
            section=section,
            background=activity.background,
        )
        request = ActivityRequest(
            definition=activity.definition,
            configuration=self.configuration,
            secrets=self.experiment.secrets,
            tolerance=section == "hypothesis",
            cluster=self.activity_cluster,
        )
        recorder = self.tools.recorder
        if self.experiment.pretends(activity):
            return pretend(recorder, started)
        if activity.timeout_s is not None:
            timeout_s = activity.timeout_s + _GRACE_S  # most providers heed it themselves, and say more of it
        return await perform(recorder, self.tools.workers, request, started, timeout_s)
