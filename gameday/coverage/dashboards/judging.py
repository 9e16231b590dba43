"""Says of dashboards what was found wanting, before a session and after an experiment. Pure; no I/O."""

from collections.abc import Iterator, Sequence

from gameday.coverage.base import Finding
from gameday.coverage.preflight import PreflightResult
from gameday.journal.events import CheckOutcome, DashboardInfo, FindingKind, PanelInfo, PanelState

_MOST_NAMED = 8  # panels, in one sentence


def check_dashboard(dashboard: DashboardInfo) -> PreflightResult:
    """Whether it is there and shows anything now. What is wanting is a warning, as it is of alerts."""
    check = f"dashboard {dashboard.title or dashboard.name}"
    by = f" (named by {', '.join(dashboard.named_by)})"
    wrong = ""
    if dashboard.found is None:
        wrong = f"cannot be looked at: {dashboard.detail or 'its source does not say why'}{by}"
    elif not dashboard.found:
        wrong = f"is not there: {dashboard.detail or 'its source has none of this name'}{by}"
    elif wanting := [*_wanting(dashboard)]:
        wrong = "; ".join(wanting)
    if wrong:
        return PreflightResult(check, CheckOutcome.WARNING, wrong)
    with_data = [panel for panel in dashboard.panels if panel.state is PanelState.DATA]
    what = f"{len(with_data)} panels, all with data" if with_data else dashboard.detail or "found"
    return PreflightResult(check, CheckOutcome.OK, f"{what}{by}")


def judge_dashboards(
    before: Sequence[DashboardInfo],
    after: Sequence[DashboardInfo],
    *,
    was_broken: bool,
    owner: str | None = None,
) -> tuple[Finding, ...]:
    """What an experiment showed about its dashboards. `after` is of the time with the fault in place, where there was
    one; `was_broken`: the steady state did not hold meanwhile, so there was something to see.

    That a panel is empty may be right (a counter of what never happens): it is a weakness where half of a dashboard's
    are, or where a panel's queries fail.
    """
    findings: list[Finding] = []
    for dashboard in after or before:
        title = dashboard.title or dashboard.name
        if dashboard.found is False:
            by = f"named by {', '.join(dashboard.named_by)}"
            detail = "; ".join(filter(None, (dashboard.detail, by)))
            findings.append(
                Finding(FindingKind.DASHBOARD_MISSING, f"There is no dashboard {title}", detail, True, owner)
            )
        elif wanting := [*_wanting(dashboard)]:
            said = f"The dashboard {title} does not show all that it should"
            findings.append(Finding(FindingKind.DASHBOARD_EMPTY, said, "; ".join(wanting), _is_weak(dashboard), owner))
    compared = [panel for dashboard in after for panel in dashboard.panels if panel.moved is not None]
    if compared and not any(panel.moved for panel in compared):
        names = ", ".join(dashboard.title or dashboard.name for dashboard in after if dashboard.panels)
        said = f"compared with the time before: {len(compared)} of the panels of {names}"
        title = "No panel of any dashboard showed what was broken" if was_broken else "No panel of any dashboard moved"
        findings.append(Finding(FindingKind.DASHBOARD_UNMOVED, title, said, was_broken, owner))
    return tuple(findings)


def _wanting(dashboard: DashboardInfo) -> Iterator[str]:
    asked = [panel for panel in dashboard.panels if panel.state is not PanelState.UNKNOWN]
    if empty := [panel for panel in asked if panel.state is PanelState.EMPTY]:
        yield f"{len(empty)} of {len(asked)} panels have no data: {_names(empty)}"
    if failing := [panel for panel in asked if panel.state is PanelState.ERROR]:
        why = next((panel.detail for panel in failing if panel.detail), "")
        yield f"{len(failing)} of {len(asked)} panels fail: {_names(failing)}" + (f" ({why})" if why else "")


def _is_weak(dashboard: DashboardInfo) -> bool:
    states = [panel.state for panel in dashboard.panels if panel.state is not PanelState.UNKNOWN]
    return PanelState.ERROR in states or 2 * states.count(PanelState.EMPTY) >= len(states)


def _names(panels: Sequence[PanelInfo]) -> str:
    names = [f"“{panel.title}”" if panel.title else f"number {panel.id}" for panel in panels[:_MOST_NAMED]]
    more = len(panels) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
