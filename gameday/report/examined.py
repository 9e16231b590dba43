"""Collects what was found out, before and after, of whether anyone would notice and could act."""

import msgspec

from gameday.journal.events import (
    AlertExamination,
    AlertExamined,
    AlertRuleInfo,
    AlertRulesRead,
    DashboardExamined,
    ExperimentInfo,
    OnCallExamined,
    OnCallInfo,
    RunbookInfo,
)
from gameday.report.views import Dashboard

_MAX_KEPT = 1000

type AnyExamined = AlertRulesRead | AlertExamined | DashboardExamined | OnCallExamined


class Examined(msgspec.Struct):
    """Of one experiment; grows by one event at a time."""

    alerts: list[AlertExamination] = []
    on_call: list[OnCallInfo] = []
    _rules: tuple[AlertRuleInfo, ...] | None = None  # of expected alerts
    _are_there_rules: bool = False
    _looks: list[DashboardExamined] = []

    def take(self, event: AnyExamined, info: ExperimentInfo) -> None:
        """Take one event in."""
        match event:
            case AlertRulesRead():
                expected = {alert.name for alert in info.alerts}
                self._rules = tuple(rule for rule in event.rules if rule.name in expected)
                self._are_there_rules = bool(event.rules)
            case AlertExamined() if len(self.alerts) < _MAX_KEPT:
                self.alerts.append(event.alert)
            case DashboardExamined() if len(self._looks) < _MAX_KEPT:
                self._looks.append(event)
            case OnCallExamined() if len(self.on_call) < _MAX_KEPT:
                self.on_call.append(event.on_call)
            case _:
                pass

    @property
    def has_source(self) -> bool:
        """Whether there was anything that alerts could be seen by: its rules are asked for before all else."""
        return self._rules is not None

    def rules(self, *, was_injected: bool) -> tuple[AlertRuleInfo, ...] | None:
        """The rules of the expected alerts; None when they could not be read.

        No rule at all may mean that their server did not answer; then nothing is injected.
        """
        return self._rules if self._are_there_rules or was_injected else None

    def dashboards(self) -> tuple[Dashboard, ...]:
        """Each as it was looked at last, in the order in which they were first."""
        order = {look.dashboard.name: number for number, look in reversed([*enumerate(self._looks)])}
        again = {look.dashboard.name for look in self._looks if look.after}
        latest = [look for look in self._looks if look.after or look.dashboard.name not in again]
        return tuple(
            Dashboard(look.dashboard, look.after)
            for look in sorted(latest, key=lambda look: order[look.dashboard.name])
        )


def with_runbook(info: ExperimentInfo, found: RunbookInfo) -> ExperimentInfo:
    """The experiment, with what was found of a runbook in the place of what was known when its session began."""
    runbooks = tuple(found if book.name == found.name else book for book in info.runbooks)
    return msgspec.structs.replace(info, runbooks=runbooks if found in runbooks else (*runbooks, found))
