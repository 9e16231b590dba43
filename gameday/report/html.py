"""The page: one HTML file that needs nothing else, from Jinja2 templates that escape everything."""

import base64
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

import msgspec
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from gameday import __version__
from gameday.common.files import write_atomically
from gameday.journal.events import FORMAT, CheckOutcome, Outcome, Role
from gameday.people.predicting import Answer
from gameday.report import format as fmt
from gameday.report import words
from gameday.report.axis import Tick, TimeAxis
from gameday.report.chart import Band, Chart, Lane, Mark, charts_of, lanes_of, marks_of, stage_bands, time_axis
from gameday.report.coverage import Table, expectation, tabulate_alerts
from gameday.report.earlier import Earlier, earlier_actions, owners
from gameday.report.figures import Figure, figures, figures_of_people
from gameday.report.found import FoundList, lists_of
from gameday.report.handover import Handover, Readiness, handovers
from gameday.report.predictions import Table as PredictionTable
from gameday.report.predictions import say_prediction, tabulate_predictions
from gameday.report.views import Activity, ExperimentReport, Report, Stage, Status

_TEMPLATES = Path(__file__).parent / "templates"

# status: (tone, icon). The word stands beside them always.
_LOOKS = {
    Status.HELD: ("good", "good"),
    Status.WEAKNESS: ("warn", "warn"),
    Status.NOT_STARTED: ("plain", "plain"),
    Status.ABORTED: ("bad", "bad"),
    Status.UNDO_FAILED: ("bad", "bad"),
    Status.INTERRUPTED: ("bad", "unknown"),
    Status.NOT_RUN: ("plain", "plain"),
}
_WORDS = {
    Status.HELD: "Held",
    Status.WEAKNESS: "Weakness",
    Status.NOT_STARTED: "Not started",
    Status.ABORTED: "Aborted",
    Status.UNDO_FAILED: "Undo failed",
    Status.INTERRUPTED: "Interrupted",
    Status.NOT_RUN: "Not run",
}


class Part(msgspec.Struct, frozen=True):
    """What the template needs of one experiment besides its view."""

    experiment: ExperimentReport
    tone: str
    icon: str
    word: str
    brief: str
    numbers: tuple[Figure, ...]
    axis: TimeAxis | None
    ticks: tuple[Tick, ...]
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    lanes: tuple[Lane, ...]
    charts: tuple[Chart, ...]
    keys: tuple[tuple[str, str], ...]
    stages: Mapping[tuple[int, int], Stage]
    actions: tuple[Activity, ...]
    coverage: Table
    predictions: PredictionTable


class Page(msgspec.Struct, frozen=True):
    """What the template needs besides the report."""

    statement: str
    sentences: tuple[str, str, str]
    noticed: str
    why: str
    tone: str
    icon: str
    found: tuple[FoundList, ...]
    earlier: tuple[Earlier, ...]
    recalled: Mapping[str, Earlier]  # by the id of the action item
    owners: Mapping[str, str]  # likewise
    handovers: tuple[Handover, ...]
    missing: str  # who has still to sign
    parts: tuple[Part, ...]
    people: tuple[tuple[str, str], ...]
    signers: tuple[tuple[str, str], ...]  # role, name
    style: Markup
    script: Markup
    style_hash: str
    script_hash: str
    version: str = __version__
    format: int = FORMAT


def render_html(report: Report) -> str:
    """The whole page. The same report always gives the same text."""
    template = _environment().get_template("report.html.j2")
    return template.render(report=report, page=_page(report))


def _page(report: Report) -> Page:
    tone, icon = _LOOKS[report.status]
    style, script = (_TEMPLATES / "style.css").read_text("utf-8"), (_TEMPLATES / "report.js").read_text("utf-8")
    # The second sentence says why a run was aborted or not started.
    why = report.reason if report.status is Status.UNDO_FAILED else ""
    earlier = earlier_actions(report)
    return Page(
        statement=words.statement(report),
        sentences=words.sentences(report),
        noticed=words.noticed(report),
        why=why,
        tone=tone,
        icon=icon,
        found=lists_of(report),
        earlier=earlier,
        recalled={one.action.action: one for one in earlier},
        owners=owners(report),
        handovers=handovers(report.experiments),
        missing=words.missing_signatures(report),
        parts=tuple(map(_part, report.experiments)),
        people=_people(report),
        signers=_signers(report),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
    )


def _source_hash(text: str) -> str:
    """As a Content-Security-Policy names an inline source (CSP Level 3, §2.3.1), without the quotes."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _people(report: Report) -> tuple[tuple[str, str], ...]:
    people = report.people
    rows = [
        ("Facilitator", people.facilitator or ""),
        ("Builders", ", ".join(people.builders)),
        ("SREs", ", ".join(people.sres)),
        ("Scribe", people.scribe or ""),
        ("Observers", ", ".join(people.observers)),
        ("Run by", report.by),
    ]
    return tuple((role, names) for role, names in rows if names)


def _signers(report: Report) -> tuple[tuple[str, str], ...]:
    """Who is asked to sign on paper: whoever has not with `gameday sign`, or whose signature is void."""
    people = report.people
    signed = {(one.signature.author, one.signature.role) for one in report.signatures if one.is_valid}
    signers = [("Facilitator", people.facilitator)] if people.facilitator else []
    signers += [("Builder", name) for name in people.builders if (name, Role.BUILDER) not in signed]
    signers += [("SRE", name) for name in people.sres if (name, Role.SRE) not in signed]
    return tuple((role, name) for role, name in signers if name)[:24]


def _part(experiment: ExperimentReport) -> Part:
    tone, icon = _LOOKS[experiment.status]
    axis = time_axis(experiment)
    numbers = figures(experiment)
    charts = tuple(charts_of(experiment, axis)) if axis else ()
    lanes = tuple(lanes_of(experiment, axis)) if axis else ()
    marks = marks_of(experiment, axis) if axis else ()
    return Part(
        experiment=experiment,
        tone=tone,
        icon=icon,
        word=_WORDS[experiment.status],
        brief=" · ".join(f"{number.name.lower()} {number.figure}" for number in numbers),
        numbers=(*numbers, *figures_of_people(experiment)),
        axis=axis,
        ticks=axis.ticks() if axis else (),
        bands=stage_bands(experiment, axis) if axis else (),
        marks=marks,
        lanes=lanes,
        charts=charts,
        keys=_keys(charts, lanes, marks),
        stages={(stage.step, stage.stage): stage for stage in experiment.stages},
        actions=tuple(activity for activity in experiment.activities if activity.section != "hypothesis"),
        coverage=tabulate_alerts(experiment),
        predictions=tabulate_predictions(experiment.predictions),
    )


def _keys(charts: Sequence[Chart], lanes: Sequence[Lane], marks: Sequence[Mark]) -> tuple[tuple[str, str], ...]:
    """The legend: only what is drawn."""
    drawn = {mark.kind for mark in marks} | {mark.kind for lane in lanes for mark in lane.marks}
    drawn |= {band.kind for lane in lanes for band in lane.bands}
    if charts:
        drawn.add("line")
    if any(chart.limits for chart in charts):
        drawn.add("limit")
    if any(chart.baseline is not None for chart in charts):
        drawn.add("base")
    if any(chart.gaps for chart in charts):
        drawn.add("gap")
    legend = {
        "line": "measured",
        "base": "baseline",
        "limit": "limit",
        "gap": "could not be read",
        "stage": "stage",
        "inject": "injected",
        "undo": "undone",
        "pending": "alert pending",
        "firing": "alert firing",
        "alert": "alert fires",
        "notified": "notified",
        "abort": "guard tripped",
        "note": "note",
        "mark": "said by people",
    }
    return tuple((kind, word) for kind, word in legend.items() if kind in drawn)


# -- filters


def _plain(text: object, limit: int = 200) -> str:
    """For attributes, titles and SVG text, which hold no markup."""
    return fmt.clean(str(text), limit)


def _text(text: object, limit: int = 2000) -> Markup:
    """Text of unknown origin: escaped, and isolated from the direction of what stands around it."""
    return Markup("<bdi>{}</bdi>").format(escape(fmt.clean(str(text), limit))) if text else Markup("")


def _names(items: Sequence[str], limit: int = 6) -> Markup:
    # A short name stays on one line; a long one may break anywhere.
    shown = [
        Markup('<span class="name">{}</span>').format(_text(item)) if len(item) <= 32 else _text(item, 200)
        for item in items[:limit]
    ]
    more = [Markup("{} more").format(len(items) - limit)] if len(items) > limit else []
    return Markup(", ").join([*shown, *more]) or Markup("—")


def _link(text: str, url: str) -> Markup:
    """The text, leading to the URL if it is one of a page; what is behind it learns nothing of this one."""
    shown = _text(text, 200)
    if not re.fullmatch(r"https?://[^\s\"'<>\\`]+", url) or url != fmt.clean(url):
        return shown
    return Markup('<a href="{}" rel="noreferrer noopener">{}</a>').format(url, shown)


_MEASURES = {"rate": "requests per second", "ratio": "share of failed requests"}


def _signal(signal: str) -> Markup:
    """ "checkout.latency.p99" as people say it: "checkout: latency p99"."""
    parts = signal.rsplit(".", 2)
    if len(parts) != 3 or parts[1] not in ("latency", "traffic", "errors", "saturation"):
        parts = signal.split(".", 2)
    if len(parts) == 3 and parts[1] in ("latency", "traffic", "errors", "saturation"):
        service, kind, measure = parts
        return Markup('{} {} <span class="soft">{}</span>').format(
            _text(service, 80), kind, _text(_MEASURES.get(measure, measure), 80)
        )
    return _text(signal, 160)


def _outcome_tone(outcome: Outcome | None) -> str:
    return {Outcome.HELD: "good", Outcome.BROKEN: "bad", Outcome.UNREADABLE: "warn", None: "plain"}[outcome]


def _outcome_icon(outcome: Outcome | None) -> str:
    return {Outcome.HELD: "good", Outcome.BROKEN: "bad", Outcome.UNREADABLE: "unknown", None: "plain"}[outcome]


def _readiness_tone(readiness: Readiness) -> str:
    return {Readiness.READY: "good", Readiness.NOT_YET: "warn", Readiness.NOT_SHOWN: "plain"}[readiness]


def _answer_tone(answer: Answer) -> str:
    return {Answer.RIGHT: "good", Answer.WRONG: "bad", Answer.OPEN: "plain"}[answer]


def _check_tone(outcome: CheckOutcome) -> str:
    return {CheckOutcome.OK: "good", CheckOutcome.WARNING: "warn", CheckOutcome.FAILURE: "bad"}[outcome]


class _Bytecode(BytecodeCache):
    """Keeps compiled templates where Python keeps the bytecode of the modules beside them, if it does: to compile them
    takes 100 ms. What is kept bears a checksum of its template, and the versions of Python and Jinja2's format."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, if it is of this very template."""
        with suppress(OSError), self._path(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it. Where nothing can be written, the template is compiled anew each time."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                write_atomically(self._path(bucket), bucket.bytecode_to_string())

    @staticmethod
    def _path(bucket: Bucket) -> Path:
        return Path(cache_from_source(_TEMPLATES / f"{bucket.key}.py")).with_suffix(".jinja2")


@cache  # most of the time of a short report is the compilation of its template
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        bytecode_cache=_Bytecode(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        text=_text,
        plain=_plain,
        sentence=lambda text: text[:1].upper() + text[1:],
        names=_names,
        link=_link,
        panel=fmt.panel,
        expectation=expectation,
        signal=_signal,
        duration=lambda seconds: "—" if seconds is None else fmt.duration(seconds),
        value=fmt.value,
        clock=fmt.clock,
        date=fmt.date,
        minute=fmt.minute,
        span=fmt.span,
        iso=fmt.iso,
        kind=lambda kind: words.KINDS.get(kind, str(kind)),
        alert_outcome=words.alert_outcome,
        outcome_tone=_outcome_tone,
        outcome_icon=_outcome_icon,
        check_tone=_check_tone,
        readiness_tone=_readiness_tone,
        answer_tone=_answer_tone,
        standing=words.standing,
        regression=words.regression,
        say_prediction=say_prediction,
    )
    return environment
