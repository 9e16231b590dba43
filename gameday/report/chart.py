"""The geometry of charts: what stands where, in percent; the templates draw it.

All charts of one experiment share a time axis. Lines are paths in a square of SIDE by SIDE units, which the page
stretches.
"""

import math
from collections.abc import Iterator, Sequence

import msgspec

from gameday.journal.events import ConditionInfo
from gameday.report import format as fmt
from gameday.report.axis import Tick, TimeAxis, ValueAxis, percent, value_axis
from gameday.report.hypothesis import condition_text
from gameday.report.views import Bucket, ExperimentReport, Series, Stage, Window

SIDE = 10_000
_TABLE_ROWS = 40
_MISSED_TICKS = 3  # so many without a reading are a gap
_THINNEST = 0.004  # of the axis: what is shorter would not be seen
_HEADROOM = 1.1
_NO_MOMENT = 1e12  # seconds: some thirty thousand years off, in a damaged journal
_FAR_OFF = 1.5  # an abort condition this many times above all else would flatten the line


class Band(msgspec.Struct, frozen=True):
    """A stretch of time. `left` and `width` in percent."""

    left: float
    width: float
    kind: str
    label: str

    def brief(self, room: int) -> str:
        """ "Stage 2: 2 of 4 instances", or "Stage 2" where that has more characters than room; or nothing."""
        texts = (self.label, self.label.partition(":")[0])
        return next((text for text in texts if len(text) <= room), "")


class Mark(msgspec.Struct, frozen=True):
    """A moment. `kind` is "inject", "undo", "notified", "alert", "note", "mark" or "abort"."""

    left: float
    kind: str
    label: str


class Limit(msgspec.Struct, frozen=True):
    """A threshold. `top` in percent; `zone`: the side on which values are not wanted, as top and height in percent."""

    top: float
    role: str  # "hypothesis" or "abort-when"
    label: str
    zone: tuple[float, float]


class DataRow(msgspec.Struct, frozen=True):
    time: str
    low: str
    high: str
    readable: int
    unread: int


class Chart(msgspec.Struct, frozen=True):
    """One signal. `y_low` and `y_high` bound its axis, in the base unit; `off` names limits that are off the chart."""

    id: str
    signal: str
    description: str
    facts: tuple[tuple[str, str], ...]
    unit: str
    y_low: float
    y_high: float
    y_ticks: tuple[Tick, ...]
    path: str
    gaps: tuple[Band, ...]
    baseline: float | None
    limits: tuple[Limit, ...]
    off: tuple[str, ...]
    rows: tuple[DataRow, ...]


def charts_of(experiment: ExperimentReport, axis: TimeAxis) -> Iterator[Chart]:
    """One for each signal, in the order of the experiment's conditions."""
    for number, series in enumerate(experiment.series):
        yield _chart(f"e{experiment.index}-s{number}", series, axis, experiment.info.interval_s)


def time_axis(experiment: ExperimentReport) -> TimeAxis | None:
    """From the experiment's first moment to its last; None when nothing was measured.

    What came long after (somebody has recovered it the next morning, or written it off) would flatten all else: beyond
    as much again as the experiment itself took, it lies on the edge.
    """
    moments = [moment for series in experiment.series for moment in _ends(series)]
    moments += [moment for moment in (experiment.start, experiment.end, experiment.injected_at) if moment is not None]
    moments = [moment for moment in moments if abs(moment) < _NO_MOMENT]
    later = [fault.undone_at for fault in experiment.faults if fault.undone_at is not None]
    later += [entry.at for entry in experiment.timeline if abs(entry.at) < _NO_MOMENT]
    reach = 2 * max(moments) - min(moments) if moments else math.inf
    moments += [moment for moment in later if moment <= reach]
    if not moments or max(moments) - min(moments) < 0.1:
        return None
    start = min(moments)
    zero = experiment.injected_at
    return TimeAxis(start, max(moments), start if zero is None or abs(zero) >= _NO_MOMENT else zero)


def _ends(series: Series) -> Iterator[float]:
    if series.buckets:
        yield series.buckets[0].start
        yield series.buckets[-1].end


def _chart(identity: str, series: Series, axis: TimeAxis, interval_s: float) -> Chart:
    values = [amount for bucket in series.buckets if bucket.readable for amount in (bucket.low, bucket.high)]
    levels = [level for condition in series.conditions for level in _levels(condition, series.baseline)]
    reach = [*values, *(level.amount for level in levels if level.condition.role == "hypothesis")]
    highest = max(reach, default=0.0)
    shown = [level for level in levels if level.condition.role == "hypothesis" or level.amount <= highest * _FAR_OFF]
    # Room above a limit, so that it does not look like the edge.
    y = value_axis([*reach, *(level.amount * _HEADROOM for level in shown if level.above)], series.unit)
    path, gaps = _trace(series, axis, y, interval_s)
    off = tuple(dict.fromkeys(f"abort {condition_text(level.condition)}" for level in levels if level not in shown))
    return Chart(
        id=identity,
        signal=series.signal,
        description=_describe(series),
        facts=_facts(series),
        unit=series.unit.value,
        y_low=y.low,
        y_high=y.high,
        y_ticks=y.ticks(),
        path=path,
        gaps=gaps,
        baseline=None if series.baseline is None else y.at(series.baseline),
        limits=tuple(_limit(level, y) for level in shown),
        off=off,
        rows=tuple(_rows(series.buckets, axis, series)),
    )  # fmt: skip


class _Level(msgspec.Struct, frozen=True):
    """One line of a condition on the value axis, and whether what is above it (or what is below) is not wanted."""

    condition: ConditionInfo
    amount: float
    above: bool


def _levels(condition: ConditionInfo, baseline: float | None) -> tuple[_Level, ...]:
    """Where a condition's threshold lies: twice for a change in either direction, nowhere without a baseline."""
    if not condition.relative:
        above = condition.comparator.startswith("<") == (condition.role == "hypothesis")
        return (_Level(condition, condition.threshold, above),)
    if baseline is None:
        return ()
    lower, upper = baseline * (1 - condition.threshold), baseline * (1 + condition.threshold)
    levels = (_Level(condition, lower, above=False), _Level(condition, upper, above=True))
    return levels if lower > 0 else levels[1:]


def _limit(level: _Level, y: ValueAxis) -> Limit:
    top = y.at(level.amount)
    word = "limit" if level.condition.role == "hypothesis" else "abort"
    zone = (0.0, top) if level.above else (top, round(100 - top, 2))
    return Limit(top, level.condition.role, f"{word} {condition_text(level.condition)}", zone)


def _facts(series: Series) -> tuple[tuple[str, str], ...]:
    extents = dict(series.windows)
    facts = [("baseline", fmt.value(series.baseline, series.unit))] if series.baseline is not None else []
    during = series.extent(Window.DURING)
    if during is not None and during.low is not None:
        low, high = fmt.value(during.low, series.unit), fmt.value(during.high, series.unit)
        facts.append(("under fault", low if low == high else f"{low} to {high}"))
    unread = sum(extent.unread for extent in extents.values())
    if unread:
        total = unread + sum(extent.readable for extent in extents.values())
        facts.append(("unreadable", f"{unread} of {total}"))
    return tuple(facts)


def _describe(series: Series) -> str:
    parts = [f"{name}: {text}" for name, text in _facts(series)]
    parts += [f"limit {condition_text(condition)}" for condition in series.conditions if condition.role == "hypothesis"]
    return "; ".join(parts) or "no readings"


# -- the line and its gaps


def _points(bucket: Bucket) -> list[tuple[float, float]]:
    low, high = (bucket.low_at, bucket.low), (bucket.high_at, bucket.high)
    return [low] if low == high else sorted((low, high))


def _trace(series: Series, axis: TimeAxis, y: ValueAxis, interval_s: float) -> tuple[str, tuple[Band, ...]]:
    """The path, broken wherever a reading is wanting, and the stretches of time that are hatched instead."""
    longest = _MISSED_TICKS * max(series.width_s, interval_s)
    segments: list[list[tuple[float, float]]] = []
    gaps: list[tuple[float, float, str]] = []
    broken, waiting = True, False
    last_end: float | None = None
    for bucket in series.buckets:
        points = _points(bucket) if bucket.readable else []
        begins = min([at for at, _ in points] + ([bucket.unread_from] if bucket.unread else []))
        if last_end is not None and begins - last_end > longest:
            gaps.append((last_end, begins, "no reading was taken"))
            broken, waiting = True, False
        if points:
            if waiting:  # the gap lasts until there is a value again
                gaps[-1] = (gaps[-1][0], max(gaps[-1][1], points[0][0]), gaps[-1][2])
            if broken or bucket.unread:
                segments.append([])
            segments[-1] += points
            broken, waiting = bool(bucket.unread), False
        if bucket.unread:
            until = min(bucket.unread_to + interval_s, axis.end)
            if gaps and bucket.unread_from <= gaps[-1][1] and not points:
                gaps[-1] = (gaps[-1][0], until, bucket.why)
            else:
                gaps.append((bucket.unread_from, until, bucket.why))
            broken, waiting = True, not bucket.readable or bucket.unread_to > bucket.readable_to
        last_end = bucket.end
    bands = tuple(_band(axis, start, end, "gap", why) for start, end, why in gaps)
    return "".join(_segment(points, axis, y) for points in segments), bands


def _segment(points: Sequence[tuple[float, float]], axis: TimeAxis, y: ValueAxis) -> str:
    """One unbroken line, in whole units, each step relative to the last: the shortest way to write it."""
    x0, y0 = 0, 0
    parts: list[str] = []
    for at, amount in points:
        x1, y1 = round(axis.share(at) * SIDE), round(y.share(amount) * SIDE)
        parts.append(f"M{x1} {y1}" if not parts else f"l{x1 - x0}{'' if y1 < y0 else ' '}{y1 - y0}")
        x0, y0 = x1, y1
    return "".join(parts) + ("h0" if len(parts) == 1 else "")


def _band(axis: TimeAxis, start: float, end: float, kind: str, label: str) -> Band:
    left = axis.share(start)
    return Band(percent(left), percent(max(axis.share(end) - left, _THINNEST)), kind, label)


def _rows(buckets: Sequence[Bucket], axis: TimeAxis, series: Series) -> Iterator[DataRow]:
    size = max(1, -(-len(buckets) // _TABLE_ROWS))
    for first in range(0, len(buckets), size):
        group = buckets[first : first + size]
        readable = [bucket for bucket in group if bucket.readable]
        yield DataRow(
            time=axis.label(group[0].start),
            low=fmt.value(min((bucket.low for bucket in readable), default=None), series.unit),
            high=fmt.value(max((bucket.high for bucket in readable), default=None), series.unit),
            readable=sum(bucket.readable for bucket in group),
            unread=sum(bucket.unread for bucket in group),
        )


# -- what happened when


def stage_bands(experiment: ExperimentReport, axis: TimeAxis) -> tuple[Band, ...]:
    """The baseline, the stages and the recovery, as bands behind every chart."""
    end = next((phase.start for phase in experiment.phases if phase.phase == "undo"), axis.end)
    spans = [
        (phase.start, phase.end, phase.phase, phase.phase.capitalize())
        for phase in experiment.phases
        if phase.phase in ("baseline", "recovery")
    ]
    spans += [
        (stage.start, stage.end or max(stage.start, end), "stage", _stage_label(stage, experiment))
        for stage in experiment.stages
    ]
    return tuple(_band(axis, start, until, kind, label) for start, until, kind, label in sorted(spans))


def _stage_label(stage: Stage, experiment: ExperimentReport) -> str:
    faults = (fault for fault in experiment.faults if (fault.step, fault.stage) == (stage.step, stage.stage))
    reach = next((fault.reach for fault in faults), stage.radius)
    return f"Stage {stage.stage + 1}: {reach}"


def marks_of(experiment: ExperimentReport, axis: TimeAxis) -> tuple[Mark, ...]:
    """Injections, undos, alerts that fired and notes: those of one kind that would lie on one another are one."""
    found: list[tuple[float, str, str]] = []
    for fault in experiment.faults:
        found.append((fault.start, "inject", f"{fault.fault} on {fmt.listing(list(fault.targets), 6)}"))
        if fault.undone_at is not None:
            found.append((fault.undone_at, "undo", f"undone: {fault.fault}"))
    for activity in experiment.activities:
        if activity.kind == "action" and activity.section == "method":
            found.append((activity.start, "inject", activity.name))
    found += [(alert.firing_at, "alert", f"{alert.name} fires") for alert in experiment.alerts if alert.firing_at]
    found += [(note.at, "note", f"{note.author}: {note.text}") for note in experiment.notes]
    found += [(mark.at, "mark", f"{mark.author}: {mark.mark}") for mark in experiment.marks]
    found += [(guard.at, "abort", guard.detail) for guard in experiment.guards]
    marks: list[Mark] = []
    for at, kind, label in sorted(found):
        text = f"{axis.label(at)} {fmt.clean(label, 120)}"
        near = next((mark for mark in marks if mark.kind == kind and abs(mark.left - axis.at(at)) < 1), None)
        if near:
            marks[marks.index(near)] = Mark(near.left, kind, f"{near.label}; {text}"[:400])
        else:
            marks.append(Mark(axis.at(at), kind, text))
    return tuple(marks)


class Lane(msgspec.Struct, frozen=True):
    """One row of the overview. `note` stands beside the label."""

    label: str
    note: str
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...] = ()


def lanes_of(experiment: ExperimentReport, axis: TimeAxis) -> Iterator[Lane]:
    """The overview: phases, then each step's faults, then each alert from pending to resolved."""
    yield Lane("Phases", "", stage_bands(experiment, axis))
    for step in dict.fromkeys(fault.step for fault in experiment.faults):
        faults = [fault for fault in experiment.faults if fault.step == step]
        undone = all(fault.undone_at is not None for fault in faults)
        fate = ", not undone" if any(fault.is_open for fault in faults) else ", written off"
        end = max(fault.undone_at or axis.end for fault in faults)
        last = faults[-1]
        yield Lane(
            last.fault,
            f"{last.reach} at most" + ("" if undone else fate),
            (
                _band(
                    axis, faults[0].start, end, "fault" if undone else "fault-open", fmt.listing(list(last.targets), 6)
                ),
            ),
            tuple(Mark(axis.at(fault.start), "inject", axis.label(fault.start)) for fault in faults)
            + tuple(Mark(axis.at(f.undone_at), "undo", axis.label(f.undone_at)) for f in faults[-1:] if f.undone_at),
        )
    for alert in [alert for alert in experiment.alerts if alert.pending_at or alert.firing_at][:20]:
        bands = []
        end = alert.resolved_at or axis.end
        if alert.pending_at is not None:
            bands.append(_band(axis, alert.pending_at, alert.firing_at or end, "pending", "pending"))
        if alert.firing_at is not None:
            bands.append(_band(axis, alert.firing_at, end, "firing", "firing"))
        notified = [Mark(axis.at(alert.notified_at), "notified", "somebody was notified")] if alert.notified_at else []
        note = "" if alert.expected else "not expected"
        yield Lane(alert.name, note, tuple(bands), tuple(notified))
