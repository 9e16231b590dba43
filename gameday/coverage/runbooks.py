"""Whether the runbooks that an experiment relies on are there, whole and not forgotten. Pure; no I/O."""

from collections.abc import Sequence
from datetime import date, timedelta

from gameday.coverage.base import Finding
from gameday.journal.events import FindingKind, RunbookInfo, RunbookStep, StepOutcome
from gameday.spec.model import Experiment, Project, Runbook

REVIEWED_WITHIN = timedelta(days=180)


def describe_runbooks(project: Project, experiment: Experiment, today: date) -> tuple[RunbookInfo, ...]:
    """The runbooks that the expected alerts and the experiment's service name, each once; those of alerts first."""
    names = [alert.runbook for alert in experiment.alerts if alert.runbook]
    service = project.service(experiment.service) if experiment.service else None
    names += service.runbooks if service else ()
    return tuple(_describe(project, name, today) for name in dict.fromkeys(names))


def _describe(project: Project, name: str, today: date) -> RunbookInfo:
    runbook = project.runbook(name)
    if runbook is None:
        return RunbookInfo(name=name, found=False)
    return RunbookInfo(
        name=name,
        found=True,
        path=_path_in(project, runbook),
        title=runbook.title,
        owner=runbook.owner,
        reviewed=runbook.reviewed.isoformat() if runbook.reviewed else None,
        missing_sections=runbook.missing_sections,
        stale=runbook.reviewed is not None and today - runbook.reviewed > REVIEWED_WITHIN,
    )


def _path_in(project: Project, runbook: Runbook) -> str:
    path = runbook.path
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)


def judge_runbooks(runbooks: Sequence[RunbookInfo], owner: str | None = None) -> tuple[Finding, ...]:
    """A runbook that is missing or lacks sections is a weakness: it would not help whoever is paged.

    One that nobody has reviewed for 180 days, or ever, may still be right: that is advice. A runbook's own owner is
    suggested before `owner`.
    """
    findings = []
    for runbook in runbooks:
        who = runbook.owner or owner
        if not runbook.found:
            title = f"There is no runbook {runbook.name}"
            findings.append(
                Finding(FindingKind.RUNBOOK_MISSING, title, f"expected runbooks/{runbook.name}.md", True, who)
            )
            continue
        if runbook.missing_sections:
            title = f"The runbook {runbook.name} is incomplete"
            detail = f"it lacks {', '.join(runbook.missing_sections)}"
            findings.append(Finding(FindingKind.RUNBOOK_INCOMPLETE, title, detail, True, who))
        if runbook.stale or runbook.reviewed is None:
            title = f"The runbook {runbook.name} has not been reviewed for {REVIEWED_WITHIN.days} days"
            detail = f"last reviewed {runbook.reviewed}" if runbook.reviewed else "it says no date of review"
            findings.append(Finding(FindingKind.RUNBOOK_INCOMPLETE, title, detail, False, who))
    return tuple(findings)


_COMPLAINTS = {
    StepOutcome.STUCK: (FindingKind.RUNBOOK_STUCK, "Somebody was stuck at"),
    StepOutcome.WRONG: (FindingKind.RUNBOOK_WRONG, "Wrong:"),
    StepOutcome.MISSING: (FindingKind.RUNBOOK_WRONG, "A step is missing at"),
}


def judge_steps(steps: Sequence[RunbookStep], owner: str | None = None) -> tuple[Finding, ...]:
    """What whoever followed a runbook found wanting in it, each place once with all that was said of it.

    A runbook's own owner is suggested before `owner`.
    """
    found: dict[tuple[FindingKind, str, str | None], list[str]] = {}
    for event in steps:
        step = event.step
        if step.outcome not in _COMPLAINTS:
            continue
        kind, how = _COMPLAINTS[step.outcome]
        where = f"step {step.step} of {step.section}" if step.step else step.section or "its beginning"
        title = f"The runbook {step.runbook}: {how[0].lower()}{how[1:]} {where}"
        said = ": ".join(filter(None, (event.author, step.note or step.text)))
        found.setdefault((kind, title, step.owner or owner), []).append(said)
    return tuple(
        Finding(kind, title, "; ".join(dict.fromkeys(said)), True, who) for (kind, title, who), said in found.items()
    )
