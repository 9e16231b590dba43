"""Which dashboards belong to an experiment, and who says so. Pure; no I/O."""

from collections.abc import Iterable, Iterator, Sequence

from gameday.coverage.dashboards.base import Named
from gameday.journal.events import AlertRuleInfo
from gameday.spec.model import Experiment, Project


def name_dashboards(project: Project, experiment: Experiment, rules: Sequence[AlertRuleInfo]) -> tuple[Named, ...]:
    """Those that the experiment, its service, its runbooks and the rules of its expected alerts name, each once."""
    named: dict[str, dict[str, None]] = {}
    for name, by in _all(project, experiment, rules):
        named.setdefault(name, {})[by] = None
    return tuple(Named(name, tuple(by)) for name, by in named.items())


def _all(project: Project, experiment: Experiment, rules: Sequence[AlertRuleInfo]) -> Iterator[tuple[str, str]]:
    yield from _each(experiment.dashboards, "the experiment")
    service = project.service(experiment.service) if experiment.service else None
    if service:
        yield from _each(service.dashboards, f"service {service.name}")
    wanted = [alert.runbook for alert in experiment.alerts if alert.runbook] + [*(service.runbooks if service else ())]
    for runbook in filter(None, map(project.runbook, dict.fromkeys(wanted))):
        yield from _each(runbook.dashboards, f"runbook {runbook.name}")
    expected = {alert.name for alert in experiment.alerts}
    for rule in rules:
        # A template is filled in by the alert's own labels, once it fires.
        if rule.name in expected and rule.dashboard and "{{" not in rule.dashboard:
            yield rule.dashboard, f"alert {rule.name}"


def _each(names: Iterable[str], by: str) -> Iterator[tuple[str, str]]:
    return ((name, by) for name in names)
