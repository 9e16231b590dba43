"""The index page: all sessions, what they show together and what used to hold, in one HTML file that loads nothing.

It lies where the reports lie, and leads to those that are there.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import msgspec
from markupsafe import Markup, escape

from gameday import __version__
from gameday.common.files import replace_file
from gameday.report import trend_words as words
from gameday.report.format import clean, date, minute, moment, plural
from gameday.report.past import Sessions
from gameday.report.past_run import SessionPast
from gameday.report.templating import LOOKS, TEMPLATES, WORDS, environment, names, source_hash
from gameday.report.trend_chart import PANEL, TrendChart, trend_chart
from gameday.report.trends import (
    RUNNING,
    By,
    Regression,
    Selection,
    Trend,
    detected,
    noticed,
    recovered,
    regressions,
    together,
    trend,
    trends,
    verdict_of,
)
from gameday.report.views import Status

NAME = "index.html"
_MOST_BYTES = 1_000_000
_ROWS = (400, 200, 100, 50, 0)  # sessions in full: the most with which the page is small enough
_CHARTS = 12
_TRENDS = 100  # of each kind
_REGRESSIONS = 50
_MONTHS = 60


class Row(msgspec.Struct, frozen=True):
    """One session. `services` and `faults`: the numbers of its options, for the filters."""

    session: SessionPast
    verdict: str
    tone: str
    icon: str
    word: str
    parts: tuple[tuple[str, str, str], ...]  # of each experiment the icon, the word and the title
    parts_left_out: int
    faults: Markup
    services: str
    fault_numbers: str
    weaknesses: str
    remarks: str
    detected: str
    noticed: str
    recovered: str


class Month(msgspec.Struct, frozen=True):
    """Sessions that are not shown one by one."""

    name: str
    sessions: int
    verdicts: str


class Page(msgspec.Struct, frozen=True):
    """What the template needs."""

    headline: str
    tone: str
    icon: str
    lost: tuple[tuple[Regression, ...], ...]
    lost_left_out: int
    numbers: tuple[tuple[str, str, str], ...]  # name, figure, remark
    charts: tuple[TrendChart, ...]
    statuses: tuple[Status, ...]  # that the charts show
    trends: tuple[tuple[str, tuple[Trend, ...], int], ...]  # of what, which, and how many are left out
    services: tuple[str, ...]
    faults: tuple[str, ...]
    verdicts: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    months: tuple[Month, ...]
    older: int
    unread: tuple[str, ...]
    span: str
    style: Markup
    script: Markup
    style_hash: str
    script_hash: str
    version: str = __version__


def write_index(sessions: Sessions, reports: Path) -> Path:
    """Write the page of these sessions into the directory of their reports. Its path. Raises OSError."""
    there = {path.name for path in reports.glob("*.html")}
    page = reports / NAME
    replace_file(page, render_index(sessions, there))
    page.chmod(0o644)
    return page


def render_index(sessions: Sessions, there: Collection[str] = ()) -> str:
    """The page. `there`: the names of the files that lie beside it. The same sessions always give the same text."""

    def link(session: SessionPast, text: str) -> Markup:
        if f"{session.run}.html" not in there:
            return escape(text)
        return Markup('<a href="{}.html">{}</a>').format(quote(session.run, safe=""), text)

    template = environment().get_template("index.html.j2")
    for rows in _ROWS:
        text = template.render(
            page=_page(sessions, rows), link=link, looks=LOOKS, names_of=WORDS, say=words, panel_height=PANEL
        )
        if len(text.encode()) <= _MOST_BYTES:
            break
    return text


def _page(sessions: Sessions, most: int) -> Page:
    shown, older = sessions.sessions[::-1][:most], sessions.sessions[: max(0, len(sessions.sessions) - most)]
    trials = Selection().trials(sessions.sessions)
    lost = regressions(trials)
    counts = Counter(trial.subject for trial in trials if trial.is_judged)
    headline, tone, icon = _headline(len(lost), max(counts.values(), default=0))
    by = {kind: trends(trials, kind) for kind in By}
    services = tuple(one.key for one in by[By.SERVICE] if one.key)[:_TRENDS]
    faults = tuple(one.key for one in by[By.FAULT])[:_TRENDS]
    charts = tuple(trend_chart(one) for one in by[By.SERVICE][:_CHARTS] if len(one.trials) > 1)
    drawn = {cell.status for chart in charts for cell in chart.cells}
    verdicts = dict.fromkeys(map(verdict_of, shown))
    style = "".join((TEMPLATES / name).read_text("utf-8") for name in ("style.css", "index.css"))
    script = (TEMPLATES / "index.js").read_text("utf-8")
    return Page(
        headline=headline,
        tone=tone,
        icon=icon,
        lost=tuple(together(lost[:_REGRESSIONS])),
        lost_left_out=max(0, len(lost) - _REGRESSIONS),
        numbers=_numbers(len(sessions.sessions), trend("", trials)),
        charts=charts,
        statuses=tuple(status for status in Status if status in drawn),
        trends=tuple(
            (kind.value, found[:_TRENDS], max(0, len(found) - _TRENDS)) for kind, found in by.items() if found
        ),
        services=services,
        faults=faults,
        verdicts=tuple((verdict, _look(verdict)[2]) for verdict in verdicts),
        rows=tuple(_row(session, services, faults) for session in shown),
        months=tuple(_months(older))[:_MONTHS],
        older=len(older),
        unread=sessions.unread,
        span=_span(sessions.sessions),
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=source_hash(style),
        script_hash=source_hash(script),
    )


def _headline(lost: int, most_compared: int) -> tuple[str, str, str]:
    """What is to be said first, its tone and its icon."""
    if lost:
        return plural(lost, "regression"), "bad", "bad"
    if most_compared > 1:
        return "No regressions", "good", "good"
    return "Nothing to compare yet", "plain", "plain"


def _numbers(sessions: int, whole: Trend) -> tuple[tuple[str, str, str], ...]:
    return (
        ("Sessions", str(sessions), f"{plural(len(whole.trials), 'run')} of experiments"),
        ("Held", words.percent(whole) or words.NONE, _counted(whole)),
        ("Time to detect", words.taken(whole.detect.median), _of(whole.detect.runs, whole.detect.never)),
        ("Noticed by people", words.taken(whole.notice.median), _of(whole.notice.runs, whole.notice.never)),
        ("Time to recover", words.taken(whole.recover.median), _of(whole.recover.runs, whole.recover.never)),
        ("Findings", str(whole.findings[-1].open if whole.findings else 0), "open"),
    )


def _counted(whole: Trend) -> str:
    return f"{whole.held} of {whole.judged}" + (f", {whole.uncounted} not counted" if whole.uncounted else "")


def _of(runs: int, never: int) -> str:
    return f"median of {plural(runs, 'run')}{f', {never} never' if never else ''}" if runs else "not measured"


def _look(verdict: str) -> tuple[str, str, str]:
    """Of a session's verdict: tone, icon and word."""
    if verdict == RUNNING:
        return "plain", "unknown", "Running"
    status = Status(verdict)
    return (*LOOKS[status], WORDS[status])


def _row(session: SessionPast, services: Sequence[str], faults: Sequence[str]) -> Row:
    verdict = verdict_of(session)
    broken = tuple(dict.fromkeys(name for item in session.experiments for name in item.faults))
    # Of one that goes on nobody knows yet how its experiments end; of a single one the session's verdict says it.
    told = session.experiments if len(session.experiments) > 1 and verdict != RUNNING else ()
    states = [(session.status_of(item), item.title) for item in told]
    weaknesses = sum(len(item.weaknesses) for item in session.experiments)
    others = sum(item.others for item in session.experiments)
    return Row(
        session,
        verdict,
        *_look(verdict),
        tuple((LOOKS[status][1], WORDS[status], title) for status, title in states[:4]),
        max(0, len(states) - 4),
        names([clean(name, 60) for name in broken], 3),
        _numbers_of((item.service for item in session.experiments), services),
        _numbers_of(broken, faults),
        str(weaknesses or words.NONE),
        plural(others, "remark") if others else "",
        *(words.taken_in(session, measure) for measure in (detected, noticed, recovered)),
    )


def _numbers_of(names: Iterable[str | None], known: Sequence[str]) -> str:
    """The numbers of the options that these are: names are nothing to search by in attributes."""
    return " ".join(str(known.index(name)) for name in dict.fromkeys(names) if name in known)


def _months(sessions: Sequence[SessionPast]) -> Iterable[Month]:
    """The newest first."""
    for name, group in groupby(reversed(sessions), lambda one: f"{moment(one.started):%B %Y}"):
        counts = Counter(_look(verdict_of(session))[2].lower() for session in group)
        verdicts = ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())
        yield Month(name, counts.total(), verdicts)


def _span(sessions: Sequence[SessionPast]) -> str:
    if not sessions:
        return ""
    first, last = sessions[0].started, sessions[-1].started
    if first == last:
        return minute(first)
    return date(first) if date(first) == date(last) else f"{date(first)} to {date(last)}"
