"""The report as GitHub-flavoured Markdown, short enough for a pull request; nothing in it can become markup."""

from collections.abc import Iterator, Sequence

from gameday.journal.events import OnCallInfo, PanelInfo, PanelState, Role
from gameday.people.predicting import Answer
from gameday.people.predicting import Said as SaidBefore
from gameday.people.wording import say_signals
from gameday.report import format as fmt
from gameday.report import words
from gameday.report.coverage import Said, tabulate_alerts
from gameday.report.earlier import Standing, earlier_actions, owners
from gameday.report.found import Heading, lists_of
from gameday.report.handover import Need, Readiness, handovers
from gameday.report.predictions import say_prediction, tabulate_predictions
from gameday.report.views import Cell, Dashboard, ExperimentReport, Report, Row, Status

_ICONS = {
    Status.HELD: "✅",
    Status.WEAKNESS: "⚠️",
    Status.NOT_STARTED: "⏸️",
    Status.ABORTED: "🛑",
    Status.UNDO_FAILED: "🛑",
    Status.INTERRUPTED: "🛑",
    Status.NOT_RUN: "⏸️",
}
_INVISIBLE = "\N{ZERO WIDTH SPACE}"
# A backslash keeps neither a mention nor a reference from becoming a link; a space that nobody sees does.
_ESCAPES = {character: f"\\{character}" for character in "\\`*_{}[]()+-.!|~$"} | {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    ":": "&#58;",
    "@": f"@{_INVISIBLE}",
    "#": f"\\#{_INVISIBLE}",
}
_ESCAPED = str.maketrans(_ESCAPES)
_MOST = 50
_ROLES = {Role.SRE: "SRE"}
_ANSWERS = {Answer.RIGHT: "✅ right", Answer.WRONG: "❌ wrong", Answer.OPEN: "open"}


def render_markdown(report: Report) -> str:
    """The document."""
    return "\n".join(_lines(report)) + "\n"


def escape(text: str, limit: int = 400) -> str:
    """Text of unknown origin on one line: it mentions nobody, links nowhere and formats nothing."""
    return " ".join(fmt.clean(text, limit).split()).translate(_ESCAPED)


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_ICONS[report.status]} {escape(report.title)}: {escape(words.statement(report))}"
    yield ""
    for regression in words.regressions(report):
        yield f"- **{escape(regression.text, 1000)}**"
    for sentence in words.sentences(report):
        yield f"- {escape(sentence, 1000)}"
    yield ""
    for said in words.written_off(report):
        yield f"Written off&#58; {escape(said, 1000)}"
        yield ""
    when = f"{fmt.date(report.start)}, {fmt.clock(report.start)} UTC".replace(":", "&#58;")
    yield f"{when}, {fmt.duration(report.end - report.start)}, on {escape(report.environment)}."
    if report.open_faults:
        yield ""
        yield "### What may still be broken"
        yield ""
        for fault in report.open_faults:
            targets = escape(fmt.listing(list(fault.targets), 12))
            yield f"- {escape(fault.fault)} on {targets}. By hand: {escape(fault.by_hand)}"
    yield from _found(report)
    yield from _earlier(report)
    yield from _handover(report)
    for experiment in report.experiments:
        yield from _experiment(experiment)
    yield from _notes(report)


def _notes(report: Report) -> Iterator[str]:
    if not report.notes:
        return
    yield from ("", "### Notes", "")
    for note in report.notes[:_MOST]:
        yield f"- {escape(fmt.clock(note.at))} UTC, {escape(note.author)}: {escape(note.text)}"
    if len(report.notes) > _MOST:
        yield f"- and {len(report.notes) - _MOST} more"


def _found(report: Report) -> Iterator[str]:
    owner_of = owners(report)
    for found in lists_of(report):
        is_unseen = found.heading is Heading.UNSEEN
        if not found.findings and not is_unseen:
            continue
        yield ""
        yield f"### {found.heading}"
        yield ""
        if is_unseen:
            yield escape(words.noticed(report), 1000)
            yield ""
        for finding in found.findings[:_MOST]:
            action = finding.action
            marks = [owner_of.get(action), action] if action else [finding.owner]
            whose = f" ({', '.join(escape(mark) for mark in marks if mark)})" if any(marks) else ""
            detail = f" — {escape(finding.detail)}" if finding.detail else ""
            yield f"- {'[ ] ' if finding.weakness else ''}{escape(finding.title)}{detail}{whose}"
        if len(found.findings) > _MOST:
            yield f"- and {len(found.findings) - _MOST} more"


def _earlier(report: Report) -> Iterator[str]:
    earlier = earlier_actions(report)
    if not earlier:
        return
    yield ""
    yield "### Still open from earlier sessions"
    yield ""
    yield "| Action item | Owner | Open since | This session |"
    yield "|---|---|---|---|"
    for one in earlier[:_MOST]:
        action = one.action
        again = f", came back {action.reopened} ×" if action.reopened else ""
        links = "".join(f", {escape(link)}" for link in action.links[:5])
        standing = f"**{one.standing}**" if one.standing is Standing.FOUND_AGAIN else one.standing.value
        yield (
            f"| {escape(action.title)} ({escape(action.action)}{again}{links}) | {escape(action.owner or '—')} "
            f"| {fmt.date(action.opened_at)} | {standing} |"
        )
    if len(earlier) > _MOST:
        yield ""
        yield f"And {len(earlier) - _MOST} more."


def _handover(report: Report) -> Iterator[str]:
    services = handovers(report.experiments)
    yield ""
    yield "### Can it be handed over?"
    yield ""
    if services:
        yield f"| Service | {' | '.join(Need)} |"
        yield "|---" * (len(Need) + 1) + "|"
        for one in services[:_MOST]:
            cells = " | ".join(_readiness(line.readiness) for line in one.lines)
            yield f"| {escape(one.service)}: {_readiness(one.readiness)} | {cells} |"
        yield ""
        for one in services[:_MOST]:
            for line in one.lines:
                against = dict.fromkeys(fact.text for fact in line.evidence if not fact.speaks_for)
                if against:
                    yield f"- {escape(one.service)}, {line.need}: {escape('; '.join(against), 1000)}"
        yield ""
    for signed in report.signatures[:_MOST]:
        signature = signed.signature
        state = "" if signed.is_valid else ": **void**, the journal has changed since"
        comment = f": {escape(signature.comment)}" if signature.comment else ""
        when = fmt.minute(signature.at).replace(":", "&#58;")
        role = _ROLES.get(signature.role, signature.role)
        yield f"- Signed by {escape(signature.author)} ({role}), {when} UTC{comment}{state}"
    if missing := words.missing_signatures(report):
        yield f"- Not signed by {missing}"


def _readiness(readiness: Readiness) -> str:
    return readiness.value if readiness is Readiness.READY else f"**{readiness}**"


def _experiment(experiment: ExperimentReport) -> Iterator[str]:
    began = experiment.injected_at
    yield ""
    status = words.STATUS[experiment.status]
    yield f"### {_ICONS[experiment.status]} {escape(experiment.info.title)}: {status.lower()}"
    yield ""
    if experiment.reason:
        yield escape(say_signals(experiment.reason))
        yield ""
    if experiment.rows and experiment.start is not None:
        yield "| Condition | Before | During | After |"
        yield "|---|---|---|---|"
        for row in experiment.rows[:_MOST]:
            cells = " | ".join(_cell(cell, row) for cell in (row.before, row.during, row.after))
            yield f"| {escape(row.subject)} {escape(row.condition)} | {cells} |"
        yield ""
    yield from _predictions(experiment)
    for mark in experiment.marks[:_MOST]:
        after = "" if began is None else f" {fmt.duration(mark.at - began)} after the injection"
        text = f": {escape(mark.text)}" if mark.text else ""
        yield f"- {mark.mark.value.capitalize()}{after} by {escape(mark.author)}{text}"
    if experiment.marks:
        yield ""
    yield from _coverage(experiment)
    for event in experiment.followed[:_MOST]:
        yield f"- {fmt.clock(event.at)} ".replace(":", "&#58;") + f"{escape(fmt.say_step(event))}"
    for fault in experiment.faults:
        off = fault.written_off
        undone = "undone" if fault.undone_at is not None else "**NOT undone**"
        if fault.undone_at is None and off:
            undone += f", written off by {escape(off.author)}: {escape(off.reason)}"
        targets = escape(fmt.listing(list(fault.targets), 12))
        yield f"- {escape(fault.fault)} on {targets} ({escape(fault.reach)}), {undone}"


def _predictions(experiment: ExperimentReport) -> Iterator[str]:
    """What was said before, and what happened."""
    table = tabulate_predictions(experiment.predictions)
    if table.rows:
        heads = (f"{head} {escape(f'({who})')}" if who else head for head, who in table.sides)
        yield f"| Question | {' | '.join(heads)} | What happened |"
        yield "|---" * (len(table.sides) + 2) + "|"
        for question, sides in table.rows[:_MOST]:
            differ = " **(you did not agree)**" if question.differ else ""
            cells = (_said_before(said, is_one=bool(who)) for said, (_, who) in zip(sides, table.sides, strict=True))
            yield f"| {escape(question.text)}{differ} | {' | '.join(cells)} | {escape(question.observed)} |"
        yield ""
    for event in experiment.predictions.made[:_MOST]:
        if event.prediction.note:
            yield f"- {escape(event.author)}: {escape(event.prediction.note)}"
    for event in experiment.predictions.late[:_MOST]:
        yield f"- Said too late by {escape(event.author)}, not counted: {escape(say_prediction(event), 1000)}"
    if experiment.predictions.made or experiment.predictions.late:
        yield ""


def _said_before(said: Sequence[SaidBefore], *, is_one: bool) -> str:
    words_ = [
        f"{'' if is_one else escape(one.author) + ' '}{escape(one.text)}: {_ANSWERS[one.answer]}"
        for one in said
        if one.text
    ]
    return "; ".join(words_) or "—"


def _coverage(experiment: ExperimentReport) -> Iterator[str]:
    """Would anyone notice, and could they act?"""
    table = tabulate_alerts(experiment)
    if table.rows:
        yield f"| Alert | Outcome | {' | '.join(table.columns)} |"
        yield "|---" * (len(table.columns) + 2) + "|"
        for row in table.rows[:_MOST]:
            cells = " | ".join(map(_said, row.cells))
            yield f"| {escape(row.alert.name)} | {row.alert.outcome.value} | {cells} |"
        yield ""
    for found in experiment.on_call[:_MOST]:
        yield f"- {escape(_on_call(found), 1000)}"
    if experiment.on_call:
        yield ""
    if experiment.dashboards:
        yield "| Dashboard | With data | Empty | Failing | Moved | Not asked |"
        yield "|---|---|---|---|---|---|"
        for board in experiment.dashboards[:_MOST]:
            yield f"| {escape(board.label)} | {' | '.join(_board(board))} |"
        yield ""


def _said(cell: Said) -> str:
    word = f"**{escape(cell.word)}**" if cell.tone in ("bad", "warn") else escape(cell.word)
    return ", ".join(filter(None, (word, *map(escape, cell.remarks)))) or "—"


def _on_call(found: OnCallInfo) -> str:
    whose = f"On call for {found.service}" if found.service else "On call"
    if found.people is None:
        return f"{whose}: not known ({found.detail or 'no reason'})"
    levels = ", then ".join(fmt.listing(list(level)) or "nobody" for level in found.people) or "nobody"
    until = f", until {fmt.minute(found.until)} UTC" if found.until is not None else ""
    holes = f"; nobody from {fmt.listing([fmt.span(hole) for hole in found.holes])} UTC" if found.holes else ""
    return f"{whose}: {levels}{until}{holes}"


def _board(board: Dashboard) -> Iterator[str]:
    """The cells of its row."""
    info = board.info
    if not info.found or not info.panels:
        word = "not looked at" if info.found is None else "found" if info.found else "**not there**"
        yield from (f"{word}{f', {escape(info.detail)}' if info.detail else ''}", "—", "—", "—", "—")
        return
    yield f"{len(board.in_state(PanelState.DATA))} of {len(board.asked)}"
    yield _panels(board.in_state(PanelState.EMPTY))
    yield _panels(board.in_state(PanelState.ERROR))
    yield _panels(board.moved) if board.compared else "not compared"
    yield _panels(board.in_state(PanelState.UNKNOWN))


def _panels(panels: Sequence[PanelInfo]) -> str:
    return escape(fmt.listing([fmt.panel(panel) for panel in panels], 8)) or "none"


def _cell(cell: Cell, row: Row) -> str:
    if cell.outcome is None:
        return "—"
    value = f"{fmt.value(cell.worst, row.unit)} " if cell.worst is not None else ""
    return f"{value}{'**' + cell.outcome.value + '**' if cell.outcome.value != 'held' else 'held'}"
