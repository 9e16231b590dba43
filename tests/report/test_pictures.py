"""Pictures of the charts: valid, with words on any machine, small, and of the same figures as the page."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import resvg_py
from click.testing import CliRunner

from gameday.cli.report import command
from gameday.journal.events import HypothesisJudged, Judgement, Outcome, Reading, ReadingState, SignalsSampled
from gameday.report import pictures
from gameday.report.chart import SIDE, charts_of, lanes_of, marks_of, time_axis
from gameday.report.lettering import fit, is_ours, width_of, wrap
from gameday.report.model import load_report
from gameday.report.pictures import MAX_BYTES, PictureError, chart_pictures

from . import journals

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SVG of each picture, in the order in which they are drawn."""
    sources: list[str] = []
    real = pictures._rasterise
    monkeypatch.setattr(pictures, "_rasterise", lambda svg, width: sources.append(svg) or real(svg, width))
    return sources


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of a PNG (https://www.w3.org/TR/png-3/#5Chunk-layout), each with its checksum verified."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        yield kind, data
        at += 12 + length


def size(png: bytes) -> tuple[int, int]:
    found = dict(chunks(png))
    assert b"IEND" in found
    width, height = struct.unpack_from(">II", found[b"IHDR"])
    return width, height


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


def points(path: str) -> list[tuple[float, float]]:
    """Where a path of M, l and h leads."""
    x = y = 0.0
    found = []
    for letter, numbers in re.findall(r"([Mlh])([^Mlh]*)", path):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        across, down = (*values, 0.0)[:2]
        x, y = (across, down) if letter == "M" else (x + across, y + down)
        found.append((x, y))
    return found


def test_a_picture_holds_what_the_page_s_charts_hold(tmp_path: Path, drawn: list[str]) -> None:
    journal = journals.rich(tmp_path / "run")
    report = load_report(journal.directory)
    made = chart_pictures(journal.directory)
    assert [picture.experiment for picture in made] == [0, 1, 2]
    assert [picture.file_name for picture in made] == ["run-1.png", "run-2.png", "run-3.png"]
    for picture, svg, experiment in zip(made, drawn, report.experiments, strict=True):
        axis = time_axis(experiment)
        assert axis is not None
        assert picture.title == experiment.info.title
        said, charts = texts(svg), list(charts_of(experiment, axis))
        assert "time since the first injection" in said
        assert experiment.info.title in " ".join(said)
        for lane in lanes_of(experiment, axis):
            assert any(text.startswith(lane.label) for text in said), lane.label
        root = ET.fromstring(svg)
        lines = [path.get("d") or "" for path in root.iter(f"{SVG}path") if path.get("class") == "line"]
        assert len(lines) == len(charts) == 4
        for line, chart in zip(lines, charts, strict=True):
            (across, down), wanted = points(line)[0], points(chart.path)
            assert len(points(line)) == len(wanted)
            scale = [across / wanted[0][0] if wanted[0][0] else None, 100 / SIDE]
            assert down == pytest.approx(wanted[0][1] * scale[1], abs=0.01)
            for (_, got), (_, expected) in zip(points(line), wanted, strict=True):
                assert got == pytest.approx(expected * 100 / SIDE, abs=0.005 * len(wanted))
            assert all(limit.label in said for limit in chart.limits)
        rules = [one for one in root.iter(f"{SVG}line") if (one.get("class") or "").startswith("rule")]
        assert len(rules) == 4 * len(marks_of(experiment, axis))


def test_alt_text_says_it(tmp_path: Path) -> None:
    weak = chart_pictures(journals.rich(tmp_path / "run").directory)[1]
    assert weak.alt.startswith("Checkout refuses politely. Experiment 2 of 3: Weakness. checkout latency p99: baseline")
    assert "PaymentsErrorsHigh fires" in weak.alt
    assert len(weak.alt) <= pictures.ALT_LIMIT


@pytest.mark.parametrize("width", [400, 1200, 2400])
def test_width(width: int, tmp_path: Path) -> None:
    for picture in chart_pictures(journals.interrupted(tmp_path / "run").directory, width_px=width):
        assert size(picture.png)[0] == width


def test_widths_that_make_no_sense(tmp_path: Path) -> None:
    directory = journals.interrupted(tmp_path / "run").directory
    for width in (0, -1, 100_000):
        with pytest.raises(ValueError, match="300 to 2400"):
            chart_pictures(directory, width_px=width)


def test_those_that_held_go_first_where_there_are_too_many(tmp_path: Path) -> None:
    directory = journals.rich(tmp_path / "run").directory
    assert [picture.experiment for picture in chart_pictures(directory, limit=2)] == [1, 2]
    assert chart_pictures(directory, limit=0) == ()


def test_nothing_was_measured(tmp_path: Path) -> None:
    assert chart_pictures(journals.not_started(tmp_path / "run").directory) == ()


@pytest.mark.parametrize(
    "text", [*journals.HOSTILE, "]]>&amp;<!--", "日本語のとても長い名前" * 50, "\ud800 \udfff", " \n\t "]
)
def test_hostile_text_gives_a_valid_picture(text: str, tmp_path: Path, drawn: list[str]) -> None:
    directory = journals.hostile(tmp_path / "run", text.encode(errors="replace").decode()).directory
    (picture,) = chart_pictures(directory)
    assert size(picture.png)[0] == 1200
    assert len(picture.png) <= MAX_BYTES
    root = ET.fromstring(drawn[0])
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {
        "svg",
        "style",
        "defs",
        "pattern",
        "symbol",
        "path",
        "circle",
        "rect",
        "line",
        "text",
        "tspan",
        "g",
        "use",
    }
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    assert all(
        value.startswith("#") for element in root.iter() for name, value in element.attrib.items() if "href" in name
    )
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", "".join((*texts(drawn[0]), picture.alt)))
    for said in texts(drawn[0]):
        assert width_of(said, 13) < pictures.WIDTH + 20, said
    assert len(picture.alt) <= pictures.ALT_LIMIT
    assert len(picture.title) <= 200


def test_what_the_journal_cannot_hold_either(tmp_path: Path) -> None:
    assert fit("\ud800a\x00\ufffe", 100, 13) == "\ufffda\ufffd\ufffd"


def test_words_are_there_without_any_font_of_the_machine(tmp_path: Path, drawn: list[str]) -> None:
    chart_pictures(journals.rich(tmp_path / "run").directory)
    svg = drawn[1]
    assert is_ours(svg), "the machine's fonts are not asked"
    wordless = re.sub(r"<text.*?</text>", "", svg, flags=re.DOTALL)
    fonts = [str(path) for path in sorted(pictures._FONTS.glob("*.ttf"))]
    bare = resvg_py.svg_to_bytes(svg_string=wordless, skip_system_fonts=True, font_files=fonts)
    assert resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True) == bare, "resvg leaves words out, as is feared"
    assert resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, font_files=fonts) != bare


def test_every_character_that_is_said_to_be_ours_is(tmp_path: Path) -> None:
    """One that neither font has is drawn as the box that U+E000, which no font has, is drawn as."""

    def draw(text: str, weight: str) -> bytes:
        letters = f'<text x="9" y="22" font-size="14" font-weight="{weight}" font-family="DejaVu Sans">{text}</text>'
        svg = f'<svg xmlns="{SVG[1:-1]}" width="30" height="30">{letters}</svg>'
        fonts = [str(path) for path in sorted(pictures._FONTS.glob("*.ttf"))]
        return resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, font_files=fonts)

    ours = [chr(code) for code in range(0x21, 0x10000) if is_ours(chr(code)) and chr(code).isprintable()]
    assert len(ours) > 900
    for weight in ("normal", "bold"):
        box = draw("\ue000", weight)
        missing = [character for character in ours if character not in "<&" and draw(character, weight) == box]
        assert missing == []


def test_without_its_fonts_there_is_no_picture_rather_than_one_without_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_FONTS", tmp_path)
    directory = journals.interrupted(tmp_path / "run").directory
    with pytest.raises(PictureError, match="no words"):
        chart_pictures(directory)


def test_one_that_would_be_too_large_is_drawn_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = journals.interrupted(tmp_path / "run").directory
    (whole,) = chart_pictures(directory)
    monkeypatch.setattr(pictures, "MAX_BYTES", len(whole.png) - 1)
    (smaller,) = chart_pictures(directory)
    assert size(smaller.png)[0] == 800
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    with pytest.raises(PictureError, match="too large"):
        chart_pictures(directory)


def test_of_many_signals_the_golden_ones_are_drawn_and_the_rest_is_counted(tmp_path: Path, drawn: list[str]) -> None:
    journal = journals.Journal(tmp_path / "run")
    kinds = ("saturation", "errors", "traffic", "latency")
    names = [f"s{number}.{kind}.x" for number in range(25) for kind in kinds]
    conditions = tuple(journals.condition(name, "< 1", 1.0, "") for name in names)
    journal.start([journals.experiment(conditions=conditions)])
    for _ in range(3):
        readings = tuple(Reading(name, ReadingState.OK, 0.5) for name in names)
        journal.add(SignalsSampled, experiment=0, readings=readings)
        journal.now += 1
    broken = ("s7.errors.x", "s9.errors.x", "s9.latency.x")
    judged = tuple(
        Judgement(subject=name, condition="< 1", outcome=Outcome.BROKEN if name in broken else Outcome.HELD)
        for name in names
    )
    journal.add(HypothesisJudged, experiment=0, when="before", held=False, judgements=judged)
    journal.close()
    (picture,) = chart_pictures(journal.directory)
    shown = [text for text in texts(drawn[0]) if re.match(r"s\d+ ", text)]
    assert shown == ["s0 saturation x", "s0 traffic x", "s7 errors x", "s9 errors x", "s9 latency x"]
    assert "In the report: 95 more signals." in texts(drawn[0])
    assert picture.alt.count(" x:") == 5


def test_wrap_breaks_between_words_and_cuts_what_is_left() -> None:
    assert wrap("Checkout survives", 600, 19, lines=2) == ("Checkout survives",)
    first, second = wrap("Checkout survives the loss of " * 9, 300, 19, lines=2)
    assert "Checkout survives the loss of ".startswith(first)
    assert second.endswith("…")
    assert max(width_of(line, 19, bold=True) for line in (first, second)) <= 300


def test_the_verb_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    journals.rich(tmp_path / ".gameday" / "runs" / "20260306-100000-a")
    result = CliRunner().invoke(command, ["--format", "png"])
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert [path.name for path in paths] == [f"20260306-100000-a-{number}.png" for number in (1, 2, 3)]
    assert all(size(path.read_bytes())[0] == 1200 for path in paths)
    journals.not_started(tmp_path / ".gameday" / "runs" / "20260307-100000-b")
    result = CliRunner().invoke(command, ["--format", "png"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no picture: nothing was measured\n")
