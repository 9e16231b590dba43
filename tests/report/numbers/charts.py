"""What the charts of an experiment show: where each point, band, mark and label stands, and whether it was measured."""

import re
from itertools import pairwise

from .lines import Experiment
from .page import Page, since
from .reading import Node, Number, differences, measured, numbers

_SIDE = 10_000
_MOST = 300  # buckets of a signal, each with its lowest and its highest reading
_ROWS = 40
_CLOSE = 0.011  # percent of an axis: positions are said with two decimals

_MOMENT = re.compile(r"(?:^|; )([+−][\d.]+\s(?:µs|ms|s|h(?:\s\d+\smin)?|min(?:\s\d+\ss)?)|0)(?=\s)")

type Sample = tuple[float, str, str, float | None, str]


class Axis:
    """The time axis of an experiment, as the page says it: from, to and zero in seconds since the Unix epoch."""

    def __init__(self, group: Node) -> None:
        self.start, self.end, self.zero = (float(group.attributes[f"data-{name}"]) for name in ("from", "to", "zero"))

    def at(self, position: str) -> float:
        """The moment at a position in percent."""
        return self.start + float(position.removesuffix("%")) / 100 * (self.end - self.start)

    def is_at(self, position: str, moment: float) -> bool:
        moment = min(max(moment, self.start), self.end)
        return abs(self.at(position) - moment) <= (self.end - self.start) * _CLOSE / 100


def check(page: Page, group: Node, one: Experiment) -> None:
    """All charts of one experiment."""
    axis, samples = Axis(group), one.samples()
    if one.injected_at is not None and abs(axis.zero - one.injected_at) > 1e-6:
        page.wrong.append(f"time counts from {axis.zero}, expected {one.injected_at}")
    measured_at = [sample[0] for mine in samples.values() for sample in mine]
    if measured_at and not axis.start <= min(measured_at) <= max(measured_at) <= axis.end:
        page.wrong.append(f"the axis from {axis.start} to {axis.end} has no room for all readings")
    counting = next(node for node in group.all("p", class_="small") if "Time is counted" in node.text)
    page.claim(counting, [] if one.injected_at is None else [_clock(one.injected_at)])
    _ticks(page, group, axis)
    _lanes(page, group.one("figure", class_="lanes"), axis, one)
    figures = group.all("figure", class_="chart")
    if len(figures) != len(samples):
        page.wrong.append(f"{len(figures)} charts are shown, expected {len(samples)}")
    for figure, (signal, mine) in zip(figures, samples.items(), strict=False):
        _chart(page, figure, axis, one, signal, mine)


def _clock(at: float) -> str:
    from .expected import clock

    return clock(at)


def _ticks(page: Page, group: Node, axis: Axis) -> None:
    """The labels below an axis say the time at which they stand."""
    for text in group.all("text"):
        if "%" in text.attributes.get("x", "") and text.attributes["x"] != "100%" and _is_tick(text):
            moment = axis.at(text.attributes["x"]) - axis.zero
            shown = numbers(text.claim().text)
            slack = (axis.end - axis.start) * _CLOSE / 100 + 1e-9
            if len(shown) != 1 or shown[0].amount is None or abs(shown[0].amount - moment) > slack:
                page.wrong.append(f"the tick {text.text!r} stands at {moment:.3f} s")


def _is_tick(text: Node) -> bool:
    return "b-text" not in text.attributes.get("class", "") and "halo" not in text.attributes.get("class", "")


# -- one chart


def _chart(page: Page, figure: Node, axis: Axis, one: Experiment, signal: str, samples: list[Sample]) -> None:
    canvas = figure.one("svg", class_="canvas")
    unit, low, high = (canvas.attributes[f"data-{name}"] for name in ("unit", "low", "high"))
    scale = Scale(float(low), float(high), unit)
    facts = _facts(one, signal, samples, unit)
    for item in (*figure.one("ul", class_="facts").all("li"), figure.one("desc")):
        _fact(page, item, facts)
    for text in figure.one("svg", aria_hidden="true", class_="tall").all("text"):
        page.claim(text, [scale.at(text.attributes["y"])])
    _line(page, canvas, axis, scale, signal, samples)
    _levels(page, canvas, scale, one, signal)
    _gaps(page, canvas, axis, samples, one)
    _bands(page, canvas.all("rect", class_="band-stage"), _stages(one, axis), axis)
    _marks(page, canvas, axis, one)
    _table(page, figure.one("table"), axis, one, unit, samples)


class Scale:
    """The axis of values, in a base unit."""

    def __init__(self, low: float, high: float, unit: str) -> None:
        self.low, self.high, self.unit = low, high, unit

    def value(self, share: float) -> float:
        return self.high - share * (self.high - self.low)

    def at(self, position: str) -> Number:
        """The value at a position in percent from the top. A round one is not hidden by the rounding of its place."""
        amount = self.value(float(position.removesuffix("%")) / 100)
        amount = 0.0 if abs(amount) < (self.high - self.low) * 1e-4 else amount
        return measured(amount, self.unit)

    def is_at(self, position: str, amount: float) -> bool:
        top = min(max(100 * (self.high - amount) / (self.high - self.low), 0.0), 100.0)
        return abs(float(position.removesuffix("%")) - top) <= _CLOSE


def _facts(one: Experiment, signal: str, samples: list[Sample], unit: str) -> dict[str, list[Number]]:
    during = [value for _, window, _, value, _ in samples if window == "during" and value is not None]
    unread = sum(value is None for *_, value, _ in samples)
    facts: dict[str, list[Number]] = {}
    if (baseline := one.baseline(signal)) is not None:
        facts["baseline"] = [measured(baseline, unit)]
    if during:
        facts["under fault"] = [measured(min(during), unit), measured(max(during), unit)]
    if unread:
        facts["unreadable"] = [unread, len(samples)]
    return facts


def _fact(page: Page, item: Node, facts: dict[str, list[Number]]) -> None:
    """An item names one fact, the description all of them. A span whose two ends look the same is said as one value."""
    text = item.claim().text
    for name in ("baseline", "under fault", "unreadable"):
        for said in re.findall(rf"(?:^|; ){name}:? ([^;]*)", text):
            shown = numbers(said)
            shown = shown * 2 if name == "under fault" and len(shown) == 1 else shown
            page.wrong += [f"{text!r}: {one}" for one in differences(shown, facts.get(name, []))]
    if item.tag == "desc":
        page.wrong += [f"{text!r} says nothing of {name}" for name in facts if name not in text]


def _points(path: str) -> list[list[tuple[int, int]]]:
    """The unbroken lines of a path, each of points in a square of SIDE by SIDE."""
    lines: list[list[tuple[int, int]]] = []
    for command, first, second in re.findall(r"([Ml])(-?\d+) ?(-?\d+)", path):
        x, y = int(first), int(second)
        if command == "M":
            lines.append([(x, y)])
        else:
            lines[-1].append((lines[-1][-1][0] + x, lines[-1][-1][1] + y))
    return lines


def _line(page: Page, canvas: Node, axis: Axis, scale: Scale, signal: str, samples: list[Sample]) -> None:
    """Each point is a reading; the extremes of each bucket are there; no line crosses what could not be read."""
    lines = _points(canvas.one("path", class_="line").attributes["d"])

    def place(at: float, value: float) -> tuple[int, int]:
        x, y = (at - axis.start) / (axis.end - axis.start), (scale.high - value) / (scale.high - scale.low)
        return round(min(max(x, 0), 1) * _SIDE), round(min(max(y, 0), 1) * _SIDE)

    shown = {point for line in lines for point in line}
    real = {place(at, value) for at, _, _, value, _ in samples if value is not None}
    page.wrong += [f"{signal}: the point {point} is no reading" for point in sorted(shown - real)[:3]]
    for bucket in buckets(samples):
        values = [(at, value) for at, _, _, value, _ in bucket if value is not None]
        for extreme in (min, max):
            best = extreme((value for _, value in values), default=None)
            if best is not None and not {place(at, value) for at, value in values if value == best} & shown:
                page.wrong.append(f"{signal}: {extreme.__name__} {best} of a bucket is not drawn")
    width = _width(samples) / (axis.end - axis.start) * _SIDE
    lost = [place(at, scale.low)[0] for at, _, _, value, _ in samples if value is None]
    for line in lines:
        for (x0, _), (x1, _) in pairwise(line):
            crossed = [x for x in lost if x0 + width < x < x1 - width]
            page.wrong += [f"{signal}: a line crosses {x}, where nothing could be read" for x in crossed[:1]]


def _width(samples: list[Sample], interval: float = 1.0) -> float:
    """Of a bucket: doubled until no more than MOST of them hold a reading."""
    origin, width = samples[0][0], interval
    while len({(at - origin) // width for at, *_ in samples}) > _MOST:
        width *= 2
    return width


def buckets(samples: list[Sample]) -> list[list[Sample]]:
    """The readings by the stretch of time that they fall in."""
    found: dict[float, list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample[0] - samples[0][0]) // _width(samples), []).append(sample)
    return list(found.values())


def _levels(page: Page, canvas: Node, scale: Scale, one: Experiment, signal: str) -> None:
    """The baseline and the limits stand where they are."""
    baseline = one.baseline(signal)
    levels = []
    for condition in (c for c in one.info.get("conditions", []) if c["signal"] == signal):
        if condition.get("relative"):
            shares = (1 - condition["threshold"], 1 + condition["threshold"])
            levels += [] if baseline is None else [baseline * share for share in shares if baseline * share > 0]
        else:
            levels.append(condition["threshold"])
    for line in canvas.all("line", class_="limit"):
        if not any(scale.is_at(line.attributes["y1"], level) for level in levels):
            page.wrong.append(f"{signal}: a limit is drawn at {line.attributes['y1']}, expected one of {levels}")
    lines = canvas.all("line", class_="base")
    if len(lines) != (baseline is not None) or not all(
        scale.is_at(each.attributes["y1"], baseline or 0.0) for each in lines
    ):
        page.wrong.append(f"{signal}: the baseline does not stand at {baseline}")


def _gaps(page: Page, canvas: Node, axis: Axis, samples: list[Sample], one: Experiment) -> None:
    """Each reading without a value lies below a hatched band, and a band begins where one does, or none was taken."""
    bands = [
        (axis.at(g.attributes["x"]), float(g.attributes["width"].rstrip("%"))) for g in canvas.all("rect", class_="gap")
    ]
    slack = (axis.end - axis.start) * _CLOSE / 100 + 1e-6
    spans = [(left - slack, left + width / 100 * (axis.end - axis.start) + slack) for left, width in bands]
    for at, _, _, value, _ in samples:
        if value is None and not any(left <= at <= right for left, right in spans):
            page.wrong.append(f"a reading at {at} has no value, and no gap is shown there")
    begins = [at for at, _, _, value, _ in samples if value is None]
    begins += [a[0] for a, b in pairwise(samples) if b[0] - a[0] > 3 * one.info.get("interval_s", 1.0)]
    for left, _ in bands:
        if not any(abs(left - at) <= max(slack, _width(samples)) for at in begins):
            page.wrong.append(f"a gap begins at {left}, where all could be read")


def _stages(one: Experiment, axis: Axis) -> list[tuple[float, float]]:
    """From when to when each stage lasted."""
    undo = next((line["at"] for line in one.of("phase-entered") if line["phase"] == "undo"), axis.end)
    ended = {(line["step"], line["stage"]): line["at"] for line in one.of("stage-ended")}
    return [(s["at"], ended.get((s["step"], s["stage"]), max(s["at"], undo))) for s in one.of("stage-started")]


def _bands(page: Page, shown: list[Node], spans: list[tuple[float, float]], axis: Axis) -> None:
    for span in spans:
        for band in shown:
            left, width = band.attributes["x"], float(band.attributes["width"].rstrip("%"))
            right = f"{float(left.rstrip('%')) + width}%"
            is_thin = span[1] - span[0] < 0.005 * (axis.end - axis.start)
            if axis.is_at(left, span[0]) and (
                is_thin or abs(axis.at(right) - span[1]) < (axis.end - axis.start) * 3e-4
            ):
                break
        else:
            page.wrong.append(f"no band from {span[0]} to {span[1]}")
    if len(shown) != len(spans):
        page.wrong.append(f"{len(shown)} bands are shown, expected {len(spans)}")


def moments(one: Experiment) -> dict[str, list[float]]:
    """When what is marked on every chart happened."""
    undone = [at for plan in one.plans if (at := one.undone_at(plan)) is not None]
    return {
        "inject": [one.fault_start(plan) for plan in one.plans] + [line["at"] for line in one.actions],
        "undo": undone,
        "alert": [alert["firing"] for alert in one.alerts() if alert["firing"] is not None],
        "note": [line["at"] for line in one.of("note-added")],
        "mark": [line["at"] for line in one.marks()],
        "abort": [line["at"] for line in one.of("guard-tripped")],
    }


def _marks(page: Page, canvas: Node, axis: Axis, one: Experiment) -> None:
    """Each stands at the first of the moments that it names, and all moments are named."""
    expected = {kind: sorted(ats) for kind, ats in moments(one).items()}
    for mark in canvas.all("line", class_="rule"):
        position, (kind,) = mark.attributes["x1"], [k for k in expected if f"m-{k}" in mark.attributes["class"].split()]
        if not any(axis.is_at(position, at) for at in expected[kind]):
            page.wrong.append(f"a mark of the kind {kind} stands at {position}, where nothing happened")
    named = dict.fromkeys(expected, 0)
    for group in canvas.all("g"):
        uses, titles = group.all("use"), [child for child in group.children if child.tag == "title"]
        if not uses or not titles:
            continue
        kind = uses[0].attributes["class"].removeprefix("m-")
        text = titles[0].claim().text
        for said in _MOMENT.findall(text):
            (shown,) = numbers(said.replace("+", ""))
            if not any(shown.says(since(at - axis.zero)) for at in expected[kind]):
                page.wrong.append(f"{text!r}: nothing of the kind {kind} happened at {said}")
        page.wrong += [f"{text!r} shows {one.text}" for one in numbers(_MOMENT.sub("", text), page.known)]
        named[kind] += len(_MOMENT.findall(text))
    wanted = {kind: len(ats) for kind, ats in expected.items()}
    if named != wanted:
        page.wrong.append(f"{named} moments are marked, expected {wanted}")


def _lanes(page: Page, figure: Node, axis: Axis, one: Experiment) -> None:
    """Phases, then the faults of each step, then the alerts."""
    from .expected import reach

    reaches = {str([str(number) for number in reach(plan)]) for plan in one.plans}
    for note in figure.all("tspan"):
        said = numbers(note.claim().text, page.known)
        if said and not any(not differences(said, reach(plan)) for plan in one.plans):
            page.wrong.append(f"{note.text!r}: expected one of {reaches}")
    plans = {(plan["step"], plan["stage"]): plan for plan in one.plans}
    labels: list[list[Number]] = [
        [
            line["stage"] + 1,
            *(reach(plans[key]) if (key := (line["step"], line["stage"])) in plans else [line["radius"]]),
        ]
        for line in one.of("stage-started")
    ]
    stages = figure.all("rect", class_="b-stage")
    _bands(page, stages, _stages(one, axis), axis)
    page.claim_all([stage.one("title") for stage in stages], labels, "stages")
    for text in figure.all("text", class_="b-text"):
        # It may be cut off where there is no room for it.
        shown = text.claim().text.rstrip("…")
        if not any(stage.one("title").text.startswith(shown) for stage in [*stages, *_phases(figure)]):
            page.wrong.append(f"{text.text!r} is the label of no band")
    for alert in one.alerts():
        if alert["firing"] is not None:
            firing = [
                b for b in figure.all("rect", class_="b-firing") if axis.is_at(b.attributes["x"], alert["firing"])
            ]
            if not firing:
                page.wrong.append(f"no band begins as {alert['name']} fires")


def _phases(figure: Node) -> list[Node]:
    return [*figure.all("rect", class_="b-baseline"), *figure.all("rect", class_="b-recovery")]


def _table(page: Page, table: Node, axis: Axis, one: Experiment, unit: str, samples: list[Sample]) -> None:
    """The readings of each stretch of time, counted, with their lowest and highest."""
    parts = buckets(samples)
    size = max(1, -(-len(parts) // _ROWS))
    groups = [[sample for bucket in parts[i : i + size] for sample in bucket] for i in range(0, len(parts), size)]
    rows = table.one("tbody").all("tr")
    if len(rows) != len(groups):
        page.wrong.append(f"{len(rows)} rows are shown, expected {len(groups)}")
    width, origin = _width(samples), samples[0][0]
    for row, group in zip(rows, groups, strict=False):
        values = [value for *_, value, _ in group if value is not None]
        began = origin + (group[0][0] - origin) // width * width
        low, high, readable, unread = row.all("td")
        page.claim(row.one("th"), [since(began - axis.zero)])
        page.claim(low, [measured(min(values), unit)] if values else [])
        page.claim(high, [measured(max(values), unit)] if values else [])
        page.claim(readable, [len(values)])
        page.claim(unread, [len(group) - len(values)])
