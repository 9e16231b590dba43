"""What was found, in the three lists that a busy person reads: what broke, went unseen, could not be acted on."""

from enum import StrEnum

import msgspec

from gameday.journal.events import FindingKind
from gameday.report.views import Finding, Report


class Heading(StrEnum):
    """Of a list, in the order in which they are read."""

    BROKE = "What broke"
    UNSEEN = "What went unseen"
    UNABLE = "What could not be acted on"
    OTHER = "What else was seen"


HEADINGS = {
    FindingKind.HYPOTHESIS_BROKEN: Heading.BROKE,
    FindingKind.NOT_RECOVERED: Heading.BROKE,
    FindingKind.RECOVERED_LATE: Heading.BROKE,
    FindingKind.ACTIVITY_FAILED: Heading.OTHER,
    FindingKind.FAULT_VANISHED: Heading.OTHER,
    FindingKind.ALERT_MISSED: Heading.UNSEEN,
    FindingKind.ALERT_LATE: Heading.UNSEEN,
    FindingKind.ALERT_UNEXPECTED: Heading.OTHER,
    FindingKind.ALERT_NOT_RESOLVED: Heading.OTHER,
    FindingKind.ALERT_FIRED_BEFORE: Heading.UNSEEN,
    FindingKind.ALERT_SEVERITY: Heading.UNSEEN,
    FindingKind.ALERT_FLAPPING: Heading.OTHER,
    FindingKind.ALERT_NOT_ROUTED: Heading.UNSEEN,
    FindingKind.RULE_MISSING: Heading.UNSEEN,
    FindingKind.RULE_FAILS: Heading.UNSEEN,
    FindingKind.RULE_WITHOUT_LABELS: Heading.UNABLE,
    FindingKind.RULE_WITHOUT_RUNBOOK: Heading.UNABLE,
    FindingKind.RULE_WITHOUT_DASHBOARD: Heading.UNABLE,
    FindingKind.RUNBOOK_MISSING: Heading.UNABLE,
    FindingKind.RUNBOOK_INCOMPLETE: Heading.UNABLE,
    FindingKind.RUNBOOK_WRONG: Heading.UNABLE,
    FindingKind.RUNBOOK_STUCK: Heading.UNABLE,
    FindingKind.DASHBOARD_MISSING: Heading.UNSEEN,
    FindingKind.DASHBOARD_EMPTY: Heading.UNSEEN,
    FindingKind.DASHBOARD_UNMOVED: Heading.UNSEEN,
    FindingKind.ON_CALL_HOLE: Heading.UNABLE,
    FindingKind.NOT_STARTED: Heading.OTHER,
}


class FoundList(msgspec.Struct, frozen=True):
    """One list: weaknesses first, else in the order in which they were found."""

    heading: Heading
    findings: tuple[Finding, ...]

    @property
    def alike(self) -> tuple[tuple[Finding, ...], ...]:
        """The same, those together that several experiments have found in the same words."""
        groups: dict[tuple[FindingKind, str, str, bool], list[Finding]] = {}
        for one in self.findings:
            groups.setdefault((one.kind, one.title, one.detail, one.weakness), []).append(one)
        return tuple(map(tuple, groups.values()))


def lists_of(report: Report) -> tuple[FoundList, ...]:
    """The three, empty or not; and what is in none of them, if there is any."""
    found = {heading: tuple(one for one in report.findings if HEADINGS[one.kind] is heading) for heading in Heading}
    return tuple(FoundList(heading, ones) for heading, ones in found.items() if ones or heading is not Heading.OTHER)
