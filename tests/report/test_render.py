"""What is written says what the view says, needs nothing but itself, and lets no text become anything but text."""

import base64
import hashlib
import itertools
import json
import re
import stat
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from jinja2 import Environment

from gameday.cli.report import command
from gameday.journal.events import ActivityStarted, ExperimentStarted, PeopleInfo, Verdict
from gameday.report import markdown, templating
from gameday.report.chart import Band, time_axis
from gameday.report.model import load_report
from gameday.report.render import VIEWS, Format, render, write_report
from gameday.report.views import Report
from gameday.report.words import noticed, sentences, statement

from . import journals

SESSIONS = ("rich", "partnership", "undo_failed", "not_started", "interrupted")
_VOID = {"meta", "br"}


class Page(HTMLParser):
    """Every element with its attributes, the text of the page, and whether all that was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attributes in self.elements for key, value in attributes.items() if key == name]


def page_of(directory: Path) -> tuple[Page, str]:
    text = render(load_report(directory), Format.HTML)
    return Page(text), text


def assert_sound(page: Page, text: str) -> None:
    """What must be true of any page."""
    assert page.open == []
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    inside = [value for value in page.attributes("href") if value.startswith("#")]
    for value in page.attributes("aria-labelledby") + inside:
        for reference in value.split():
            assert reference.removeprefix("#") in ids
    for _, attributes in page.elements:
        if (href := attributes.get("href")) is not None and not href.startswith("#"):
            assert re.fullmatch(r"https?://[!-~]+", href)  # nothing is loaded from there: somebody has to follow it
            assert attributes["rel"] == "noreferrer noopener"
    assert not page.attributes("src")
    assert not page.attributes("style")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert {tag for tag, _ in page.elements}.isdisjoint({"img", "iframe", "link", "object", "embed", "base", "form"})
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    images = [attributes for tag, attributes in page.elements if tag == "svg" and attributes.get("role") == "img"]
    assert all("aria-labelledby" in attributes for attributes in images)


@pytest.mark.parametrize("name", SESSIONS)
def test_page_is_sound(name: str, tmp_path: Path) -> None:
    page, text = page_of(getattr(journals, name)(tmp_path / "run").directory)
    assert_sound(page, text)


def test_policy_allows_just_the_page_s_own_style_and_script(tmp_path: Path) -> None:
    page, text = page_of(journals.rich(tmp_path / "run").directory)
    (policy,) = [a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_page_says_what_happened(tmp_path: Path) -> None:
    journal = journals.rich(tmp_path / "run")
    report = load_report(journal.directory)
    page, _ = page_of(journal.directory)
    said = " ".join("".join(page.text).split())
    for phrase in (
        "Aborted. Everything was undone.",
        *sentences(report),
        noticed(report),
        "12.9\N{NO-BREAK SPACE}s",
        "482\N{NO-BREAK SPACE}ms",
        "payments-2, payments-4",
        "send SIGKILL to payments-1, payments-3",
        "retries hid it from customers",
        "There is no runbook checkout-errors",
        "slack failed once",
        "UTC (+00:00)",
    ):
        assert " ".join(phrase.split()) in said
    charts = [attributes for tag, attributes in page.elements if tag == "svg" and "data-low" in attributes]
    assert len(charts) == 12
    gaps = [attributes for tag, attributes in page.elements if tag == "rect" and attributes.get("class") == "gap"]
    assert len(gaps) == 3  # latency and errors of the second experiment, and the legend


def test_lines_stop_at_gaps(tmp_path: Path) -> None:
    _, text = page_of(journals.rich(tmp_path / "run").directory)
    lines = re.findall(r'<path class="line" d="([^"]*)"', text)
    assert [line.count("M") for line in lines[4:8]] == [2, 1, 2, 1]  # latency, traffic, errors, cpu
    for line in lines:
        assert re.fullmatch(r"(M\d+ \d+(l-?\d+ ?-?\d+)*(h0)?)+", line)


def test_statements_and_sentences(tmp_path: Path) -> None:
    said = {}
    for name in SESSIONS:
        report = load_report(getattr(journals, name)(tmp_path / name).directory)
        said[name] = (statement(report), *sentences(report), noticed(report))
    assert said["rich"][4].startswith("2 of 3 expected alerts fired, 3.0\N{NO-BREAK SPACE}s to 12.9")
    assert said["rich"][4].endswith("The run was over before 1 alert had to fire.")
    assert said["undo_failed"][0] == "An undo failed. Something may still be broken."
    assert said["not_started"][0] == "Not started. Nothing was injected."
    assert said["not_started"][1] == "Nothing was injected."
    assert "locks" in said["not_started"][2]
    assert said["interrupted"][0] == "Interrupted, with 1 fault not known to be undone."
    assert said["interrupted"][4] == "The run was over before 1 alert had to fire."


def test_alike_faults_and_readings_are_said_once(tmp_path: Path) -> None:
    journal = journals.Journal(tmp_path / "run")
    alerts = {"alerts": journals.BROKEN_ALERTS, "runbooks": journals.BROKEN_RUNBOOKS}
    journal.start([journals.experiment(f"Part {number}", path=f"{number}.yaml", **alerts) for number in range(4)])
    for index in range(3):
        journals.broken(journal, index)
    broken, survived, _ = sentences(load_report(journal.close_session(Verdict.WEAKNESS)))
    assert broken == "We broke: process/kill on payments, 3 times (at most 2 of 4 instances)."
    assert survived.replace("\N{NO-BREAK SPACE}", " ") == (
        "The steady state did not hold in 3 of 3 experiments: checkout’s p99 latency reached 482 ms (wanted < 300ms) "
        "and checkout’s share of failed requests reached 6.3 % (wanted < 1%); steady again within 6.5 s of the undo; "
        "1 of 4 experiments did not run."
    )


def test_a_plain_experiment_is_told_by_the_names_of_its_actions(tmp_path: Path) -> None:
    journal = journals.Journal(tmp_path / "run")
    info = journals.experiment(conditions=(), alerts=(), runbooks=(), steps=(), builder=None, sre=None)
    journal.start([info], people=PeopleInfo())
    journal.add(ExperimentStarted, experiment=0)
    for number, name in enumerate(("stop-the-till", "stop-the-till", "cut-the-line")):
        said = {"experiment": 0, "activity": number, "name": name, "kind": "action", "section": "method"}
        journal.add(ActivityStarted, **said)
    journal.end(0, Verdict.HELD)
    directory = journal.close_session(Verdict.HELD)
    report = load_report(directory)
    assert sentences(report)[0] == "We broke: stop-the-till (Chaos Toolkit) and cut-the-line (Chaos Toolkit)."
    assert noticed(report) == "No alert was expected, and none was looked for."
    assert "nobody named" not in render(report, Format.HTML)


def test_what_was_not_run_found_nothing_as_far_as_it_went(tmp_path: Path) -> None:
    said = {
        name: " ".join("".join(page_of(getattr(journals, name)(tmp_path / name).directory)[0].text).split())
        for name in ("undo_failed", "not_started", "rich")
    }
    assert said["undo_failed"].count("Nothing, as far as it went.") == 2  # what broke, what could not be acted on
    assert said["not_started"].count("Nothing was tried.") == 2
    assert "Nothing, as far" not in said["rich"]


@pytest.mark.parametrize("kind", [Format.HTML, Format.MARKDOWN, Format.JUNIT, Format.JSON])
def test_what_was_written_off_is_said_with_who_and_why(kind: Format, tmp_path: Path) -> None:
    report = load_report(journals.written_off(tmp_path / "run").directory)
    assert not report.is_anything_left
    text = render(report, kind)
    for words in ("@ada", "the node is gone", "payments-1"):
        assert words in text.replace("\N{ZERO WIDTH SPACE}", "").replace("\\", "")
    assert "may still be broken" not in text
    assert "gameday recover" not in text


def test_a_late_write_off_does_not_flatten_the_charts(tmp_path: Path) -> None:
    [experiment] = load_report(journals.written_off(tmp_path / "run").directory).experiments
    axis = time_axis(experiment)
    assert axis is not None
    assert axis.end - axis.start < 30
    assert experiment.timeline[-1].at - axis.start > 600


def test_stages_are_named_as_there_is_room() -> None:
    band = Band(0.0, 30.0, "stage", "Stage 2: 2 of 4 instances")
    assert [band.brief(room) for room in (25, 24, 7, 6)] == ["Stage 2: 2 of 4 instances", "Stage 2", "Stage 2", ""]


def test_what_is_left_is_said_with_the_way_to_remove_it(tmp_path: Path) -> None:
    for name in ("undo_failed", "interrupted"):
        page, _ = page_of(getattr(journals, name)(tmp_path / name).directory)
        said = " ".join("".join(page.text).split())
        assert "What may still be broken, and how to remove it by hand" in said
        assert "have the supervisor start payments-1 again" in said
        assert f"gameday recover {name}" in said


@pytest.mark.parametrize("text", journals.HOSTILE, ids=range(len(journals.HOSTILE)))
def test_hostile_text_stays_text(text: str, tmp_path: Path) -> None:
    journal = journals.hostile(tmp_path / "run", text)
    paths = {path.suffix: path for path in write_report(journal.directory, VIEWS, tmp_path / "out")}
    assert {path.parent for path in paths.values()} == {tmp_path / "out"}
    html = paths[".html"].read_text()
    assert_sound(Page(html), html)
    assert "<img" not in html
    assert "<script>alert" not in html
    assert not set("\u202e\u2066\u200f\x00\x07\x1b\x0b") & set(html)
    assert json.loads(paths[".json"].read_text())["title"] == text
    assert_junit(paths[".xml"].read_text())
    source = paths[".md"].read_text()
    assert not re.search(r"<(?!/?bdi)\w", source)
    assert not re.search(r"(?<!\\)!?\[(?! \])", source)
    assert "@everyone" not in source
    assert "://" not in source


def test_markdown_escapes() -> None:
    assert markdown.escape("a|b\n*c* `d` <e>") == r"a\|b \*c\* \`d\` &lt;e&gt;"


def assert_junit(text: str) -> ET.Element:
    """The shape that CI systems read."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in root:
        assert suite.tag == "testsuite"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        assert {"name", "time", "hostname", "id", "package"} <= set(suite.keys())
        # Properties, where there are any, stand first.
        cases = suite[1:] if len(suite) and suite[0].tag == "properties" else suite[:]
        assert all({"name", "value"} == set(one.keys()) for one in suite.findall("properties/property"))
        assert all(case.tag == "testcase" and {"name", "classname", "time"} <= set(case.keys()) for case in cases)
        found = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        for key, count in found.items():
            assert suite.get(key) == str(count)
            totals[key] += count
        for outcome in (*suite.findall("testcase/failure"), *suite.findall("testcase/error")):
            assert {"message", "type"} <= set(outcome.keys())
    assert {key: root.get(key) for key in totals} == {key: str(count) for key, count in totals.items()}
    return root


def test_junit(tmp_path: Path) -> None:
    report = load_report(journals.rich(tmp_path / "run").directory)
    root = assert_junit(render(report, Format.JUNIT))
    held, weak, aborted = root
    assert (held.get("failures"), held.get("errors")) == ("0", "0")
    failed = {case.get("name") for case in weak if case.find("failure") is not None}
    assert failed == {
        "hypothesis: checkout.latency.p99 < 300ms",
        "hypothesis: checkout.errors.ratio < 1%",
        "alert: PaymentsErrorsHigh within 10\N{NO-BREAK SPACE}s",
        "alert: CheckoutErrorsHigh within 10\N{NO-BREAK SPACE}s",
        "finding: There is no runbook checkout-errors",
    }
    (error,) = aborted.findall("testcase/error")
    assert error.get("type") == "aborted"


def test_junit_of_an_undo_that_failed(tmp_path: Path) -> None:
    root = assert_junit(render(load_report(journals.undo_failed(tmp_path / "run").directory), Format.JUNIT))
    assert [error.get("type") for error in root.iter("error")] == ["interrupted", "undo"]


def test_json(tmp_path: Path) -> None:
    document = json.loads(render(load_report(journals.rich(tmp_path / "run").directory), Format.JSON))
    assert (document["schema"], document["verdict"], document["exit_code"]) == (1, "aborted", 4)
    alert = document["experiments"][1]["alerts"][0]
    assert (alert["name"], alert["firing_after_s"], alert["outcome"]) == ("PaymentsErrorsHigh", 12.89, "late")
    assert [fault["undone"] for fault in document["experiments"][1]["faults"]] == [True, True]
    latency = document["experiments"][1]["signals"][0]
    assert latency["windows"]["during"]["unreadable"] == 3
    documented = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")
    for keys in (document, document["experiments"][1], alert, document["experiments"][1]["faults"][0], latency):
        for key in keys:
            assert f"`{key}`" in documented, f"docs/report.md does not say what {key} is"


def test_same_journal_same_report(tmp_path: Path) -> None:
    journal = journals.rich(tmp_path / "run")
    first = {path.name: path.read_bytes() for path in write_report(journal.directory, VIEWS, tmp_path / "a")}
    second = {path.name: path.read_bytes() for path in write_report(journal.directory, VIEWS, tmp_path / "b")}
    assert first == second
    assert set(first) == {"run.html", "run.json", "run.xml", "run.md"}
    assert stat.S_IMODE((tmp_path / "a" / "run.html").stat().st_mode) == 0o644
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(first)


def test_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journals.rich(tmp_path / ".gameday" / "runs" / "20260306-100000-checkout-ab12")
    done = CliRunner().invoke(command, ["ab12", "--format", "html, junit"])
    assert done.exit_code == 0, done.output
    assert [Path(line).name for line in done.stdout.split()] == [
        "20260306-100000-checkout-ab12.html",
        "20260306-100000-checkout-ab12.xml",
    ]
    assert all(Path(line).parent == tmp_path / "reports" for line in done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no run `nothing`"),
        (["--format", "docx"], "found `docx`, expected one or more of html, json, junit, markdown"),
        (["--format", ","], "found `,`"),
    ],
)
def test_verb_refuses(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journals.rich(tmp_path / ".gameday" / "runs" / "run")
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# -- compiled templates


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Python keeps its bytecode, and with it the templates'."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


def render_anew(report: Report) -> str:
    """As another process would."""
    templating.environment.cache_clear()
    return render(report, Format.HTML)


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    compiled: list[str] = []
    real = Environment.compile

    def count(self: Environment, source: str, name: str | None = None, *rest: object, **more: object) -> object:
        compiled.append(str(name))
        return real(self, source, name, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Environment, "compile", count)
    return compiled


def test_templates_are_compiled_once(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = load_report(journals.rich(tmp_path / "run").directory)
    compiled = compilations(monkeypatch)
    first = render_anew(report)
    assert compiled
    compiled.clear()
    assert render_anew(report) == first
    assert compiled == []
    for path in kept.rglob("*.jinja2"):
        path.write_bytes(path.read_bytes()[:-20])
    assert render_anew(report) == first
    assert compiled


def test_templates_are_compiled_where_nothing_can_be_kept(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = load_report(journals.rich(tmp_path / "run").directory)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "file"))
    first = render_anew(report)
    monkeypatch.setattr(sys, "pycache_prefix", str(kept))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert render_anew(report) == first
    assert not list(kept.rglob("*.jinja2"))
