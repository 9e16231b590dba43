"""The page: one HTML file that needs nothing else, from Jinja2 templates that escape everything."""

from collections.abc import Mapping

import msgspec
from markupsafe import Markup

from gameday import __version__
from gameday.journal.events import FORMAT, Role
from gameday.report import words
from gameday.report.axis import Tick, TimeAxis
from gameday.report.chart import Band, Chart, Lane, Mark, charts_of, lanes_of, marks_of, stage_bands, time_axis
from gameday.report.coverage import Table, tabulate_alerts
from gameday.report.earlier import Earlier, earlier_actions, owners
from gameday.report.figures import Figure, figures, figures_of_people
from gameday.report.found import FoundList, lists_of
from gameday.report.handover import Handover, handovers
from gameday.report.legend import legend
from gameday.report.predictions import Differing, differing, tabulate_predictions
from gameday.report.predictions import Table as PredictionTable
from gameday.report.templating import LOOKS, TEMPLATES, WORDS, environment, source_hash
from gameday.report.views import Activity, ExperimentReport, Report, Stage, Status

SCRIPTS = ("span.js", "report.js")  # one after the other, as one


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
    nothing: str
    written_off: tuple[str, ...]
    differing: tuple[Differing, ...]
    regressions: tuple[words.Regression, ...]
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
    template = environment().get_template("report.html.j2")
    return template.render(report=report, page=_page(report))


def _page(report: Report) -> Page:
    tone, icon = LOOKS[report.status]
    style = (TEMPLATES / "style.css").read_text("utf-8")
    script = "".join((TEMPLATES / name).read_text("utf-8") for name in SCRIPTS)
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
        nothing=words.nothing(report),
        written_off=words.written_off(report),
        differing=differing(report.experiments),
        regressions=words.regressions(report),
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
        style_hash=source_hash(style),
        script_hash=source_hash(script),
    )


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
    tone, icon = LOOKS[experiment.status]
    axis = time_axis(experiment)
    numbers = figures(experiment)
    charts = tuple(charts_of(experiment, axis)) if axis else ()
    lanes = tuple(lanes_of(experiment, axis)) if axis else ()
    marks = marks_of(experiment, axis) if axis else ()
    return Part(
        experiment=experiment,
        tone=tone,
        icon=icon,
        word=WORDS[experiment.status],
        brief=" · ".join(f"{number.name.lower()} {number.figure}" for number in numbers),
        numbers=(*numbers, *figures_of_people(experiment)),
        axis=axis,
        ticks=axis.ticks() if axis else (),
        bands=stage_bands(experiment, axis) if axis else (),
        marks=marks,
        lanes=lanes,
        charts=charts,
        keys=legend(charts, lanes, marks),
        stages={(stage.step, stage.stage): stage for stage in experiment.stages},
        actions=tuple(activity for activity in experiment.activities if activity.section != "hypothesis"),
        coverage=tabulate_alerts(experiment),
        predictions=tabulate_predictions(experiment.predictions),
    )
