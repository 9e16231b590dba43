"""What an experiment's run finds: how it is said, and how it is written down."""

from collections.abc import Iterable, Sequence

from gameday.coverage import Finding
from gameday.engine.recorder import Recorder
from gameday.journal.events import TOLERANCE, FindingKind, FindingRaised, Judgement, Outcome


def say(judgement: Judgement) -> str:
    """What was wrong, in one clause."""
    if judgement.outcome is Outcome.UNREADABLE:
        return f"{judgement.subject} could not be read" + (f" ({judgement.detail})" if judgement.detail else "")
    if judgement.condition == TOLERANCE:
        return f"{judgement.subject} is outside its tolerance ({judgement.detail})"
    return f"{judgement.subject} was not {judgement.condition} for {judgement.breached_for_s:.1f} s"


def broken_finding(broken: Sequence[Judgement], hypothesis: str, owner: str | None) -> Finding | None:
    """What did not hold during the method, if anything, in one finding that names each signal once."""
    if not broken:
        return None
    wanting = {judgement.subject: judgement for judgement in broken}
    dark = all(judgement.outcome is Outcome.UNREADABLE for judgement in wanting.values())
    how = "could not be judged" if dark else "did not hold"
    title = f"The steady state {how}: “{hypothesis}”"
    return Finding(FindingKind.HYPOTHESIS_BROKEN, title, "; ".join(map(say, wanting.values())), suggested_owner=owner)


def failed_finding(kind: str, name: str, error: str) -> Finding:
    """An activity of the method has failed. `kind`: "action" or "probe"."""
    # A probe in the method only looks; that it could not is no weakness of the service.
    return Finding(FindingKind.ACTIVITY_FAILED, f"The {kind} “{name}” failed", error, weakness=kind == "action")


def record_findings(recorder: Recorder, experiment: int, findings: Iterable[Finding]) -> None:
    """Write them to the journal, in their order."""
    for finding in findings:
        recorder.record(
            FindingRaised(
                at=recorder.now(),
                experiment=experiment,
                kind=finding.kind,
                title=finding.title,
                detail=finding.detail,
                weakness=finding.weakness,
                suggested_owner=finding.suggested_owner,
            )
        )
