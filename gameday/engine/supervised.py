"""Runs a plain experiment that has controls: through the Toolkit's own command, in one child that can be killed.

Controls wrap every step of the Toolkit's own run, so they cannot be honoured one activity at a time. What the child
does is heard as it happens. The rollbacks are on disk before it begins: those that it does not run to success, we do.
"""

import asyncio
import contextlib
import re
from collections import Counter
from datetime import UTC, datetime

import msgspec

from gameday.chaostoolkit.adapter import EVENTS, ExperimentRequest
from gameday.common.texts import one_line
from gameday.coverage import Finding
from gameday.engine.context import Context
from gameday.engine.findings import failed_finding, say
from gameday.engine.jobs import Job, JobKind, JobResult
from gameday.engine.recorder import Recorder
from gameday.engine.undo import Rollbacks, call_off_rollbacks
from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    AnyEvent,
    HypothesisJudged,
    Judgement,
    Outcome,
    PhaseEntered,
)
from gameday.journal.log import decode_event
from gameday.spec.model import Experiment, HypothesisStrategy, RollbackStrategy

_POLL_S = 0.05
_TIMEOUT_S = 7 * 86400.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of the Toolkit's log lines


class Tally:
    """Records what the Toolkit's run tells, under the session's numbers, and keeps what is found in it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._open: dict[int, ActivityStarted] = {}  # by their own numbers
        self.broken: list[Judgement] = []  # during the method
        self.unmet: list[Judgement] = []  # before it
        self.findings: list[Finding] = []
        self.injected_at: float | None = None
        self.has_injected = False
        self.rolled_back: Counter[str] = Counter()  # by name: how many rollbacks succeeded
        self.not_rolled_back: list[str] = []

    def take(self, event: AnyEvent) -> None:
        """One event, in order."""
        match event:
            case ActivityStarted():
                started = msgspec.structs.replace(event, activity=self._recorder.state.activities)
                self._open[event.activity] = started
                self._recorder.record(started)
                if self.injected_at is None and event.section == "method" and event.kind == "action":
                    self.injected_at = event.at
            case ActivityEnded():
                if begun := self._open.pop(event.activity, None):
                    self._recorder.record(msgspec.structs.replace(event, activity=begun.activity))
                    self._ended(begun, event)
            case HypothesisJudged():
                self._recorder.record(event)
                wanting = [item for item in event.judgements if item.outcome is not Outcome.HELD]
                if event.when == "before":
                    self.unmet += wanting
                else:
                    self.broken += wanting
            case PhaseEntered():
                self._recorder.record(event)
            case _:
                pass  # nothing else is the Toolkit's to say

    def _ended(self, started: ActivityStarted, ended: ActivityEnded) -> None:
        succeeded = ended.status == "succeeded"
        if started.section == "rollback":
            self.rolled_back[started.name] += succeeded
            self.not_rolled_back += [] if succeeded else [started.name]
        elif started.section == "method":
            is_action = started.kind == "action"
            self.has_injected = self.has_injected or (is_action and succeeded)
            if not succeeded:
                self.findings.append(failed_finding(started.kind, started.name, ended.error))

    def close(self, why: str) -> None:
        """Nothing more comes: what has not ended was killed."""
        for started in self._open.values():
            now = self._recorder.now()
            self._recorder.record(
                ActivityEnded(
                    at=now,
                    experiment=started.experiment,
                    activity=started.activity,
                    status="killed",
                    took_s=round(max(0.0, now - started.at), 4),
                    error=why,
                )
            )
        self._open.clear()


class Supervised:
    """One run of one experiment through the Toolkit. Use once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._directory = context.tools.run.toolkit_directory(context.index)
        self._heard = 0  # bytes of the child's events
        self.tally = Tally(context.tools.recorder)

    async def run(self) -> str | None:
        """All of it, but for rollbacks that are still to be done. None, or why the method was never begun.

        Raises AbortedError once the child is dead. An end that the Toolkit came to by itself is asked for as an abort.
        """
        context, tools = self._context, self._context.tools
        # Once for all of it: the Toolkit does not ask before each step.
        allowed = tools.rules.refusal_of_any(context.experiment, tools.source, datetime.now(UTC))
        if refusal := await tools.abort.race(allowed) or await tools.abort.race(tools.shared.refusal()):
            return refusal
        request = ExperimentRequest(
            document=_resolved(context.experiment, context.configuration),
            directory=self._directory,
            options=options_of(context.experiment),
            experiment=context.index,
            cluster=context.activity_cluster,
        )
        self._directory.mkdir(mode=0o700)
        follower = asyncio.create_task(self._follow())
        try:
            job = Job(kind=JobKind.EXPERIMENT, experiment=request)
            result = await context.tools.abort.race(context.tools.workers.run(job, _TIMEOUT_S))
        finally:
            follower.cancel()
            await asyncio.wait({follower})
            self._hear()
            self.tally.close("the run was ended")
            context.tools.run.forget_toolkit()
        return self._conclude(result)

    async def _follow(self) -> None:
        while True:
            self._hear()
            await asyncio.sleep(_POLL_S)

    def _hear(self) -> None:
        """Record what the child has told since the last time."""
        with contextlib.suppress(OSError), (self._directory / EVENTS).open("rb") as file:
            file.seek(self._heard)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is still being written
                self._heard += len(line)
                with contextlib.suppress(msgspec.MsgspecError):  # a control may write into any file
                    self.tally.take(decode_event(line))

    def _conclude(self, result: JobResult) -> str | None:
        outcome, abort, index = result.experiment, self._context.tools.abort, self._context.index
        if outcome is None:
            said = one_line(_COLOUR.sub("", result.error))
            abort.ask("failure", f"the Chaos Toolkit {said}", experiment=index)
            return None
        said = outcome.reason or "; ".join(outcome.said[-3:])
        if not outcome.status:
            return f"the Chaos Toolkit did not begin: {said}"
        if outcome.status == "interrupted":
            abort.ask("activity", f"the experiment was interrupted: {said}", experiment=index)
        elif outcome.status == "aborted":
            abort.ask("failure", f"the Chaos Toolkit aborted the experiment: {said}", experiment=index)
        elif self.tally.unmet:
            wrong = ", ".join(map(say, self.tally.unmet))
            return f"the steady state does not hold before anything is injected: {wrong}"
        return None

    def settle_rollbacks(self) -> None:
        """Take the rollbacks that the Toolkit ran to success for done: only the others are left on disk."""
        context, done = self._context, self.tally.rolled_back
        directory = context.tools.run.directory
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # whoever runs them says what is wrong with the file
            rollbacks = Rollbacks.load(directory, context.index)
            left = []
            for definition in rollbacks.activities:
                name = str(definition.get("name", ""))
                if done[name]:
                    done[name] -= 1
                else:
                    left.append(definition)
            if left:
                rollbacks.only(left).save(directory, context.index)
            else:
                call_off_rollbacks(context.tools.recorder, directory, context.index)


def _resolved(experiment: Experiment, configuration: dict[str, object]) -> dict[str, object]:
    """The experiment with the values that were given for this run, and those of its configuration's probes."""
    values = {"configuration": configuration, "secrets": experiment.secrets}
    return {**experiment.document, **{key: value for key, value in values.items() if value}}


def options_of(experiment: Experiment) -> tuple[str, ...]:
    """What `chaos run` is told, so that it does what we would."""
    runtime, options = experiment.runtime, []
    strategy = runtime.hypothesis
    # Where neither the file nor anybody says otherwise, the Toolkit's settings may; it has no option for `skip`.
    if strategy is not HypothesisStrategy.SKIP and (
        strategy is not HypothesisStrategy.DEFAULT or "runtime" in experiment.document
    ):
        options += ["--hypothesis-strategy", strategy.value]
    options += ["--hypothesis-frequency", str(runtime.frequency_s)]
    options += ["--fail-fast"] if runtime.fail_fast else []
    options += ["--dry", runtime.dry.value] if runtime.dry else []
    # Theirs are played whatever happened, so that controls see them; ours come after whatever is left.
    rollbacks = RollbackStrategy.ALWAYS if runtime.rollbacks is RollbackStrategy.DEFAULT else runtime.rollbacks
    return (*options, "--rollback-strategy", rollbacks.value)
