"""What was well before a session, by its own journal, and is not in it. Pure; no I/O.

It counts as `gameday history` does (`regressions` of gameday.report.trends): only an experiment that came to its end
says anything, and an alert that fired before the fault counts neither way.
"""

import msgspec

from gameday.journal.events import ActionWasClosed, Loss, WasWell
from gameday.report.past_run import fingerprint
from gameday.report.views import AlertOutcome, ExperimentReport, Report, Status

_JUDGED = (Status.HELD, Status.WEAKNESS)


class Lost(msgspec.Struct, frozen=True):
    """Something of this experiment was well in an earlier run, and is not in this one."""

    experiment: ExperimentReport
    well: WasWell

    @property
    def has_changed(self) -> bool | None:
        """Whether the experiment is not written as it was then; None when that is not known."""
        now = fingerprint(self.experiment.info)
        return now != self.well.document if now and self.well.document else None


class CameBack(msgspec.Struct, frozen=True):
    """An action item was closed before the session, and this experiment has found it again."""

    experiment: ExperimentReport
    action: ActionWasClosed


def lost_of(report: Report) -> tuple[Lost, ...]:
    """In the order of the experiments, as they were recalled."""
    by = {one.index: one for one in report.experiments}
    found = [Lost(by[well.experiment], well) for well in report.was_well if well.experiment in by]
    found.sort(key=lambda one: one.experiment.index)
    return tuple(one for one in found if _is_lost(one.experiment, one.well))


def came_back(report: Report) -> tuple[CameBack, ...]:
    """In the order in which they were recalled."""
    found = {
        finding.action: experiment
        for experiment in reversed(report.experiments)
        for finding in experiment.findings
        if finding.action
    }
    return tuple(CameBack(found[one.action], one) for one in report.closed if one.action in found)


def _is_lost(experiment: ExperimentReport, well: WasWell) -> bool:
    if experiment.status not in _JUDGED:
        return False
    match well.loss:
        case Loss.VERDICT:
            return experiment.status is Status.WEAKNESS
        case Loss.ALERT:
            return fate_of(well.alert, experiment) in (AlertOutcome.LATE, AlertOutcome.MISSED)
        case Loss.RECOVERY:
            recovery = experiment.recovery
            return recovery is not None and (not recovery.recovered or recovery.is_late)


def fate_of(name: str, experiment: ExperimentReport) -> AlertOutcome | None:
    """What became of an expected alert; None when it is not one of this experiment's."""
    return next((alert.outcome for alert in experiment.alerts if alert.expected and alert.name == name), None)
