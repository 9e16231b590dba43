"""Pictures of the charts, as PNG: for chat, where no page can be shown. One an experiment, in the page's light theme.

What is drawn are the figures of the report's charts (gameday.report.chart), in an SVG without scripts, links or CSS
variables, which resvg (https://docs.rs/resvg) turns into pixels. A machine may have no font at all, and text in a font
that is missing is left out by resvg without a word; so two come along (gameday/report/fonts). The machine's own are
asked only for characters that those lack, and one that no font has is an empty box.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import msgspec

from gameday.report import format as fmt
from gameday.report.axis import Tick
from gameday.report.chart import SIDE, Band, Chart, Lane, Mark, charts_of, lanes_of, marks_of, stage_bands, time_axis
from gameday.report.legend import legend
from gameday.report.lettering import fit, is_ours, width_of, wrap
from gameday.report.model import load_report
from gameday.report.render import RenderError
from gameday.report.templating import LOOKS, TEMPLATES, WORDS, environment
from gameday.report.views import ExperimentReport, Report, Series, Status

MAX_BYTES = 1_000_000  # of each
LIMIT = 10  # what one message of Slack may hold
ALT_LIMIT = (
    1000  # characters: what Slack takes for a file, https://docs.slack.dev/reference/methods/files.getUploadURLExternal
)
_FONTS = Path(__file__).parent / "fonts"

# In units of which a picture is WIDTH wide: at that width on a phone's screen, 13 is the size of small print.
WIDTH = 600
_PAD = 16
_PLOT = 100  # height
_LINE = 18
_LANE = 38
_KEY_ROW = 22
_SMALL, _NAME, _TITLE = 13, 14, 19  # sizes of letters
_MOST_PANELS, _MOST_LANES = 6, 9
_GOLDEN = ("latency", "traffic", "errors", "saturation")
_STEP = re.compile(r"[Mlh]|-?\d+")


class PictureError(RenderError):
    """The pictures cannot be drawn on this machine."""


class Picture(msgspec.Struct, frozen=True):
    """`experiment`: its index; None for one of the whole session. `alt` says in words what is to be seen."""

    experiment: int | None
    title: str
    alt: str
    file_name: str
    png: bytes


class _Panel(msgspec.Struct, frozen=True):
    """One signal. `y` of its top; `line` in the plot's own units."""

    y: float
    name: str
    facts: tuple[str, ...]
    chart: Chart
    line: str

    @property
    def plot_y(self) -> float:
        """Of the plot's top, from the panel's: below the name, the facts and the marks."""
        return 36 + _LINE * len(self.facts)

    @property
    def height(self) -> float:
        """With the room below it."""
        return self.plot_y + _PLOT + _LINE


class _Row(msgspec.Struct, frozen=True):
    """One lane. `y` of its top; `labels` are those of its bands that have room, as place in percent and text."""

    y: float
    label: str
    note: str
    lane: Lane
    labels: tuple[tuple[float, str], ...]


class _Key(msgspec.Struct, frozen=True):
    x: float
    y: float
    kind: str
    word: str


class _Sheet(msgspec.Struct, frozen=True):
    """All that the template draws, from the top to the bottom; `left` and `breadth` are of the plots."""

    height: float
    left: float
    breadth: float
    eyebrow: str
    tone: str
    word: str
    title: tuple[str, ...]
    when: str
    keys: tuple[_Key, ...]
    rows: tuple[_Row, ...]
    panels: tuple[_Panel, ...]
    ticks: tuple[Tick, ...]
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    foot: str
    since: str
    plot: float = _PLOT
    width: float = WIDTH
    pad: float = _PAD


def chart_pictures(directory: Path, *, width_px: int = 1200, limit: int = LIMIT) -> tuple[Picture, ...]:
    """One for each experiment of this run in which anything was measured, in their order; at most `limit`, those that
    held being the first to go. `width_px`: 300 to 2400. Raises JournalError, PictureError, ValueError.
    """
    return pictures_of(load_report(directory), directory.resolve().name, width_px=width_px, limit=limit)


def pictures_of(report: Report, name: str, *, width_px: int = 1200, limit: int = LIMIT) -> tuple[Picture, ...]:
    """The same of a report that is there already. `name`: what the files' names begin with."""
    if not 300 <= width_px <= 2400:
        raise ValueError(f"a picture is 300 to 2400 pixels wide, not {width_px}")
    found = [one for one in report.experiments if one.series and time_axis(one)]
    chosen = sorted(found, key=lambda one: one.status is Status.HELD)[: max(0, limit)]
    return tuple(_picture(one, report, name, width_px) for one in found if one in chosen)


def _picture(experiment: ExperimentReport, report: Report, name: str, width_px: int) -> Picture:
    sheet, alt = _sheet(experiment, report)
    return Picture(
        experiment=experiment.index,
        title=_title(experiment),
        alt=alt,
        file_name=f"{name}-{experiment.index + 1}.png",
        png=_rasterise(_svg(sheet), width_px),
    )


def _title(experiment: ExperimentReport) -> str:
    return " ".join(fmt.clean(experiment.info.title, 200).split()) or f"Experiment {experiment.index + 1}"


# -- what is drawn


def _chosen(experiment: ExperimentReport) -> frozenset[str]:
    """The signals that are drawn: one of each golden kind, broken ones first; then what else broke, or is there."""
    broken = {row.subject for row in experiment.rows if row.is_broken}
    names = sorted((series.signal for series in experiment.series), key=lambda signal: signal not in broken)
    firsts = [next((name for name in names if f".{kind}." in name), None) for kind in _GOLDEN]
    chosen = dict.fromkeys(name for name in firsts if name is not None)
    for name in names:
        if len(chosen) < (_MOST_PANELS if name in broken else len(_GOLDEN)):
            chosen[name] = None
    return frozenset(chosen)


def _sheet(experiment: ExperimentReport, report: Report) -> tuple[_Sheet, str]:
    axis = time_axis(experiment)
    assert axis is not None
    signals = _chosen(experiment)
    shown = [series for series in experiment.series if series.signal in signals]
    charts = tuple(charts_of(msgspec.structs.replace(experiment, series=tuple(shown)), axis))
    all_lanes = tuple(lanes_of(experiment, axis))
    lanes, marks = all_lanes[:_MOST_LANES], marks_of(experiment, axis)
    labels = [tick.label for chart in charts for tick in chart.y_ticks]
    left = _PAD + max(40, *(width_of(label, _SMALL) + 8 for label in labels))
    breadth = WIDTH - left - _PAD
    title = wrap(_title(experiment), WIDTH - 2 * _PAD, _TITLE, lines=2)
    y: float = 50 + 24 * len(title)
    keys = tuple(_keys(legend(charts, lanes, marks), y))
    y = keys[-1].y + _KEY_ROW + 4
    rows = tuple(_rows(lanes, y, breadth))
    y += _LANE * len(rows) + 10
    panels = tuple(_panels(shown, charts, y, breadth))
    y = panels[-1].y + panels[-1].height + 20
    tone, _ = LOOKS[experiment.status]
    number = f"Experiment {experiment.index + 1} of {len(report.experiments)}"
    start, end = experiment.start or axis.start, experiment.end or axis.end
    more = (
        [fmt.plural(len(experiment.series) - len(shown), "more signal")] if len(experiment.series) > len(shown) else []
    )
    more += [fmt.plural(len(all_lanes) - len(lanes), "more fault or alert", "more faults and alerts")] * (
        len(all_lanes) > len(lanes)
    )
    sheet = _Sheet(
        height=y + (46 if more else 24),
        left=left,
        breadth=breadth,
        eyebrow=number,
        tone=tone,
        word=WORDS[experiment.status],
        title=title,
        when=fit(f"{fmt.span((start, end))} UTC, {report.environment}", WIDTH - 2 * _PAD, _SMALL),
        keys=keys,
        rows=rows,
        panels=panels,
        ticks=axis.ticks(),
        bands=stage_bands(experiment, axis),
        marks=marks,
        foot=f"In the report: {' and '.join(more)}." if more else "",
        since=f"time since {'the first injection' if experiment.injected_at else 'the start'}",
    )
    said = [f"{panel.name}: {panel.chart.description}" for panel in panels]
    said += [f"{mark.label}" for mark in marks if mark.kind in ("inject", "alert", "abort", "undo")]
    return sheet, fmt.clean(f"{_title(experiment)}. {number}: {sheet.word}. {'. '.join(said)}.", ALT_LIMIT)


def _keys(kinds: Sequence[tuple[str, str]], y: float) -> Iterator[_Key]:
    x: float = _PAD
    for kind, word in kinds:
        needed = 26 + width_of(word, _SMALL)
        if x + needed > WIDTH - _PAD:
            x, y = _PAD, y + _KEY_ROW
        yield _Key(x, y, kind, word)
        x += needed + 14


def _rows(lanes: Sequence[Lane], y: float, breadth: float) -> Iterator[_Row]:
    for number, lane in enumerate(lanes):
        label = fit(lane.label, breadth * 0.6, _SMALL, bold=True)
        note = fit(lane.note, breadth - width_of(label, _SMALL, bold=True) - 8, _SMALL) if lane.note else ""
        # As on a phone: what would have to be cut to a few letters is not written.
        bands = [(band, breadth * band.width / 100 - 6) for band in lane.bands if not number]
        texts = [(band.left, _brief(band.label, room)) for band, room in bands if room > 60]
        yield _Row(y + number * _LANE, label, note, lane, tuple(texts))


def _brief(label: str, room: float) -> str:
    """ "Stage 2: 2 of 4 instances", or "Stage 2" where there is no room for that."""
    text = fit(label, room, _SMALL)
    return text if text == label else fit(label.partition(":")[0], room, _SMALL)


def _panels(shown: Sequence[Series], charts: Sequence[Chart], y: float, breadth: float) -> Iterator[_Panel]:
    say = environment().filters["signal"]
    for series, chart in zip(shown, charts, strict=True):
        facts = [f"{name} {fact}" for name, fact in chart.facts] + [f"{name} is off the chart" for name in chart.off]
        panel = _Panel(
            y=y,
            name=fit(say(series.signal).striptags(), breadth, _NAME, bold=True),
            facts=tuple(_flow(facts, breadth)),
            chart=chart,
            line=_stretched(chart.path, breadth / SIDE, _PLOT / SIDE),
        )
        yield panel
        y += panel.height


def _flow(facts: Sequence[str], breadth: float) -> Iterator[str]:
    """As many on a line as it has room for."""
    line = ""
    for fact in facts:
        longer = f"{line} · {fact}" if line else fact
        if line and width_of(longer, _SMALL) > breadth:
            yield line
            longer = fact
        line = fit(longer, breadth, _SMALL)
    if line:
        yield line


def _stretched(path: str, across: float, down: float) -> str:
    """The chart's line in the plot's units. A page stretches it and not its thickness; resvg cannot
    (`vector-effect`, SVG 2, §8.13.2)."""
    made: list[str] = []
    for step in _STEP.findall(path):
        follows = made and made[-1] in ("M", "l", "h")
        made.append(step if step in ("M", "l", "h") else f"{int(step) * (across if follows else down):.2f} ")
    return "".join(made)


# -- how it is drawn


@cache
def _colours() -> dict[str, str]:
    """Those of the page's light theme, by the names of its variables."""
    style = (TEMPLATES / "style.css").read_text("utf-8")
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6,8})\b", style[: style.index("}")]))


def _svg(sheet: _Sheet) -> str:
    return environment().get_template("picture.svg.j2").render(sheet=sheet, c=_colours())


def _rasterise(svg: str, width_px: int) -> bytes:
    """As PNG of this width, or of less where it would be larger than MAX_BYTES."""
    try:
        import resvg_py
    except ImportError as error:
        raise PictureError(f"pictures are drawn by resvg-py, which cannot be loaded: {error}") from error
    fonts = [str(_FONTS / "DejaVuSans.ttf"), str(_FONTS / "DejaVuSans-Bold.ttf")]
    if missing := next((font for font in fonts if not Path(font).is_file()), None):
        raise PictureError(f"pictures would have no words: {missing} is missing")
    for width in (width_px, width_px * 2 // 3, width_px // 3):
        try:
            png = resvg_py.svg_to_bytes(
                svg_string=svg, zoom=width / WIDTH, font_files=fonts, skip_system_fonts=is_ours(svg)
            )
        except ValueError as error:
            raise PictureError(f"a picture cannot be drawn: {error}") from error
        if len(png) <= MAX_BYTES:
            return png
    raise PictureError(f"a picture takes {len(png)} bytes, which is too large to send")
