"""The report's sentences: each is made from evidence in the journal, and says nothing that is not there."""

from collections.abc import Iterable

import msgspec

from gameday.journal.events import FindingKind, Loss, Outcome, Role
from gameday.people.wording import say_signal, say_signals
from gameday.report.earlier import Earlier, Standing, earlier_actions, owners
from gameday.report.format import clean, date, duration, listing, plural, value
from gameday.report.found import lists_of
from gameday.report.handover import Readiness, handovers
from gameday.report.lost import CameBack, Lost, came_back, fate_of, lost_of
from gameday.report.views import Alert, AlertOutcome, ExperimentReport, Fault, Report, Row, Status

STATUS = {
    Status.HELD: "Everything held",
    Status.WEAKNESS: "A weakness was found",
    Status.NOT_STARTED: "Not started",
    Status.ABORTED: "Aborted, everything undone",
    Status.UNDO_FAILED: "An undo failed",
    Status.INTERRUPTED: "Interrupted",
    Status.NOT_RUN: "Not run",
}

KINDS = {
    FindingKind.HYPOTHESIS_BROKEN: "Steady state broken",
    FindingKind.NOT_RECOVERED: "Not recovered",
    FindingKind.RECOVERED_LATE: "Recovered late",
    FindingKind.ACTIVITY_FAILED: "Activity failed",
    FindingKind.FAULT_VANISHED: "Fault vanished",
    FindingKind.ALERT_MISSED: "Alert missed",
    FindingKind.ALERT_LATE: "Alert late",
    FindingKind.ALERT_UNEXPECTED: "Alert not expected",
    FindingKind.ALERT_NOT_RESOLVED: "Alert not resolved",
    FindingKind.ALERT_FIRED_BEFORE: "Alert fired before",
    FindingKind.ALERT_SEVERITY: "Wrong severity",
    FindingKind.ALERT_FLAPPING: "Alert flapping",
    FindingKind.ALERT_NOT_ROUTED: "Alert told to nobody",
    FindingKind.RULE_MISSING: "Rule missing",
    FindingKind.RULE_FAILS: "Rule fails",
    FindingKind.RULE_WITHOUT_LABELS: "Rule without labels",
    FindingKind.RULE_WITHOUT_RUNBOOK: "Rule without runbook",
    FindingKind.RULE_WITHOUT_DASHBOARD: "Rule without dashboard",
    FindingKind.RUNBOOK_MISSING: "Runbook missing",
    FindingKind.RUNBOOK_INCOMPLETE: "Runbook incomplete",
    FindingKind.RUNBOOK_WRONG: "Runbook wrong",
    FindingKind.RUNBOOK_STUCK: "Stuck at a runbook",
    FindingKind.DASHBOARD_MISSING: "Dashboard missing",
    FindingKind.DASHBOARD_EMPTY: "Dashboard without data",
    FindingKind.DASHBOARD_UNMOVED: "Dashboard did not move",
    FindingKind.ON_CALL_HOLE: "Nobody on call",
    FindingKind.NOT_STARTED: "Not started",
}


def statement(report: Report) -> str:
    """The verdict, as one plain sentence."""
    weaknesses = sum(finding.weakness for finding in report.findings)
    match report.status:
        case Status.HELD:
            return "Everything held."
        case Status.WEAKNESS:
            return f"{plural(weaknesses, 'weakness', 'weaknesses')} found." if weaknesses else "A weakness was found."
        case Status.NOT_STARTED:
            return "Not started. Nothing was injected."
        case Status.ABORTED:
            return "Aborted. Everything was undone."
        case Status.UNDO_FAILED if written_off(report) and not report.is_anything_left:
            return "An undo failed, and what it left was written off."
        case Status.UNDO_FAILED:
            return "An undo failed. Something may still be broken."
        case _:
            left = len(report.open_faults)
            if left:
                return f"Interrupted, with {plural(left, 'fault')} not known to be undone."
            return "Interrupted. The journal ends before the session does."


def sentences(report: Report) -> tuple[str, str, str]:
    """What was broken; whether it survived; what to do next."""
    return _broken(report), _survived(report), _next(report)


def final_faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """The last stage of each step: stages grow from one another, so it names all that was hit."""
    last = {(fault.experiment, fault.step): fault for fault in faults}
    return tuple(last.values())


def written_off(report: Report) -> tuple[str, ...]:
    """What could not be undone, and who answers for that nothing is left of it."""
    return tuple(
        f"{clean(fault.fault, 60)} on {_aim(fault)} was not seen to be undone. "
        f"{clean(one.author, 60)} has written it off: {clean(one.reason, 300).rstrip('.')}."
        for fault in report.faults
        if (one := fault.written_off) is not None and fault.undone_at is None
    )


def nothing(report: Report) -> str:
    """What a list says in which nothing is: a run that did not come to its end may have found less than there is."""
    match report.status:
        case Status.HELD | Status.WEAKNESS:
            return "Nothing."
        case Status.NOT_STARTED:
            return "Nothing was tried."
        case _:
            return "Nothing, as far as it went."


def _broken(report: Report) -> str:
    alike: dict[str, list[Fault]] = {}
    for fault in final_faults(report.faults):
        if not fault.refused:
            alike.setdefault(f"{clean(fault.fault, 60)} on {_aim(fault)}", []).append(fault)
    said = [_say_faults(what, faults) for what, faults in alike.items()]
    refused = sum(1 for fault in report.faults if fault.refused)
    actions = dict.fromkeys(
        activity.name
        for experiment in report.experiments
        for activity in experiment.activities
        if activity.kind == "action" and activity.section == "method"
    )
    said += [f"{clean(name, 60)} (Chaos Toolkit)" for name in actions]
    if not said:
        return "Nothing was injected." if not refused else f"{plural(refused, 'injection')} was tried and refused."
    return f"We broke: {listing(said)}."


def _say_faults(what: str, faults: list[Fault]) -> str:
    widest = max(faults, key=lambda fault: fault.share).reach
    times = len(faults)
    return f"{what} ({widest})" if times == 1 else f"{what}, {times} times (at most {widest})"


def _aim(fault: Fault) -> str:
    if fault.aim:
        return clean(fault.aim, 120)
    return listing([clean(target, 60) for target in fault.targets], 3) or "nothing by name"


def _survived(report: Report) -> str:
    injected = [experiment for experiment in report.experiments if experiment.injected_at is not None]
    if report.status is Status.NOT_STARTED:
        return (
            f"The reason: {clean(report.reason, 300).rstrip('.')}." if report.reason else "No experiment could start."
        )
    if not injected:
        return "So nothing can be said about whether the service survives."
    broken = [(experiment, row) for experiment in injected for row in experiment.rows if _broke(row)]
    parts = []
    if report.status is Status.ABORTED and report.aborts:
        parts.append(f"the run was aborted: {say_signals(clean(report.aborts[0].reason, 200)).rstrip('.')}")
    if broken:
        count = len({experiment.index for experiment, _ in broken})
        where = f" in {count} of {len(injected)} experiments" if len(injected) > 1 else ""
        parts.append(f"the steady state did not hold{where}: {listing(_say_rows([row for _, row in broken]), 3)}")
    elif judged := [e for e in injected if any(row.during.outcome is not None for row in e.rows)]:
        everywhere = "" if len(judged) == len(injected) else f" in {len(judged)} of {len(injected)} experiments"
        parts.append(f"the steady state held under fault{everywhere}")
    elif not parts:
        parts.append("the steady state was never judged under fault")
    if recovery := _recovery(injected):
        parts.append(recovery)
    if idle := sum(one.status in (Status.NOT_RUN, Status.NOT_STARTED) for one in report.experiments):
        parts.append(f"{idle} of {len(report.experiments)} experiments did not run")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _broke(row: Row) -> bool:
    return row.during.outcome in (Outcome.BROKEN, Outcome.UNREADABLE)


def _say_rows(rows: list[Row]) -> list[str]:
    """Each condition once, by the reading that was furthest from its limit."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        alike.setdefault((row.subject, row.condition), []).append(row)
    return [_say_row(_worst(ones)) for ones in alike.values()]


def _worst(rows: list[Row]) -> Row:
    read = [row for row in rows if row.during.worst is not None]
    pick = min if rows[0].condition.startswith(">") else max
    return pick(read, key=lambda row: row.during.worst or 0.0) if read else rows[0]


def _say_row(row: Row) -> str:
    subject = say_signal(clean(row.subject, 60))
    if row.during.outcome is Outcome.UNREADABLE:
        return f"{subject} could not be read"
    if row.during.worst is None:
        return f"{subject} was outside its tolerance"
    change = "changed by" if row.condition.startswith("change ") else "reached"
    return f"{subject} {change} {value(row.during.worst, row.unit)} (wanted {clean(row.condition, 40)})"


def _recovery(injected: list[ExperimentReport]) -> str:
    measured = [experiment.recovery for experiment in injected if experiment.recovery]
    if not measured:
        return ""
    lost = sum(1 for recovery in measured if not recovery.recovered)
    if lost:
        return f"after the undo it did not come back in {lost} of {len(measured)} experiments"
    slowest = max((recovery.seconds or 0.0 for recovery in measured), default=0.0)
    return f"steady again within {duration(slowest)} of the undo" if slowest else "steady again at once after the undo"


def noticed(report: Report) -> str:
    """Whether anyone would have noticed, and how soon."""
    tested = [
        (alert, experiment.injected_at or 0.0)
        for experiment in report.experiments
        if experiment.injected_at is not None
        for alert in experiment.alerts
    ]
    cut_short = sum(alert.outcome is AlertOutcome.NOT_TESTED for alert, _ in tested)
    expected = [(alert, began) for alert, began in tested if alert.expected]
    expected = [(alert, began) for alert, began in expected if alert.outcome is not AlertOutcome.NOT_TESTED]
    rest = f" The run was over before {plural(cut_short, 'alert')} had to fire." if cut_short else ""
    fired = [(alert, began) for alert, began in expected if alert.firing_at is not None]
    others = [alert for alert, _ in tested if alert.expected is None and alert.firing_at is not None]
    if not any(experiment.injected_at is not None for experiment in report.experiments):
        return "No alert was put to the test."
    if not expected and cut_short:
        return rest.strip()
    if not expected:
        if others:
            return f"No alert was expected; {listing([clean(alert.name, 60) for alert in others])} fired all the same."
        if not any(experiment.saw_alerts for experiment in report.experiments):
            return "No alert was expected, and none was looked for."
        return "No alert was expected, and none fired: nobody would have been told."
    if not fired:
        return f"Nobody would have noticed: of {plural(len(expected), 'expected alert')} none fired.{rest}"
    times = sorted((alert.firing_at or 0.0) - began for alert, began in fired)
    notified = [alert for alert, _ in fired if alert.notified_at is not None]
    count = f"{len(fired)} of {len(expected)} expected alerts"
    if len(fired) == len(expected):
        count = "The expected alert" if len(fired) == 1 else f"All {len(fired)} expected alerts"
    span = f"{duration(times[0])}" if len(times) == 1 else f"{duration(times[0])} to {duration(times[-1])}"
    return f"{count} fired, {span} after injection; {_told(len(notified), len(fired))}.{rest}"


def _next(report: Report) -> str:
    """What is most pressing: what is still broken, what was found, what earlier sessions left, what was not shown."""
    if report.is_anything_left:
        return "Undo what is left, before anything else: how is said right below."
    if report.status is Status.NOT_STARTED:
        return "Settle what kept it from starting, then run it again."
    again = {one.action.action for one in earlier_actions(report) if one.is_regression}
    again |= {one.action.action for one in came_back(report)}
    weaknesses = [one for found in lists_of(report) for one in found.findings if one.weakness]
    weaknesses.sort(key=lambda one: one.action not in again)
    if weaknesses:
        first, others = weaknesses[0], len(weaknesses) - 1
        owner = owners(report).get(first.action or "")
        whose = f" ({clean(owner, 60)})" if owner else ""
        then = f" Then the {plural(others, 'other weakness', 'other weaknesses')}." if others else ""
        return f"Mend first: {clean(first.title, 200).rstrip('.')}{whose}.{then} Run it again to see."
    match report.status:
        case Status.ABORTED:
            return "Find out why it had to be aborted, then run it again."
        case Status.UNDO_FAILED:
            return "Find out why it could not be undone, then run it again."
        case Status.INTERRUPTED:
            return "Run it again: what the rest would have shown is not known."
        case Status.WEAKNESS:
            return "Look into what was found, then run it again."
        case _:
            return _next_when_held(report)


class Regression(msgspec.Struct, frozen=True):
    """What was well or mended before a session, and is not in it. `what` is a Loss, or "action"; `well_at` when the
    run began in which it was well last, or when the action item was closed (`well_in`: by which run, or whom)."""

    experiment: int
    what: str
    text: str
    alert: str | None = None
    action: str | None = None
    well_at: float | None = None  # not known of an action item that came back before
    well_in: str | None = None


def regressions(report: Report) -> tuple[Regression, ...]:
    """All of this session."""
    return (
        *(
            Regression(
                one.experiment.index,
                one.well.loss.value,
                f"REGRESSION: {_lost(one)}",
                alert=one.well.alert or None,
                well_at=one.well.good_at,
                well_in=one.well.good_run,
            )
            for one in lost_of(report)
        ),
        *(
            Regression(
                one.experiment.index,
                "action",
                f"REGRESSION: {_back(one)}",
                action=one.action.action,
                well_at=one.action.closed_at,
                well_in=one.action.closed_by,
            )
            for one in came_back(report)
        ),
        *(
            Regression(one.experiment, "action", f"REGRESSION: {_not_mended(one)}", action=one.action.action)
            for one in earlier_actions(report)
            if one.is_regression and one.experiment is not None
        ),
    )


def _lost(one: Lost) -> str:
    well, title = one.well, f"“{clean(one.experiment.info.title, 200)}”"
    then = f"on {date(well.good_at)} (run {clean(well.good_run, 120)})"
    match well.loss:
        case Loss.VERDICT:
            said = f"{title} held {then}, and does not any more."
        case Loss.ALERT:
            now = "late" if fate_of(well.alert, one.experiment) is AlertOutcome.LATE else "missed"
            said = f"{clean(well.alert, 120)} fired in time for {title} {then}, and is {now} now."
        case Loss.RECOVERY:
            recovery = one.experiment.recovery
            took = recovery.seconds if recovery and recovery.recovered else None
            now = "does not come back" if took is None else f"comes back late ({duration(took)})"
            said = f"{title} came back in time {then}, and now {now}."
    if well.lost_at is not None:
        said += f" It was so already on {date(well.lost_at)}: this is run {well.lost_runs + 1} that shows it."
    if one.has_changed:
        said += " The experiment is written otherwise since: it may ask for more than it did."
    return said


def _back(one: CameBack) -> str:
    action = one.action
    title = clean(action.title, 200).rstrip(".")
    return f"action item {action.action} was closed on {date(action.closed_at)}, and its finding is back: {title}."


def _not_mended(earlier: Earlier) -> str:
    times = "once" if earlier.action.reopened == 1 else f"{earlier.action.reopened} times"
    title = clean(earlier.action.title, 200).rstrip(".")
    return f"It did not stay mended: {title}. It came back {times}, and is there again."


def standing(earlier: Earlier) -> tuple[str, str]:
    """Its tone, and why it is said of it."""
    match earlier.standing:
        case Standing.FOUND_AGAIN:
            return "bad", ""
        case Standing.CLOSED:
            return "good", "its experiment ran to its end, and did not find it any more"
        case _ if earlier.experiment is not None:
            return "plain", "its experiment did not run to its end"
        case _:
            return "plain", "no experiment of this session is the one that found it"


def missing_signatures(report: Report) -> str:
    """Who has still to sign; empty when nobody has."""
    articles = {Role.BUILDER: "a builder", Role.SRE: "an SRE"}
    return listing([articles[role] for role in report.unsigned])


def _next_when_held(report: Report) -> str:
    still = sum(one.standing is Standing.NOT_TESTED for one in earlier_actions(report))
    if still:
        return (
            f"Nothing new is to be done; {plural(still, 'action item')} of earlier sessions could not be tested here."
        )
    for handover in handovers(report.experiments):
        lacking = [line.need.value for line in handover.lines if line.readiness is not Readiness.READY]
        if lacking:
            return f"Show next that whoever is paged for {clean(handover.service, 60)} can {listing(lacking, 5)}."
    return "Sign it: a builder and an SRE accept what it shows." if report.unsigned else "Nothing is to be done."


def _told(notified: int, fired: int) -> str:
    if notified == fired:
        return "somebody was notified" if fired == 1 else "somebody was notified of each"
    return f"{notified} of {fired} were seen to notify somebody" if notified else "nobody was seen to be notified"


def alert_outcome(alert: Alert) -> tuple[str, str]:
    """Its tone ("good", "bad", "warn", "plain") and its word."""
    tones = {
        AlertOutcome.IN_TIME: "good",
        AlertOutcome.LATE: "bad",
        AlertOutcome.MISSED: "bad",
        AlertOutcome.BEFORE: "warn",
        AlertOutcome.UNEXPECTED: "plain",
        AlertOutcome.NOT_TESTED: "plain",
    }
    return tones[alert.outcome], alert.outcome.value
