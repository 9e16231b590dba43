"""Whether anyone would notice and could act: alerts, dashboards and who is on call, asked before and after."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from gameday.coverage.dashboards import DashboardError, DashboardSource, Named, Window, open_dashboards
from gameday.coverage.dashboards.judging import check_dashboard
from gameday.coverage.dashboards.naming import name_dashboards
from gameday.coverage.on_call import Acknowledging, OnCallError, OnCallSource, open_on_call, schedule_of
from gameday.engine.alerting import Alerting, check_alerts, examine_alerts, open_alerting, survey_alerting
from gameday.engine.context import PreparedExperiment
from gameday.engine.preflight import Check, check_runbooks
from gameday.journal.events import AlertExamination, CheckOutcome, DashboardInfo, OnCallInfo
from gameday.spec.model import Environment, Project

if TYPE_CHECKING:
    from gameday.engine.acknowledging import AcknowledgementWatch

_DEADLINE_S = 60.0  # sources keep their own, shorter timeouts; this is for one that does not
_SHOWN_S = 15 * 60.0  # what a dashboard shows before the session: the last quarter of an hour
_COMPARED_S = 15 * 60.0  # of the time before an injection, as far as it was quiet


class Before(msgspec.Struct, frozen=True):
    """What was found out for one experiment before anything was injected."""

    alerts: tuple[AlertExamination, ...] = ()
    dashboards: tuple[DashboardInfo, ...] = ()
    on_call: OnCallInfo | None = None
    checks: tuple[Check, ...] = ()


class Coverage:
    """The sources of one session, and what they said. Nothing here keeps a session from being undone or from ending:
    what cannot be asked is named, and nothing is concluded from it."""

    def __init__(self, project: Project, environment: Environment, experiments: Sequence[PreparedExperiment]) -> None:
        self._project = project
        self._environment = environment
        self._experiments = experiments
        self.alerting = Alerting()
        self._dashboards: DashboardSource | None = None
        self.on_call: OnCallSource | None = None
        self.before: dict[int, Before] = {}  # by experiment
        self._quiet_since = 0.0  # when the last fault was undone and had been recovered from

    async def open(self) -> tuple[Check, ...]:
        """Open all sources and read the alerting rules. A source that is not configured as it must be is a failure."""
        self.alerting = await open_alerting(self._environment, self._project)
        checks = [*self.alerting.checks]
        try:
            self._dashboards = open_dashboards(self._environment)
        except DashboardError as error:
            checks.append(Check("dashboards", CheckOutcome.FAILURE, str(error)))
        try:
            self.on_call = open_on_call(self._environment)
        except OnCallError as error:
            checks.append(Check("on-call", CheckOutcome.FAILURE, str(error)))
        return tuple(checks)

    async def survey(self) -> tuple[Check, ...]:
        """Ask the parts of the alerts' pipeline about all that the experiments expect."""
        self.alerting = await survey_alerting(self.alerting, self._environment, self._experiments)
        return self.alerting.checks

    async def examine(self, prepared: PreparedExperiment, now: float) -> Before:
        """All that can be known before this experiment. `now`: a Unix time."""
        alerts = examine_alerts(self.alerting, self._experiments, prepared, now)
        (dashboards, failed), (on_call, unknown) = await asyncio.gather(
            self._look(prepared, Window(now - _SHOWN_S, now)), self._look_up(prepared, now)
        )
        checks = [
            *check_alerts(self.alerting, prepared, alerts),
            *check_runbooks(prepared.runbooks, prepared.index),
            *failed,
            *unknown,
        ]
        for found in map(check_dashboard, dashboards):
            checks.append(Check(found.check, found.outcome, found.detail, prepared.index))
        if on_call is not None:
            from gameday.coverage.on_call.judging import check_on_call

            said = check_on_call(on_call, now)
            checks.append(Check(said.check, said.outcome, said.detail, prepared.index))
        before = Before(alerts, dashboards, on_call, tuple(checks))
        self.before[prepared.index] = before
        return before

    async def look_again(
        self, prepared: PreparedExperiment, injected_at: float, undone_at: float, now: float
    ) -> tuple[DashboardInfo, ...]:
        """The experiment's dashboards over the time of its faults, which is compared with the time before: at least its
        baseline, and otherwise no longer than since the experiment before it. Unix times."""
        quiet_since = max(injected_at - _COMPARED_S, self._quiet_since)
        start = min(quiet_since, injected_at - prepared.experiment.timing.baseline_s)
        self._quiet_since = now
        dashboards, _ = await self._look(prepared, Window(start, undone_at, injected=injected_at, undone=undone_at))
        return dashboards

    def acknowledgements(self, prepared: PreparedExperiment) -> "AcknowledgementWatch | None":
        """What watches for them while the experiment runs, where there is anybody to ask."""
        source: object = self.on_call
        if not isinstance(source, Acknowledging) or self._environment.on_call is None:
            return None
        from gameday.engine.acknowledging import AcknowledgementWatch

        expected = (alert.name for alert in prepared.experiment.alerts)
        return AcknowledgementWatch(source, self._environment.on_call.source, prepared.index, expected)

    async def close(self) -> None:
        """Let go of all connections."""
        for source in (self.alerting.source, self._dashboards, self.on_call):
            if source is not None:
                await source.close()

    async def _look(
        self, prepared: PreparedExperiment, window: Window
    ) -> tuple[tuple[DashboardInfo, ...], tuple[Check, ...]]:
        config, source = self._environment.dashboards, self._dashboards
        named = name_dashboards(self._project, prepared.experiment, self.alerting.rules)
        if config is not None and source is None:
            return (), ()  # it could not be opened, which has been said
        try:
            async with asyncio.timeout(_DEADLINE_S):
                known = [one for one in named if source is not None and source.knows(one.name)]
                found: tuple[DashboardInfo, ...] = ()
                if source is not None and (known or (config and config.tags)):
                    found = await source.examine(known, prepared.experiment.service, window)
                return (*found, *await _pages([one for one in named if one not in known], window)), ()
        except Exception as error:  # noqa: BLE001 - it is advice: a mistake in it must keep nothing from going on
            detail = f"could not be looked at: {type(error).__name__}: {error}"
            return (), (Check("dashboards", CheckOutcome.WARNING, detail, prepared.index),)

    async def _look_up(self, prepared: PreparedExperiment, now: float) -> tuple[OnCallInfo | None, tuple[Check, ...]]:
        config, service = self._environment.on_call, prepared.experiment.service
        if self.on_call is None or config is None:
            return None, ()
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await self.on_call.look_up(service, schedule_of(service, self._project, config), now), ()
        except Exception as error:  # noqa: BLE001 - likewise
            detail = f"could not be looked up: {type(error).__name__}: {error}"
            return None, (Check("on-call", CheckOutcome.WARNING, detail, prepared.index),)


async def _pages(named: Sequence[Named], window: Window) -> tuple[DashboardInfo, ...]:
    """What the environment's source does not know: Prometheus's own graphs are asked as their link says; another page
    is looked for at its URL; another name says nothing without its source."""
    urls = [one for one in named if one.name.startswith(("http://", "https://"))]
    others = [
        DashboardInfo(
            name=one.name,
            named_by=one.by,
            found=None,
            detail="the environment has no `dashboards` that would know this name",
        )
        for one in named
        if one not in urls
    ]
    if not urls:
        return tuple(others)
    from gameday.coverage.dashboards.graph import examine_graphs, expressions_of
    from gameday.coverage.dashboards.pages import examine_pages

    graphs = [one for one in urls if expressions_of(one.name)]
    pages = [one for one in urls if one not in graphs]
    return (*others, *await examine_graphs(graphs, window), *await examine_pages(pages))
