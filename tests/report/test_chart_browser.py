"""The control of the time axis in a real Chromium: real events of mouse, wheel, fingers and keys on a real page."""

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page, launch, needs_browser

from gameday.journal.events import Verdict
from gameday.report import format as fmt
from gameday.report.axis import TimeAxis
from gameday.report.chart import charts_of, time_axis
from gameday.report.index import render_index
from gameday.report.model import load_report
from gameday.report.past import Sessions
from gameday.report.render import Format, render, write_report
from gameday.report.views import ExperimentReport
from gameday.spec.model import Unit

from . import journals
from .test_index import past

pytestmark = needs_browser
AXE = "GAMEDAY_TEST_AXE"  # where axe.min.js of the npm package axe-core lies
SECOND = "#experiment-1 "  # with two stages and a gap in two of its charts
CHART = SECOND + ".canvas"
ANY_CONTROL = "[...document.querySelectorAll('.control, .help')].some((one) => one.checkVisibility())"
_SHOWN = "(() => { const { from, to } = axes[1].span; return [from, to]; })()"
# Of each line: how many times as wide as the plot the whole is, and where it begins, in widths of the plot.
_LINES = f"""[...document.querySelectorAll({json.dumps(SECOND + ".canvas .line")})].map((line) => {{
    const [{{ a, e }}, box] = [line.getScreenCTM(), line.closest(".canvas").getBoundingClientRect()];
    return [a * 10000 / box.width, (e - box.left) / box.width]; }})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return journals.rich(tmp_path_factory.mktemp("browser") / "run").directory


@pytest.fixture(scope="module")
def file(run: Path) -> Path:
    (path,) = write_report(run, [Format.HTML], run.parent / "out")
    return path


@pytest.fixture(scope="module")
def experiment(run: Path) -> ExperimentReport:
    return load_report(run).experiments[1]


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    with browser.page() as page:
        page.open(file)
        yield page
        assert page.complaints == []
        assert page.requests == [file.as_uri()]


@pytest.fixture
def phone(browser: Browser, file: Path) -> Iterator[Page]:
    with browser.page(390, 800, touch=True) as page:
        page.open(file)
        yield page
        assert page.complaints == []


def shown(page: Page) -> tuple[float, float]:
    """From when to when, in seconds since the first injection; that the page says and draws just that is looked at."""
    from_, to = page.evaluate(_SHOWN)
    start, end = page.evaluate("[axes[1].span.start, axes[1].span.end]")
    assert start <= from_ < to <= end
    lines = page.evaluate(_LINES)
    assert [scale for scale, _ in lines] == pytest.approx([(end - start) / (to - from_)] * 4, rel=1e-4)
    assert [left for _, left in lines] == pytest.approx([(start - from_) / (to - from_)] * 4, rel=1e-4, abs=1e-4)
    ticks = page.evaluate(
        f"""[...document.querySelectorAll({json.dumps(SECOND + ".canvas")})].map((svg) =>
        [...svg.querySelectorAll(".ticks text")].map((one) => [one.textContent, parseFloat(one.getAttribute("x"))]))"""
    )
    assert ticks[1:] == ticks[:1] * 3
    assert len(ticks[0]) > 1
    for label, position in ticks[0]:
        assert position == pytest.approx((seconds(label) - from_) / (to - from_) * 100, abs=0.02)
    said = page.evaluate(f"document.querySelector({json.dumps(SECOND + '.control output')}).textContent")
    moments = [moment(text) for text in said.split(" of ")[0].split(" to ")]
    assert moments == pytest.approx([from_, to], abs=0.06 if to - from_ < 10 else 0.51)
    return from_, to


def seconds(label: str) -> float:
    """ "−1.5 s" as a number."""
    return float(label.replace("\N{MINUS SIGN}", "-").removesuffix("\N{NO-BREAK SPACE}s"))


def moment(clock: str) -> float:
    """ "−00:01.5" in seconds."""
    sign, minutes, seconds = re.fullmatch(r"([−+]?)(\d+):([\d.]+)", clock).groups()  # type: ignore[union-attr]
    return (-1 if sign == "−" else 1) * (int(minutes) * 60 + float(seconds))


def whole(experiment: ExperimentReport) -> tuple[float, float]:
    axis = time_axis(experiment)
    assert axis
    return axis.start - axis.zero, axis.end - axis.zero


def at(span: tuple[float, float], share: float) -> float:
    return span[0] + share * (span[1] - span[0])


# -- without hands


def test_ticks_are_those_that_the_server_draws(page: Page) -> None:
    chance = random.Random(7)
    spans = [
        (-before, chance.uniform(0.01, 1) * 10 ** chance.uniform(0.5, 5.5))
        for before in (0.0, 0.3, 9.7, 61.2, 4000.0)
        for _ in range(30)
    ]
    drawn = page.evaluate(
        f"{json.dumps(spans)}.map(([a, b]) => new Span(a, b).ticks().map((one) => [one.label, one.share * 100]))"
    )
    for (start, end), ticks in zip(spans, drawn, strict=True):
        expected = TimeAxis(start, end, 0.0).ticks()
        assert [label for label, _ in ticks] == [tick.label for tick in expected], (start, end)
        assert [share for _, share in ticks] == pytest.approx([tick.position for tick in expected], abs=0.006)


def test_values_are_said_as_the_server_says_them(page: Page) -> None:
    amounts = [0.0, 0.0004, 0.0831, 0.5, 0.99949, 1.0, 3.14159, 59.9, 61.0, 99.96, 999.4, 1234.6, 1048576.0, 5e9, -0.25]
    for unit in Unit:
        said = page.evaluate(f"{json.dumps(amounts)}.map(UNITS[{json.dumps(unit.value)}] ?? number)")
        assert said == [fmt.value(amount, unit) for amount in amounts], unit


def test_a_span_stays_inside_the_whole_and_keeps_its_hold(page: Page) -> None:
    trail = page.evaluate(
        """(() => {
        let seed = 3, span = new Span(-20, 280);
        const chance = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        return Array.from({ length: 400 }, () => {
            const before = span, times = 2 ** (chance() * 6 - 3), at = span.at(chance());
            const finger = () => ({ at: before.at(chance()), share: chance() });
            const acts = [() => before.zoomed(times, at), () => before.moved(chance() * 4 - 2),
                () => before.held([finger(), finger()]), () => before.stretch(at, before.at(chance()))];
            const act = Math.floor(chance() * acts.length);
            span = acts[act]();
            return [span.from, span.to, act, before.share(at), span.share(at), before.from, before.to, times];
        }); })()"""
    )
    kept = 0
    for from_, to, act, before, after, old, older, times in trail:
        assert -20 <= from_ < to <= 280
        assert to - from_ >= 300 / 50 - 1e-6
        width = (older - old) / times
        if act == 0 and 6 <= width <= 300 and from_ > -20 and to < 280:
            assert after == pytest.approx(before)
            kept += 1
    assert kept > 20


# -- the mouse


def test_drag_selects(page: Page, experiment: ExperimentReport) -> None:
    everything = whole(experiment)
    assert shown(page) == pytest.approx(everything)
    left, top, width, _ = page.box(CHART)
    page.drag((left + width * 0.6, top + 90), (left + width * 0.5, top + 95), (left + width * 0.3, top + 120))
    first = at(everything, 0.3), at(everything, 0.6)
    assert shown(page) == pytest.approx(first, abs=0.1)
    page.drag((left + width * 0.25, top + 90), (left + width * 0.5, top + 90), (left + width * 2, top + 90))
    assert shown(page) == pytest.approx((at(first, 0.25), first[1]), abs=0.1)
    page.drag((left + 50, top + 90), (left + 53, top + 90))
    assert shown(page) == pytest.approx((at(first, 0.25), first[1]), abs=0.1), "a click is no drag"
    page.click(left + 60, top + 90, times=2)
    assert shown(page) == pytest.approx(everything)


def test_drag_can_be_given_up(page: Page, experiment: ExperimentReport) -> None:
    left, top, width, _ = page.box(CHART)
    page.drag((left + width * 0.3, top + 90), (left + width * 0.6, top + 90), release=False)
    selected = f"document.querySelector({json.dumps(CHART + ' > .selected')}).getBoundingClientRect().width"
    assert page.evaluate(selected) == pytest.approx(width * 0.3, abs=2)
    page.press("Escape")
    assert page.evaluate(selected) < 2
    page.mouse("mouseReleased", left + width * 0.6, top + 90, button="left", buttons=0, clickCount=1)
    assert shown(page) == pytest.approx(whole(experiment))


def test_shift_and_drag_move(page: Page, experiment: ExperimentReport) -> None:
    left, top, width, _ = page.box(CHART)
    page.drag((left + width * 0.4, top + 90), (left + width * 0.5, top + 90), (left + width * 0.6, top + 90))
    before = shown(page)
    page.drag((left + width * 0.5, top + 90), (left + width * 0.25, top + 90), shift=True)
    assert shown(page) == pytest.approx((at(before, 0.25), at(before, 1.25)), abs=0.05)
    page.drag((left, top + 90), (left + width, top + 90), shift=True)
    page.drag((left, top + 90), (left + width, top + 90), shift=True)
    page.drag((left, top + 90), (left + width, top + 90), shift=True)
    begins = whole(experiment)[0]
    assert shown(page) == pytest.approx((begins, begins + before[1] - before[0]), abs=0.05)


def test_wheel_scrolls_the_page_and_with_control_zooms(page: Page, experiment: ExperimentReport) -> None:
    left, top, width, _ = page.box(CHART)
    scrolled = page.evaluate("scrollY")
    page.wheel(left + width * 0.25, top + 90, 40)
    page.wait_for(f"Math.abs(scrollY - {scrolled + 40}) < 1")
    everything = whole(experiment)
    assert shown(page) == pytest.approx(everything)
    left, top, width, _ = page.box(CHART)
    scrolled, ratio = page.evaluate("scrollY"), page.evaluate("devicePixelRatio")
    for _ in range(4):
        page.wheel(left + width * 0.25, top + 90, -120, control=True)
    from_, to = shown(page)
    assert to - from_ == pytest.approx((everything[1] - everything[0]) / 4, rel=1e-3)
    assert at((from_, to), 0.25) == pytest.approx(at(everything, 0.25), abs=0.05), (
        "what is under the pointer stays there"
    )
    assert (page.evaluate("scrollY"), page.evaluate("devicePixelRatio")) == (scrolled, ratio)
    for _ in range(6):
        page.wheel(left + width * 0.25, top + 90, 120, control=True)
    assert shown(page) == pytest.approx(everything)


def test_nothing_is_drawn_outside_the_plot(page: Page, tmp_path: Path) -> None:
    page.evaluate("document.querySelectorAll('.help, .labels').forEach((one) => one.remove())")
    left, top, width, height = page.box(CHART)
    top += page.evaluate("scrollY")
    beside = (left - 64, top, 63, height), (left + width + 1, top, 30, height)
    before = [page.screenshot(tmp_path / "a.png", clip=clip).read_bytes() for clip in beside]
    page.evaluate("axes[1].show(axes[1].span.zoomed(8, 12))")
    page.settle()
    assert [page.screenshot(tmp_path / "b.png", clip=clip).read_bytes() for clip in beside] == before
    page.evaluate("document.querySelectorAll('.clip').forEach((one) => { one.style.overflow = 'visible'; })")
    assert [page.screenshot(tmp_path / "c.png", clip=clip).read_bytes() for clip in beside] != before
    line = f"getComputedStyle(document.querySelector({json.dumps(CHART + ' .line')}))"
    assert page.evaluate(f"[{line}.vectorEffect, {line}.strokeWidth]") == ["non-scaling-stroke", "1.75px"]


# -- keys


def focus_chart(page: Page) -> None:
    """By the Tab key alone."""
    page.evaluate(f"document.querySelector({json.dumps(SECOND + '.control button')}).focus()")
    for _ in range(5):
        page.press("Tab")
    assert page.evaluate(f"document.activeElement === document.querySelector({json.dumps(CHART)})")


def readings(page: Page) -> list[str]:
    said: list[str] = page.evaluate(
        f"[...document.querySelectorAll({json.dumps(SECOND + '.chart output')})].map((one) => one.textContent)"
    )
    return said


@pytest.mark.parametrize("zoomed", [False, True])
def test_arrows_read_every_value_and_every_gap(page: Page, experiment: ExperimentReport, zoomed: bool) -> None:
    axis = time_axis(experiment)
    assert axis
    series = experiment.series[0]
    step = (next(charts_of(experiment, axis)).y_high) / 10_000  # what a path can tell apart
    focus_chart(page)
    for _ in range(3 if zoomed else 0):
        page.press("+")
    page.press("Home")
    said = []
    while not said or readings(page)[0] != said[-1]:
        said.append(readings(page)[0])
        page.press("ArrowRight")
        from_, to = page.evaluate(_SHOWN)
        assert from_ <= page.evaluate("[...axes[1].charts.values()][0].at") <= to, "the cursor is never out of sight"
    values = [(bucket.low_at, bucket.low) for bucket in series.buckets if bucket.readable]
    assert len(said) == len(values) + 1
    gaps = [text for text in said if "No value" in text]
    assert [text.split(": ", 1)[1] for text in gaps] == ["No value: unreachable: no answer within 3 s"]
    for text, (when, value) in zip([text for text in said if text not in gaps], values, strict=True):
        time, amount = text.split(": ")
        assert seconds(time) == pytest.approx(when - axis.zero, abs=0.055)
        assert amount in {fmt.value(value + off * step, Unit.SECONDS) for off in (-0.5, 0, 0.5)}
    page.press("Home")
    assert readings(page)[0] == said[0]
    page.press("End")
    assert readings(page)[0] == said[-1]


def test_keys_zoom_move_and_show_the_whole(page: Page, experiment: ExperimentReport) -> None:
    everything = whole(experiment)
    focus_chart(page)
    for _ in range(20):
        page.press("ArrowRight")
    cursor = page.evaluate("[...axes[1].charts.values()][0].at")
    page.press("+")
    page.press("+")
    from_, to = shown(page)
    assert to - from_ == pytest.approx((everything[1] - everything[0]) / 4)
    assert (cursor - from_) / (to - from_) == pytest.approx((cursor - everything[0]) / (everything[1] - everything[0]))
    page.press("ArrowRight", shift=True)
    assert shown(page) == pytest.approx((at((from_, to), 0.25), at((from_, to), 1.25)))
    page.press("ArrowLeft", shift=True)
    page.press("-")
    assert shown(page)[1] - shown(page)[0] == pytest.approx((everything[1] - everything[0]) / 2)
    page.press("End")
    assert shown(page)[1] == pytest.approx(everything[1])
    page.press("Home")
    assert shown(page)[0] == pytest.approx(everything[0])
    for key in ("0", "Escape"):
        page.press("+")
        assert shown(page) != pytest.approx(everything)
        page.press(key)
        assert shown(page) == pytest.approx(everything)


def test_buttons(page: Page, experiment: ExperimentReport) -> None:
    everything = whole(experiment)
    state = f"""Object.fromEntries([...document.querySelectorAll({json.dumps(SECOND + ".control button")})].map((one) =>
        [one.value, one.getAttribute("aria-disabled") === "true"]))"""
    assert page.evaluate(state) == {"in": False, "out": True, "earlier": True, "later": True, "whole": True}
    page.evaluate(f"document.querySelector({json.dumps(SECOND + '.control button')}).focus()")
    page.press("Enter")
    page.press(" ")
    half = at(everything, 0.375), at(everything, 0.625)
    assert shown(page) == pytest.approx(half)
    assert page.evaluate(state) == dict.fromkeys(("in", "out", "earlier", "later", "whole"), False)
    for value, expected in (
        ("later", (at(half, 0.5), at(half, 1.5))),
        ("earlier", half),
        ("out", (at(everything, 0.25), at(everything, 0.75))),
        ("whole", everything),
    ):
        left, top, width, height = page.box(f'{SECOND}.control [value="{value}"]')
        page.click(left + width / 2, top + height / 2)
        assert shown(page) == pytest.approx(expected), value
    assert page.focused() == "button Show the whole", "the focus is where it was"
    for _ in range(9):
        page.evaluate(f"document.querySelector({json.dumps(SECOND + '.control button')}).click()")
    assert page.evaluate(state)["in"]
    assert shown(page)[1] - shown(page)[0] == pytest.approx((everything[1] - everything[0]) / 50)


def test_the_tab_key_reaches_everything(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate(
        """window.wanted = new Set([...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() &&
        (one.matches("a[href], button, summary, .canvas, [tabindex='0']") ||
        (one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX)))))"""
    )
    assert page.evaluate("document.querySelectorAll('.canvas:not([tabindex])').length") == 0
    wanted = page.evaluate("wanted.size")
    assert wanted > 60
    for _ in range(wanted + 5):
        page.press("Tab")
        page.evaluate("wanted.delete(document.activeElement)")
    assert page.evaluate("[...wanted].map((one) => one.outerHTML.slice(0, 80))") == []


# -- fingers


def test_fingers(phone: Page, experiment: ExperimentReport) -> None:
    everything = whole(experiment)
    left, top, width, _ = phone.box(CHART)

    def finger(share: float, down: float = 80) -> tuple[float, float]:
        return left + width * share, top + down

    phone.touch([finger(0.3)])
    assert "ms" in readings(phone)[0], "a touch reads"
    phone.touch(*[[finger(share)] for share in (0.3, 0.4, 0.6)])
    assert shown(phone) == pytest.approx(everything), "there is nothing to move in the whole"
    phone.touch([finger(0.3)], [finger(0.3), finger(0.5)], [finger(0.2), finger(0.6)], [finger(0.1), finger(0.7)])
    pinched = shown(phone)
    assert at(pinched, 0.1) == pytest.approx(at(everything, 0.3), abs=0.1)
    assert at(pinched, 0.7) == pytest.approx(at(everything, 0.5), abs=0.1)
    phone.touch(*[[finger(share)] for share in (0.8, 0.7, 0.5, 0.4)])
    assert shown(phone) == pytest.approx((at(pinched, 0.4), at(pinched, 1.4)), abs=0.1)
    moved, scrolled = shown(phone), phone.evaluate("scrollY")
    phone.touch(*[[finger(0.5, 150 - down)] for down in (0, 10, 20, 40, 70, 110)])
    phone.wait_for(f"scrollY > {scrolled + 40}")  # up and down is the page's
    assert shown(phone) == moved


# -- paper, no script, and people with other eyes


def test_paper_shows_the_whole(page: Page, experiment: ExperimentReport, tmp_path: Path) -> None:
    page.evaluate("axes[1].show(axes[1].span.zoomed(4, 12))")
    zoomed = shown(page)
    page.evaluate(
        """addEventListener("beforeprint", () => { window.printed = [axes[1].span.isWhole,
        [...document.querySelectorAll("#experiment-1 .labels text")].map((one) => one.textContent)]; })"""
    )
    page.pdf(tmp_path / "report.pdf")
    is_whole, labels = page.evaluate("printed")
    assert is_whole
    assert "Recovery" in labels
    assert shown(page) == zoomed
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    page.media("print")
    assert not page.evaluate(ANY_CONTROL)


def test_without_a_script_there_are_no_buttons(browser: Browser, file: Path) -> None:
    with browser.page() as page:
        page.allow_scripts(False)
        page.open(file)
        assert page.evaluate("typeof axes") == "undefined"
        assert page.evaluate("document.querySelectorAll('.control, .help').length") == 6
        assert not page.evaluate(ANY_CONTROL)
        assert page.evaluate("document.querySelector('.canvas .line').getBBox().width") > 9000


@pytest.mark.skipif(AXE not in os.environ, reason=f"{AXE} does not say where axe.min.js of npm's axe-core is")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("zoomed", [False, True])
def test_axe_finds_nothing(browser: Browser, file: Path, scheme: str, width: int, zoomed: bool) -> None:
    with browser.page(width, touch=width < 500) as page:
        page.media(prefers_color_scheme=scheme)
        page.open(file)
        if zoomed:
            page.evaluate("axes.forEach((axis) => { axis.show(axis.span.zoomed(6)); axis.read(axis.span.at(0.5)); })")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.evaluate(Path(os.environ[AXE]).read_text("utf-8"))
        found = page.evaluate(
            "axe.run().then(({ violations }) => violations.map((one) => [one.id, one.nodes.map((n) => n.html)]))"
        )
        assert found == []


def test_on_paper_the_legend_stays_with_what_it_explains(page: Page) -> None:
    page.media("print")
    above = "[...document.querySelectorAll('.charts > h3, .charts > .keys, .charts > p')]"
    said = page.evaluate(f"{above}.map((one) => getComputedStyle(one).breakAfter)")
    assert len(said) >= 3
    assert set(said) == {"avoid"}


def test_nothing_is_cut_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    """The names of stages are written whole or shorter, those of pods run over several lines."""
    pods = [f"payments-7d9c5b6f8-{number:05x}" for number in range(20)]
    journal = journals.Journal(tmp_path / "run")
    journal.start([journals.experiment()])
    journal.begin(0)
    for stage, count in enumerate((10, 20)):
        journal.inject(0, stage, pods[:count], total=40)
        journal.samples(0, 6)
        journal.end_stage(0, stage, {})
    journal.undo(0, 2)
    journal.recover(0, 1.0)
    journal.end(0, Verdict.HELD)
    path = tmp_path / "report.html"
    path.write_text(render(load_report(journal.close_session(Verdict.HELD)), Format.HTML))
    with browser.page(375, 800, touch=True) as page:
        page.open(path)
        page.settle()
        labels = page.evaluate("[...document.querySelectorAll('.labels text')].map((one) => one.textContent)")
        assert {"Stage 1", "Stage 2"} <= set(labels)
        assert not [label for label in labels if label.endswith("…")]
        beside = page.evaluate(
            """[...document.querySelectorAll("td .name")].map((one) =>
            one.closest("td").getBoundingClientRect().right - one.getBoundingClientRect().right)"""
        )
        assert len(beside) > 20
        assert min(beside) > -1


@pytest.mark.parametrize("count", [2, 4, 5, 6, 12])
def test_no_date_of_the_trends_is_cut_on_a_phone(count: int, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(render_index(Sessions(tuple(past(2 * number) for number in range(count)))))
    with browser.page(390, 800, touch=True) as page:
        page.open(path)
        dates = page.evaluate(
            """[...document.querySelectorAll("text")].filter((one) => /^\\d{4}-\\d\\d-\\d\\d$/.test(one.textContent) &&
            one.checkVisibility()).map((one) => [one, one.closest("svg")].map((it) => it.getBoundingClientRect()))
            .map(([text, plot]) => [text.left - plot.left, plot.right - text.right])"""
        )
        assert dates
        assert min(min(sides) for sides in dates) > -1, dates
