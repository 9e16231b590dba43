"""Every number of the report is computed once more from the lines of the journal, by code that shares none with it."""

import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache, reduce
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gameday.journal.events import AlertInfo, AlertState, SinkFailed, Verdict
from gameday.report.model import load_report
from gameday.report.render import Format, render

from . import journals
from .numbers import charts, document, expected, page, text
from .numbers.lines import Raw, asked_as, iso
from .numbers.reading import Quantity, differences, numbers, tree, whole_seconds

LAB = Path(__file__).parent / "fixtures" / "lab.jsonl"
FIXTURES = Path(__file__).parents[1] / "journal" / "fixtures"
MADE = ("rich", "partnership", "undo_failed", "written_off", "not_started", "interrupted")
KEPT = ("lab.jsonl", *sorted(path.name for path in FIXTURES.iterdir()))


def long(directory: Path) -> journals.Journal:
    """Forty minutes, so that what is drawn is a choice of the readings; one cannot be read for a while."""
    journal = journals.Journal(directory)
    journal.start([journals.experiment()], kind="experiment")
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    journal.samples(
        0, 1300, latency=lambda t: 0.4 if t in (411, 800) else 0.02, cpu=lambda t: None if 500 < t < 530 else 0.4
    )
    journal.now += 40  # nothing was sampled
    journal.samples(0, 1100, traffic=lambda t: 3.0 if t == 977 else 52.0)
    journal.end_stage(0, 0, {journals.LATENCY: 0.41})
    journal.undo(0, 1)
    journal.recover(0, None)
    journal.end(0, Verdict.WEAKNESS)
    journal.close_session(Verdict.WEAKNESS)
    return journal


def twice(directory: Path) -> journals.Journal:
    """What comes once elsewhere comes twice: alerts and their instances, judgements at the end, undos, sinks."""
    journal = journals.Journal(directory)
    alerts = (*journals.BROKEN_ALERTS, AlertInfo(name="Quiet", within_s=90.0))
    journal.start([journals.experiment(alerts=alerts)], kind="experiment")
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    journal.samples(0, 4, errors=0.04)
    for name, wait in (("CheckoutErrorsHigh", 2.0), ("PaymentsErrorsHigh", 5.5)):
        for instance in ("a", "b"):
            labels = {"instance": instance}
            journal.now += wait
            journal.alert(0, name, AlertState.FIRING, labels=labels)
            journal.alert(0, name, AlertState.NOTIFIED, "receiver", labels=labels)
    journal.add(SinkFailed, sink="slack", detail="no answer")
    journal.end_stage(0, 0, {journals.LATENCY: 0.31, journals.ERRORS: 0.04})
    journal.inject(0, 1, ["payments-1", "payments-2"])
    journal.samples(0, 2)
    journal.end_stage(0, 1, {journals.LATENCY: 0.28, journals.ERRORS: 0.05})
    journal.undo(0, 2, undone=False)
    journal.samples(0, 2, latency=0.9)
    journal.undo(0, 2)
    journal.judge(0, "after", {journals.LATENCY: 0.33})
    journal.recover(0, 75.0)
    for instance, name in (("a", "CheckoutErrorsHigh"), ("a", "PaymentsErrorsHigh"), ("b", "PaymentsErrorsHigh")):
        journal.now += 1.0
        journal.alert(0, name, AlertState.RESOLVED, labels={"instance": instance})
    journal.add(SinkFailed, sink="slack", detail="no answer")
    journal.end(0, Verdict.WEAKNESS)
    journal.close_session(Verdict.WEAKNESS)
    return journal


def damaged(directory: Path) -> journals.Journal:
    """Lines that are torn, or that only a later gameday knows."""
    journal = journals.rich(directory)
    lines = (directory / "journal.jsonl").read_text().splitlines()
    lines[9:9] = ['{"event":"signals-sam', '{"event":"of-a-later-gameday","at":1772791211.0}']
    (directory / "journal.jsonl").write_text("\n".join([*lines, '{"event":"note']))
    return journal


def alike(directory: Path) -> journals.Journal:
    """Three experiments that break in the same way, and one that is not run."""
    journal = journals.Journal(directory)
    alerts = {"alerts": journals.BROKEN_ALERTS, "runbooks": journals.BROKEN_RUNBOOKS}
    journal.start([journals.experiment(f"Part {number}", path=f"{number}.yaml", **alerts) for number in range(4)])
    for index in range(3):
        journals.broken(journal, index)
    journal.close_session(Verdict.WEAKNESS)
    return journal


SESSIONS: dict[str, Callable[[Path], journals.Journal]] = {name: getattr(journals, name) for name in MADE}
SESSIONS |= {"long": long, "twice": twice, "alike": alike, "damaged": damaged}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Raw]]:
    """The directory of a session by its name, and the lines of its journal."""

    @cache
    def make(name: str) -> tuple[Path, Raw]:
        directory = tmp_path_factory.mktemp("session") / "run"
        if name in SESSIONS:
            SESSIONS[name](directory)
        else:
            directory.mkdir()
            shutil.copy(LAB if name == LAB.name else FIXTURES / name, directory / "journal.jsonl")
        return directory, Raw(directory)

    return make


type Session = Callable[[str], tuple[Path, Raw]]

each = pytest.mark.parametrize("name", [*SESSIONS, *KEPT])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, moment and length of a document, by its path."""
    match value:
        case dict():
            for key, one in value.items():
                yield from leaves(one, f"{path}.{key}")
        case list() | tuple():
            yield f"{path}.length", len(value)
            for index, one in enumerate(value):
                yield from leaves(one, f"{path}[{index}]")
        case bool() | None:
            return
        case int() | float():
            yield path, value
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
            yield path, value


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every other text with a digit in it."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from texts(one, f"{path}.{key}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from texts(one, f"{path}[{index}]")
    elif isinstance(value, str) and re.search(r"\d", value) and not list(leaves(value)):
        yield path, value


def sha256(directory: Path) -> str:
    return hashlib.sha256((directory / "journal.jsonl").read_bytes()).hexdigest()


def foreign(raw: Raw) -> list[str]:
    """What stands in the journal as somebody has written it, and has digits in it; a bare number is not among it."""
    signals = {signal for one in raw.experiments for signal in one.samples()}
    words = {raw.session["session"] if raw.session else "run"}
    for written in map(" ".join, map(str.split, raw.strings())):
        spoken = reduce(lambda word, signal: word.replace(signal, asked_as(signal)), signals, written)
        words |= {written, spoken}  # the reason of an abort names signals as people say them
    for one in raw.experiments:
        words |= {part for signal in one.samples() for part in signal.split(".")}
        words |= {part for condition in one.info.get("conditions", []) for part in condition["signal"].split(".")}
    ids = {one.action(finding) or "-" for one in raw.experiments for finding in one.findings()}
    written = {word for word in words if re.search(r"\d", word) and re.search(r"[A-Za-z<>/:]|-.*-", word)}
    return sorted(written | ids, key=len, reverse=True)


@each
def test_json(name: str, session: Session) -> None:
    directory, raw = session(name)
    report = json.loads(render(load_report(directory), Format.JSON))
    ours = dict(leaves(document.document(raw, sha256(directory))))
    theirs = dict(leaves(report))
    assert theirs == {path: ours.get(path, "nothing accounts for it") for path in theirs}
    assert set(ours) == set(theirs), "what the journal has, and the report has not"


@each
def test_texts_of_the_json(name: str, session: Session) -> None:
    """What the report says itself names the numbers that it should; all else is as somebody wrote it."""
    directory, raw = session(name)
    report = json.loads(render(load_report(directory), Format.JSON))
    known, said = foreign(raw), expected.sentences(raw)
    for sentence, figures in said.items():
        assert not differences(numbers(report.pop(sentence), known), figures), sentence
    for shown, one in zip(report["experiments"], raw.experiments, strict=True):
        for question in shown["predictions"]["questions"]:
            asked = [q for q in one.questions() if q["asks"] in question["question"]]
            ours = max(asked, key=lambda q: len(q["asks"]))
            fired = [] if ours["fired"] is None else [whole_seconds(ours["fired"])]
            assert not differences(numbers(question.pop("observed"), known), fired)
            for word, within in zip(question["said"], ours["within"], strict=True):
                assert not differences(
                    numbers(word.pop("text"), known), [] if within is None else [Quantity(within, "s", 1e-9)]
                )
    for shown, (_, needs) in zip(report["handover"], document.handover(raw), strict=True):
        for line, facts in zip(shown["lines"], needs.values(), strict=True):
            for evidence, fact in zip(line["evidence"], facts, strict=True):
                assert not differences(numbers(evidence.pop("text"), known), expected.facts_of(fact))
                assert (evidence["experiment"], evidence["speaks_for"]) == fact[:2]
    for shown, figures in zip(report["regressions"], expected.regressions(raw), strict=True):
        assert not differences(numbers(shown.pop("text"), known), figures)
    assert {path: word for path, word in texts(report) if numbers(word, known) and word not in {*raw.strings()}} == {}


@each
def test_page(name: str, session: Session) -> None:
    directory, raw = session(name)
    root = tree(render(load_report(directory), Format.HTML))
    shown = page.Page(root, foreign(raw))
    page.check(shown, raw)
    for one in raw.experiments:
        for group in root.one("article", id=f"experiment-{one.index}").all("section", class_="charts"):
            charts.check(shown, group, one)
    assert shown.wrong == []
    assert list(shown.unclaimed()) == []


@each
def test_markdown(name: str, session: Session) -> None:
    directory, raw = session(name)
    written = render(load_report(directory), Format.MARKDOWN).replace("\\", "").replace("\N{ZERO WIDTH SPACE}", "")
    shown = numbers(html.unescape(written.replace("**", "")), foreign(raw))
    assert differences(shown, list(text.markdown(raw))) == []


@each
def test_junit(name: str, session: Session) -> None:
    directory, raw = session(name)
    root, known = ET.fromstring(render(load_report(directory), Format.JUNIT)), foreign(raw)
    start, end = raw.session["at"] if raw.session else raw.lines[0]["at"], max(line["at"] for line in raw.lines)
    assert root.get("time") == f"{end - start:.3f}"
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite, one in zip(root, raw.experiments, strict=True):
        cases = list(text.cases(one))
        counts = {"tests": len(cases)} | {
            f"{result}s".removesuffix("ds") + "d" * (result == "skipped"): sum(case.result == result for case in cases)
            for result in ("failure", "error", "skipped")
        }
        began = start if one.start is None else one.start
        lasted = 0.0 if one.start is None else (one.ended["at"] if one.ended else end) - began
        assert {key: suite.get(key) for key in counts} == {key: str(count) for key, count in counts.items()}
        assert (suite.get("id"), suite.get("time")) == (str(one.index), f"{lasted:.3f}")
        assert suite.get("timestamp") == (iso(began) or "")[:19]
        for shown, case in zip(suite.iter("testcase"), cases, strict=True):
            assert [child.tag for child in shown] == [case.result] * bool(case.result)
            assert shown.get("time") == f"{max(0.0, case.seconds):.3f}"
            assert differences(numbers(shown.get("name", ""), known), case.name) == []
            for outcome in shown:
                assert differences(numbers(outcome.get("message", ""), known), case.message) == []
                assert (outcome.text or outcome.get("message")) == outcome.get("message")
        for key, count in counts.items():
            totals[key] += count
    assert {key: root.get(key) for key in totals} == {key: str(count) for key, count in totals.items()}


def test_what_the_run_measured_follows_from_its_samples() -> None:
    """Of a session on the lab: what its journal says of a stretch of time is what was sampled in it."""
    raw = Raw(LAB)
    judged = 0
    for one in raw.experiments:
        samples = one.samples()
        values = {
            signal: [(at, value) for at, _, _, value, _ in mine if value is not None]
            for signal, mine in samples.items()
        }
        (recorded,) = one.of("baseline-recorded")
        for signal, baseline in recorded["values"].items():
            assert baseline == median(value for at, value in values[signal] if at <= recorded["at"])
        starts = {plan["stage"]: one.about(plan, "fault-injected")[0]["at"] for plan in one.plans}
        undone = max(at for plan in one.plans if (at := one.undone_at(plan)) is not None)
        (recovery,) = one.of("recovery-measured")
        back = undone + recovery["seconds"]
        assert any(abs(at - back) < 0.01 for mine in values.values() for at, _ in mine), (
            "it was back as a sample was taken"
        )
        conditions = {(row["subject"], row["condition"]): row for row in one.conditions()}
        for line in one.of("hypothesis-judged"):
            since = {"before": one.start, "after": back - 0.01}.get(line["when"], starts.get(line.get("stage")))
            for judgement in line["judgements"]:
                seen = [value for at, value in values[judgement["subject"]] if since <= at <= line["at"]]
                row = conditions[judgement["subject"], judgement["condition"]]
                if row["condition"].startswith("change "):
                    baseline = recorded["values"][judgement["subject"]]
                    seen = [abs(value - baseline) / baseline for value in seen]
                assert judgement["worst"] == pytest.approx(max(seen), rel=1e-9)
                assert judgement["samples"] == len(seen)
                judged += 1
    assert judged > 30
