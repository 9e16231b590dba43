"""The report as one JSON document; docs/report.md describes its schema, and SCHEMA counts up when it changes."""

import msgspec

from gameday.common.json import Json, JsonObject
from gameday.journal.events import Mark, OnCallInfo, PredictionMade
from gameday.journal.signatures import Signed
from gameday.people.predicting import Question
from gameday.report import words
from gameday.report.coverage import dashboards_of, followed_by, runbook_of
from gameday.report.earlier import Earlier, earlier_actions
from gameday.report.figures import first_alert, reached
from gameday.report.format import iso
from gameday.report.found import HEADINGS
from gameday.report.handover import Handover, handovers
from gameday.report.views import (
    Alert,
    Cell,
    Dashboard,
    ExperimentReport,
    Fault,
    Finding,
    Report,
    Row,
    Series,
)

SCHEMA = 1


def render_json(report: Report) -> str:
    """The document, indented, ending with a line feed."""
    return msgspec.json.format(msgspec.json.encode(document(report)), indent=2).decode() + "\n"


def document(report: Report) -> JsonObject:
    """The document as plain JSON. Times are RFC 3339 in UTC; durations are seconds; values are in base units."""
    broken, survived, following = words.sentences(report)
    return {
        "schema": SCHEMA,
        "session": report.session,
        "kind": report.kind,
        "title": report.title,
        "path": report.path,
        "environment": report.environment,
        "gameday": report.gameday,
        "by": report.by,
        "verdict": report.status.value,
        "exit_code": report.exit_code,
        "reason": report.reason,
        "statement": words.statement(report),
        "broken": broken,
        "survived": survived,
        "noticed": words.noticed(report),
        "next": following,
        "started": iso(report.start),
        "ended": iso(report.end),
        "duration_s": round(report.end - report.start, 3),
        "people": msgspec.to_builtins(report.people),
        "left_behind": [fault.fault_id for fault in report.open_faults],
        "aborts": [
            {"at": iso(abort.at), "source": abort.source, "reason": abort.reason, "by": abort.by}
            for abort in report.aborts
        ],
        "takeovers": [
            {"at": iso(takeover.at), "by": takeover.by.value, "reason": takeover.reason}
            for takeover in report.takeovers
        ],
        "regressions": [
            {
                "what": one.what,
                "experiment": one.experiment,
                "alert": one.alert,
                "action": one.action,
                "well_at": _moment(one.well_at),
                "well_in": one.well_in,
                "text": one.text,
            }
            for one in words.regressions(report)
        ],
        "earlier_actions": [_earlier(one) for one in earlier_actions(report)],
        "handover": [_handover(one) for one in handovers(report.experiments)],
        "signatures": [_signed(one) for one in report.signatures],
        "unsigned": [role.value for role in report.unsigned],
        "experiments": [_experiment(experiment) for experiment in report.experiments],
        "preflight": [
            {
                "check": check.check,
                "outcome": check.outcome.value,
                "detail": check.detail,
                "experiment": check.experiment,
            }
            for check in report.checks
        ],
        "notes": [
            {"at": iso(note.at), "author": note.author, "text": note.text, "experiment": note.experiment}
            for note in report.notes
        ],
        "sink_failures": [
            {"sink": sink, "detail": detail, "count": count} for sink, detail, count in report.sink_failures
        ],
        "unread_lines": report.unread_count,
    }


def _experiment(experiment: ExperimentReport) -> Json:
    info, began = experiment.info, experiment.injected_at
    return {
        "index": experiment.index,
        "title": info.title,
        "path": info.path,
        "service": info.service,
        "verdict": experiment.status.value,
        "reason": experiment.reason,
        "started": _moment(experiment.start),
        "ended": _moment(experiment.end),
        "injected": _moment(began),
        "builder": info.builder,
        "sre": info.sre,
        "hypothesis": {"title": info.hypothesis, "conditions": [_row(row) for row in experiment.rows]},
        "predictions": {
            "questions": [_question(question) for question in experiment.predictions.questions],
            "words": [
                {
                    "author": event.author,
                    "role": event.role.value if event.role else None,
                    "note": event.prediction.note,
                }
                for event in experiment.predictions.made
            ],
            "too_late": [_too_late(event, began) for event in experiment.predictions.late],
        },
        "marks": [
            {
                "at": iso(mark.at),
                "author": mark.author,
                "mark": mark.mark.value,
                "text": mark.text,
                "after_s": _after(mark.at, began),
            }
            for mark in experiment.marks
        ],
        "detection": _detection(experiment),
        "signals": [_series(series) for series in experiment.series],
        "stages": [
            {"step": stage.step, "stage": stage.stage, "radius": stage.radius, "held": stage.held}
            for stage in experiment.stages
        ],
        "faults": [_fault(fault) for fault in experiment.faults],
        "activities": [
            {
                "name": activity.name,
                "kind": activity.kind,
                "section": activity.section,
                "status": activity.status,
                "took_s": activity.took_s,
                "error": activity.error,
            }
            for activity in experiment.activities
        ],
        "rollbacks": {"failed": list(experiment.rollbacks_failed), "open": list(experiment.rollbacks_open)},
        "alerts": [_alert(alert, experiment) for alert in experiment.alerts],
        "dashboards": [_dashboard(dashboard) for dashboard in experiment.dashboards],
        "on_call": [_on_call(on_call) for on_call in experiment.on_call],
        "runbooks": [msgspec.to_builtins(book) for book in info.runbooks],
        "runbook_steps": [
            {"at": iso(event.at), "author": event.author, **msgspec.to_builtins(event.step)}
            for event in experiment.followed
        ],
        "recovery": None
        if experiment.recovery is None
        else {
            "recovered": experiment.recovery.recovered,
            "seconds": experiment.recovery.seconds,
            "within_s": experiment.recovery.within_s,
        },
        "findings": [_finding(finding) for finding in experiment.findings],
        "guards": [{"at": iso(guard.at), "cause": guard.cause, "detail": guard.detail} for guard in experiment.guards],
    }


def _written_off(fault: Fault) -> Json:
    one = fault.written_off
    return None if one is None else {"at": iso(one.at), "author": one.author, "reason": one.reason}


def _moment(at: float | None) -> str | None:
    return None if at is None else iso(at)


def _after(at: float | None, began: float | None) -> float | None:
    return None if at is None or began is None else round(at - began, 3)


def _question(question: Question) -> Json:
    return {
        "question": question.text,
        "observed": question.observed,
        "differ": question.differ,
        "said": [
            {
                "author": said.author,
                "role": said.role.value if said.role else None,
                "text": said.text,
                "answer": said.answer.value,
            }
            for said in question.said
        ],
    }


def _too_late(event: PredictionMade, began: float | None) -> Json:
    return {
        "at": iso(event.at),
        "author": event.author,
        "role": event.role.value if event.role else None,
        "after_s": _after(event.at, began),
    }


def _detection(experiment: ExperimentReport) -> Json:
    """That of people beside that of the machines."""
    began, alert = experiment.injected_at, first_alert(experiment)
    person = next((mark for mark in reached(experiment) if mark.mark is Mark.DETECTED), None)
    return {
        "people_after_s": _after(person.at, began) if person else None,
        "by": person.author if person else None,
        "alert": alert[0] if alert else None,
        "alert_after_s": _after(alert[1], began) if alert else None,
    }


def _row(row: Row) -> Json:
    return {
        "subject": row.subject,
        "condition": row.condition,
        "unit": row.unit.value if row.unit else None,
        "before": _cell(row.before),
        "during": _cell(row.during),
        "after": _cell(row.after),
        "stages": [_cell(cell) for cell in row.stages],
    }


def _cell(cell: Cell) -> Json:
    return {
        "outcome": cell.outcome.value if cell.outcome else None,
        "worst": cell.worst,
        "breached_for_s": cell.breached_for_s,
        "detail": cell.detail,
    }


def _series(series: Series) -> Json:
    return {
        "signal": series.signal,
        "unit": series.unit.value,
        "baseline": series.baseline,
        "windows": {
            window.value: {
                "lowest": extent.low,
                "highest": extent.high,
                "readable": extent.readable,
                "unreadable": extent.unread,
            }
            for window, extent in series.windows
        },
    }


def _fault(fault: Fault) -> Json:
    return {
        "id": fault.fault_id,
        "fault": fault.fault,
        "description": fault.description,
        "step": fault.step,
        "stage": fault.stage,
        "targets": list(fault.targets),
        "affected": fault.affected,
        "total": fault.total,
        "unit": fault.unit,
        "injected": _moment(fault.injected_at),
        "refused": fault.refused,
        "undone": fault.undone_at is not None,
        "undo": {
            "ended": _moment(fault.undone_at),
            "attempts": fault.attempts,
            "took_s": fault.undo_took_s,
            "by": fault.undone_by.value if fault.undone_by else None,
            "left": list(fault.left),
            "written_off": _written_off(fault),
        },
        "by_hand": fault.by_hand,
    }


def _alert(alert: Alert, experiment: ExperimentReport) -> Json:
    began = experiment.injected_at
    return {
        "name": alert.name,
        "expected": alert.expected is not None,
        "within_s": alert.expected.within_s if alert.expected else None,
        "outcome": alert.outcome.value,
        "existed_before": alert.existed_before,
        "severities": list(alert.severities),
        "pending_after_s": _after(alert.pending_at, began),
        "firing_after_s": _after(alert.firing_at, began),
        "notified_after_s": _after(alert.notified_at, began),
        "acknowledged_after_s": _after(alert.acknowledged_at, began),
        "acknowledged_by": alert.acknowledged_by or None,
        "resolved_after_s": _after(alert.resolved_at, began),
        "before": None if alert.examined is None else msgspec.to_builtins(alert.examined),
        "rule": alert.has_rule,
        "runbook": runbook_of(alert),
        "runbook_followed_by": list(followed_by(alert, experiment)),
        "dashboards": [one.info.name for one in dashboards_of(alert, experiment.dashboards)] if alert.expected else [],
    }


def _dashboard(dashboard: Dashboard) -> Json:
    info = dashboard.info
    return {
        "name": info.name,
        "title": info.title,
        "url": info.url or None,
        "named_by": list(info.named_by),
        "found": info.found,
        "detail": info.detail,
        "compared": dashboard.looked_again,
        "panels": [
            {
                "id": panel.id,
                "title": panel.title,
                "state": panel.state.value,
                "series": panel.series,
                "detail": panel.detail,
                "moved": panel.moved,
            }
            for panel in info.panels
        ],
    }


def _on_call(found: OnCallInfo) -> Json:
    return {
        "service": found.service,
        "source": found.source,
        "schedule": found.schedule,
        "people": None if found.people is None else [list(level) for level in found.people],
        "until": _moment(found.until),
        "holes": [{"from": iso(start), "to": iso(end)} for start, end in found.holes],
        "url": found.url or None,
        "detail": found.detail,
    }


def _finding(finding: Finding) -> Json:
    return {
        "kind": finding.kind.value,
        "title": finding.title,
        "detail": finding.detail,
        "weakness": finding.weakness,
        "suggested_owner": finding.owner,
        "list": HEADINGS[finding.kind].name.lower(),
        "action": finding.action,
    }


def _earlier(one: Earlier) -> Json:
    action = one.action
    return {
        "action": action.action,
        "title": action.title,
        "service": action.service,
        "owner": action.owner,
        "opened": iso(action.opened_at),
        "opened_by": action.opened_by,
        "reopened": action.reopened,
        "links": list(action.links),
        "standing": one.standing.value,
        "experiment": one.experiment,
    }


def _handover(one: Handover) -> Json:
    return {
        "service": one.service,
        "readiness": one.readiness.value,
        "lines": [
            {
                "need": line.need.value,
                "readiness": line.readiness.value,
                "evidence": [
                    {"text": fact.text, "speaks_for": fact.speaks_for, "experiment": fact.experiment}
                    for fact in line.evidence
                ],
            }
            for line in one.lines
        ],
    }


def _signed(one: Signed) -> Json:
    signature = one.signature
    return {
        "author": signature.author,
        "role": signature.role.value,
        "at": iso(signature.at),
        "comment": signature.comment,
        "valid": one.is_valid,
    }
