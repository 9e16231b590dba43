"""The steady state of one experiment: recorded before, judged during and after, and waited for until it is back."""

import asyncio
from collections.abc import Sequence

from gameday.coverage import Finding
from gameday.engine.context import Context
from gameday.engine.findings import say
from gameday.engine.judge import Sample, Streak, all_hold, baseline_of, judge_condition, value_of
from gameday.journal.events import (
    TOLERANCE,
    BaselineRecorded,
    FindingKind,
    HypothesisJudged,
    Judgement,
    Outcome,
    Phase,
    RecoveryMeasured,
)
from gameday.spec.model import Activity

_PROBE_TIMEOUT_S = 300.0  # for those that name none


class SteadyState:
    """Judges one experiment's hypothesis."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.broken: list[Judgement] = []  # during the method

    async def baseline(self) -> str | None:
        """Record the steady state before anything is injected. None when it holds, else why nothing may be injected."""
        context, monitor = self._context, self._context.monitor
        context.enter(Phase.BASELINE)
        began = context.now()
        if context.prepared.queries:
            await asyncio.sleep(context.experiment.timing.baseline_s)
        await monitor.first_look()
        samples = monitor.since(began)
        monitor.baseline = baseline_of(samples)
        context.record(BaselineRecorded(at=context.now(), experiment=context.index, values=monitor.baseline))
        if not context.experiment.runtime.hypothesis.judges_before:
            return None
        judgements = await self.judge(samples, "before")
        wrong = [say(judgement) for judgement in judgements if judgement.outcome is not Outcome.HELD]
        wrong += [
            f"{condition.signal} has no baseline to compare with"
            for condition in (*context.experiment.hypothesis.conditions, *context.experiment.abort_when)
            if condition.relative and not monitor.baseline.get(str(condition.signal))
        ]
        wrong += self._unguarded(samples)
        return f"the steady state does not hold before anything is injected: {', '.join(wrong)}" if wrong else None

    def _unguarded(self, samples: Sequence[Sample]) -> list[str]:
        """Why the guard could not do its work: it sees nothing, or would trip at once."""
        wrong = []
        baseline = self._context.monitor.baseline
        for condition in self._context.experiment.abort_when:
            streak = Streak(self._context.experiment.timing.interval_s)
            lasted = 0.0
            for sample in samples:
                value = value_of(condition, sample, baseline)
                lasted = streak.feed(sample.at, None if value is None else condition.holds_for(value))
            if not condition.relative and str(condition.signal) not in baseline:
                wrong.append(f"{condition.signal} of abort-when could not be read")
            elif lasted and lasted >= condition.for_s:
                wrong.append(f"abort-when holds already: {condition.signal} is {condition.text}")
        return wrong

    async def after_method(self, began: float) -> None:
        """Judge what the method has led to, since `began`, before anything is undone."""
        context = self._context
        samples = context.monitor.since(began)
        if context.experiment.runtime.hypothesis.judges_after and (samples or context.experiment.hypothesis.probes):
            await self.judge(samples, "during", ended=True)

    async def watch(self) -> None:
        """Judge again and again while the method runs; returns when it did not hold and that is to end the method."""
        runtime = self._context.experiment.runtime
        while True:
            judgements = await self.judge((), "during")
            if runtime.fail_fast and any(judgement.outcome is not Outcome.HELD for judgement in judgements):
                return
            await asyncio.sleep(runtime.frequency_s)

    async def judge(
        self,
        samples: Sequence[Sample],
        when: str,
        *,
        step: int | None = None,
        stage: int | None = None,
        ended: bool = False,
    ) -> tuple[Judgement, ...]:
        """Judge every condition over these samples, and every probe now, all in parallel."""
        context = self._context
        conditions = [
            judge_condition(condition, samples, context.monitor.baseline, context.experiment.timing.interval_s)
            for condition in context.experiment.hypothesis.conditions
            if not (when == "before" and condition.relative)  # nothing to compare with yet
        ]
        probes = await asyncio.gather(*(self._probe(probe, when) for probe in context.experiment.hypothesis.probes))
        judgements = (*conditions, *probes)
        wanting = [judgement for judgement in judgements if judgement.outcome is not Outcome.HELD]
        context.record(
            HypothesisJudged(
                at=context.now(),
                experiment=context.index,
                when=when,
                held=not wanting,
                judgements=judgements,
                step=step,
                stage=stage,
                ended=ended,
            )
        )
        if when == "during":
            self.broken += wanting
        return judgements

    async def _probe(self, probe: Activity, when: str) -> Judgement:
        # A plain hypothesis may hold an action. Once the method has begun, an incident may be of our own making.
        if refusal := await self._context.refusal(probe, has_injected=when != "before"):
            return Judgement(
                subject=probe.name, condition=TOLERANCE, outcome=Outcome.UNREADABLE, samples=1, detail=refusal
            )
        ended = await self._context.perform(probe, "hypothesis", _PROBE_TIMEOUT_S)
        if ended.status != "succeeded":
            outcome, detail = Outcome.UNREADABLE, ended.error
        else:
            outcome = Outcome.BROKEN if ended.tolerance_met is False else Outcome.HELD
            detail = ended.output[:200]
        return Judgement(
            subject=probe.name,
            condition=TOLERANCE,
            outcome=outcome,
            samples=1,
            readable=int(outcome is not Outcome.UNREADABLE),
            detail=detail,
        )

    async def recover(self, undone_at: float) -> None:
        """Wait until the signals are steady again and the alerts are silent, and measure how long that took.

        A person who has asked for the end is not kept waiting.
        """
        context = self._context
        if not self._is_judged_after_undo():
            return
        context.enter(Phase.RECOVERY)
        experiment, timing = context.experiment, context.experiment.timing
        deadline = undone_at + max(timing.recovery_s, experiment.recovers_within_s or 0.0)
        conditions = experiment.hypothesis.conditions
        steady_since: float | None = None
        recovered = not conditions
        while context.now() < deadline and not context.tools.abort.is_hasty:
            if recovered and not context.monitor.has_firing_alerts:
                break
            sample = await context.monitor.next_sample(timing.interval_s * 2)
            if sample is None or sample.at < undone_at or recovered:
                continue
            if all_hold(conditions, sample, context.monitor.baseline):
                steady_since = sample.at if steady_since is None else steady_since
                recovered = sample.at - steady_since + timing.interval_s >= timing.steady_s
            else:
                steady_since = None
        if context.tools.abort.is_hasty:
            return
        if conditions:
            self._measure(undone_at, steady_since if recovered else None)
        window_began = steady_since if recovered and steady_since else context.now() - timing.steady_s
        judgements = await self.judge(context.monitor.since(window_began), "after")
        wrong = [say(judgement) for judgement in judgements if judgement.outcome is not Outcome.HELD]
        if recovered and wrong:
            self._find(FindingKind.NOT_RECOVERED, "The steady state does not hold after the undo", "; ".join(wrong))

    def _is_judged_after_undo(self) -> bool:
        """Of a plain experiment nothing is asked once more unless its rollbacks have changed something since."""
        experiment = self._context.experiment
        return not experiment.plain or (bool(experiment.rollbacks) and experiment.runtime.hypothesis.judges_after)

    def _measure(self, undone_at: float, steady_since: float | None) -> None:
        context = self._context
        within = context.experiment.recovers_within_s
        seconds = None if steady_since is None else round(steady_since - undone_at, 3)
        context.record(
            RecoveryMeasured(
                at=context.now(),
                experiment=context.index,
                recovered=seconds is not None,
                seconds=seconds,
                within_s=within,
            )
        )
        if seconds is None:
            waited = max(context.experiment.timing.recovery_s, within or 0.0)
            self._find(FindingKind.NOT_RECOVERED, f"The steady state was not back {waited:g} s after the undo")
        elif within is not None and seconds > within:
            title = f"Recovery took {seconds:.1f} s, and was expected within {within:g} s"
            self._find(FindingKind.RECOVERED_LATE, title)

    def _find(self, kind: FindingKind, title: str, detail: str = "") -> None:
        self._context.findings.append(
            Finding(kind, title, detail, suggested_owner=self._context.prepared.owner),
        )
