"""The geometry of the trend charts: what stands where, in percent; the template draws it.

One column a run of an experiment, the newest on the right. Lines are paths in a square of SIDE by SIDE units, which the
page stretches; they join runs of the same experiment in the same environment, and nothing else.
"""

import math
from collections.abc import Iterator, Sequence

import msgspec

from gameday.report.axis import Tick, ValueAxis, percent, value_axis
from gameday.report.chart import SIDE
from gameday.report.format import clean, duration, moment
from gameday.report.past_run import SessionPast
from gameday.report.trend_words import taken
from gameday.report.trends import Measure, Trend, Trial, detected, noticed, recovered
from gameday.report.views import Status
from gameday.spec.model import Unit

COLUMNS = 40  # the newest runs
PANEL = 70  # pixels
_GAP = 40
_STRIP = 18
_DATES_HEIGHT = 24
_DATES = 5
_WIDEST_BAR = 0.03
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200)  # seconds


class Cell(msgspec.Struct, frozen=True):
    """How one run ended. `left` in percent."""

    left: float
    status: Status
    label: str


class Dot(msgspec.Struct, frozen=True):
    """A measured duration, or that it never came: then it stands at the top. `left` and `top` in percent."""

    left: float
    top: float
    never: bool
    label: str


class Bar(msgspec.Struct, frozen=True):
    """Findings that were open after a run. In percent."""

    left: float
    width: float
    top: float
    label: str


class Panel(msgspec.Struct, frozen=True):
    """One figure over all columns: durations as dots and a line, or counts as bars. `top` in pixels, of the chart."""

    name: str
    top: int
    ticks: tuple[Tick, ...]
    line: str = ""
    dots: tuple[Dot, ...] = ()
    bars: tuple[Bar, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """One run, for the table behind the chart."""

    session: SessionPast
    title: str
    status: Status
    detected: float | None
    noticed: float | None
    recovered: float | None
    open: int


class TrendChart(msgspec.Struct, frozen=True):
    """Of one service. `left_out`: older runs that have no column. `height` in pixels. A panel that would be empty is
    left out."""

    trend: Trend
    left_out: int
    cells: tuple[Cell, ...]
    panels: tuple[Panel, ...]
    height: int
    dates: tuple[Tick, ...]
    rows: tuple[Row, ...]  # the newest first


def trend_chart(trend: Trend) -> TrendChart:
    """Of the newest runs."""
    trials = trend.trials[-COLUMNS:]
    open_after = {item.session.run: item.open for item in trend.findings}
    counts = [open_after[trial.session.run] for trial in trials]
    panels = [
        _durations("Time to detect", trials, detected),
        _durations("Time to recover", trials, recovered),
        _counts("Findings open", trials, counts),
    ]
    drawn = [panel for panel in panels if panel.dots or panel.bars]
    return TrendChart(
        trend=trend,
        left_out=len(trend.trials) - len(trials),
        cells=tuple(
            Cell(_left(index, trials), trial.status, f"{_label(trial)}: {trial.status.value.replace('-', ' ')}")
            for index, trial in enumerate(trials)
        ),
        panels=tuple(
            msgspec.structs.replace(panel, top=_STRIP + number * (PANEL + _GAP) + _GAP)
            for number, panel in enumerate(drawn)
        ),
        height=_STRIP + len(drawn) * (PANEL + _GAP) + _DATES_HEIGHT,
        dates=tuple(_dates(trials)),
        rows=tuple(_row(trial, count) for trial, count in zip(reversed(trials), reversed(counts), strict=True)),
    )


def _left(index: int, trials: Sequence[Trial]) -> float:
    return percent((index + 0.5) / len(trials))


def _label(trial: Trial) -> str:
    return f"{moment(trial.session.started):%Y-%m-%d}, {clean(trial.experiment.title, 60)}"


def _durations(name: str, trials: Sequence[Trial], measure: Measure) -> Panel:
    found = [
        (index, trial, seconds)
        for index, trial in enumerate(trials)
        if trial.is_judged and (seconds := measure(trial.experiment)) is not None
    ]
    axis = _axis(max((seconds for _, _, seconds in found if math.isfinite(seconds)), default=0.0))
    dots = tuple(
        Dot(_left(index, trials), axis.at(seconds), math.isinf(seconds), f"{_label(trial)}: {taken(seconds)}")
        for index, trial, seconds in found
    )
    steps = round(axis.high / axis.step)
    ticks = tuple(Tick(axis.at(count * axis.step), duration(count * axis.step)) for count in range(steps + 1))
    return Panel(name, 0, ticks, _line(found, len(trials), axis), dots)


def _axis(longest: float) -> ValueAxis:
    """Of durations, from zero, with at most three round steps."""
    step = next((step for step in _STEPS if longest <= 3 * step), longest / 3)
    return ValueAxis(0.0, max(1, math.ceil(longest / step - 1e-9)) * step, step, Unit.SECONDS)


def _counts(name: str, trials: Sequence[Trial], counts: Sequence[int]) -> Panel:
    axis = value_axis([float(count) for count in counts], Unit.NUMBER)
    width = min(0.6 / len(trials), _WIDEST_BAR)
    bars = tuple(
        Bar(
            percent((index + 0.5) / len(trials) - width / 2),
            percent(width),
            axis.at(count),
            f"{_label(trials[index])}: {count}",
        )
        for index, count in enumerate(counts)
        if count
    )
    return Panel(name, 0, tuple(tick for tick in axis.ticks() if tick.label.isdigit()), bars=bars)


def _line(found: Sequence[tuple[int, Trial, float]], columns: int, axis: ValueAxis) -> str:
    lines: dict[tuple[str, str], list[str]] = {}
    for index, trial, seconds in found:
        points = lines.setdefault(trial.subject, [])
        if math.isinf(seconds):
            points.append("")  # what never came has no place on the axis: the line stops
        else:
            start = "L" if points and points[-1] else "M"
            points.append(f"{start}{round((index + 0.5) / columns * SIDE)} {round(axis.share(seconds) * SIDE)}")
    return "".join(point for points in lines.values() for point in points)


def _dates(trials: Sequence[Trial]) -> Iterator[Tick]:
    """The days of a few columns, the first and the last among them; every other one goes where room is short."""
    last = len(trials) - 1
    count = next(count for count in (_DATES, 3, 2, 1) if count <= len(trials))
    said = ""
    for number in range(count):
        index = round(last * number / max(1, count - 1))
        day = f"{moment(trials[index].session.started):%Y-%m-%d}"
        if day != said:
            yield Tick(_left(index, trials), day, minor=number % 2 != 0 and count > 2)
        said = day


def _row(trial: Trial, open_after: int) -> Row:
    item = trial.experiment
    return Row(trial.session, item.title, trial.status, detected(item), noticed(item), recovered(item), open_after)
