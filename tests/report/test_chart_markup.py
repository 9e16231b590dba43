"""What the charts' script builds on: exact numbers, layers of what moves with the axis, controls that have names."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

from gameday.report import axis
from gameday.report.chart import charts_of, time_axis
from gameday.report.html import SCRIPTS
from gameday.report.model import load_report
from gameday.report.render import Format, render
from gameday.report.templating import TEMPLATES
from gameday.report.views import Report

from . import journals

MOVES = {"line", "gap", "band-stage", "rule", "cursor", "dot"}
STAYS = {"zone", "grid", "floor", "base", "limit"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return load_report(journals.rich(tmp_path_factory.mktemp("chart") / "run").directory)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report, Format.HTML)


def elements(page: str, pattern: str) -> list[ET.Element]:
    return [ET.fromstring(text.replace(" hidden>", ' hidden="">')) for text in re.findall(pattern, page, re.DOTALL)]


def with_ancestors(root: ET.Element, above: tuple[str, ...] = ()) -> Iterator[tuple[ET.Element, tuple[str, ...]]]:
    """Each element with the classes of those around it."""
    for child in root:
        yield child, above
        yield from with_ancestors(child, (*above, *child.get("class", "").split()))


def test_attributes_are_the_exact_numbers(report: Report, page: str) -> None:
    groups = re.findall(r'<section class="charts" data-from="(.*?)" data-to="(.*?)" data-zero="(.*?)">', page)
    canvases = re.findall(r'data-low="(.*?)" data-high="(.*?)" data-unit="(.*?)"', page)
    axes = [found for experiment in report.experiments if (found := time_axis(experiment))]
    assert [tuple(map(float, group)) for group in groups] == [(one.start, one.end, one.zero) for one in axes]
    charts = [c for e, one in zip(report.experiments, axes, strict=True) for c in charts_of(e, one)]
    assert [(float(low), float(high), unit) for low, high, unit in canvases] == [
        (chart.y_low, chart.y_high, chart.unit) for chart in charts
    ]


def test_what_moves_is_clipped_and_what_does_not_stays(page: str) -> None:
    figures = elements(page, r'<figure class="chart">.*?</figure>')
    assert len(figures) == 12
    found = set()
    for figure in figures:
        for element, above in with_ancestors(figure):
            kinds = set(element.get("class", "").split())
            found |= kinds & (MOVES | STAYS)
            if kinds & MOVES:
                assert above[-2:] == ("clip", "time") or above[-3:-1] == ("clip", "time"), kinds
            if kinds & STAYS:
                assert "time" not in above, kinds
    assert found == MOVES | STAYS


def test_a_table_is_behind_every_chart(page: str) -> None:
    for figure in elements(page, r'<figure class="chart">.*?</figure>'):
        table = figure.find("details/div/table")
        assert table is not None
        assert table.find("caption") is not None
        assert len(table.findall("tbody/tr")) > 3


def test_controls_have_names_and_are_hidden_without_a_script(page: str) -> None:
    controls = elements(page, r'<div class="control".*?</div>\s*<output></output>\s*</div>')
    assert [control.get("aria-label") for control in controls] == [
        f"Time axis of the charts of experiment {number}" for number in (1, 2, 3)
    ]
    for control in controls:
        assert (control.get("role"), control.get("hidden")) == ("group", "")
        buttons = list(control.iter("button"))
        assert [button.get("value") for button in buttons] == ["in", "out", "earlier", "later", "whole"]
        assert {button.get("type") for button in buttons} == {"button"}
        assert all(button.get("aria-label") for button in buttons)
    assert page.count('<div class="help" hidden>') == 3


def test_the_script_has_the_steps_of_the_axis() -> None:
    source = (TEMPLATES / SCRIPTS[0]).read_text("utf-8")
    (steps,) = re.findall(r"const STEPS = \[(.*?)\];", source)
    assert tuple(float(step) for step in steps.split(",")) == axis._TIME_STEPS
    assert f"const MOST_TICKS = {axis._MOST_TICKS};" in source
