"""The report as GitHub-flavoured Markdown, short enough for a pull request; nothing in it can become markup."""

from collections.abc import Iterator, Sequence

from gameday.journal.events import OnCallInfo, PanelInfo, PanelState
from gameday.report import format as fmt
from gameday.report import words
from gameday.report.coverage import Said, tabulate_alerts
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


def render_markdown(report: Report) -> str:
    """The document."""
    return "\n".join(_lines(report)) + "\n"


def escape(text: str, limit: int = 400) -> str:
    """Text of unknown origin on one line: it mentions nobody, links nowhere and formats nothing."""
    return " ".join(fmt.clean(text, limit).split()).translate(_ESCAPED)


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_ICONS[report.status]} {escape(report.title)}: {escape(words.statement(report))}"
    yield ""
    for sentence in words.sentences(report):
        yield f"- {escape(sentence, 1000)}"
    yield ""
    when = f"{fmt.date(report.start)}, {fmt.clock(report.start)} UTC".replace(":", "&#58;")
    yield f"{when}, {fmt.duration(report.end - report.start)}, on {escape(report.environment)}."
    if report.open_faults:
        yield ""
        yield "### What may still be broken"
        yield ""
        for fault in report.open_faults:
            targets = ", ".join(escape(target) for target in fault.targets)
            yield f"- {escape(fault.fault)} on {targets}. By hand: {escape(fault.by_hand)}"
    findings = report.findings
    if findings:
        yield ""
        yield "### What was found"
        yield ""
        for finding in findings[:_MOST]:
            owner = f" ({escape(finding.owner)})" if finding.owner else ""
            detail = f" — {escape(finding.detail)}" if finding.detail else ""
            yield f"- {'[ ] ' if finding.weakness else ''}{escape(finding.title)}{detail}{owner}"
        if len(findings) > _MOST:
            yield f"- and {len(findings) - _MOST} more"
    for experiment in report.experiments:
        yield from _experiment(experiment)


def _experiment(experiment: ExperimentReport) -> Iterator[str]:
    yield ""
    status = words.STATUS[experiment.status]
    yield f"### {_ICONS[experiment.status]} {escape(experiment.info.title)}: {status.lower()}"
    yield ""
    if experiment.reason:
        yield escape(experiment.reason)
        yield ""
    if experiment.rows:
        yield "| Condition | Before | During | After |"
        yield "|---|---|---|---|"
        for row in experiment.rows[:_MOST]:
            cells = " | ".join(_cell(cell, row) for cell in (row.before, row.during, row.after))
            yield f"| {escape(row.subject)} {escape(row.condition)} | {cells} |"
        yield ""
    yield from _coverage(experiment)
    for event in experiment.followed[:_MOST]:
        yield f"- {fmt.clock(event.at)} ".replace(":", "&#58;") + f"{escape(fmt.say_step(event))}"
    for fault in experiment.faults:
        undone = "undone" if fault.undone_at is not None else "**NOT undone**"
        targets = escape(", ".join(fault.targets))
        yield f"- {escape(fault.fault)} on {targets} ({fault.reach}), {undone}"


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
