"""The page of all sessions says what the history says, needs nothing but itself, and lets no text be more than text."""

import base64
import hashlib
import itertools
import re
import stat
from pathlib import Path

import msgspec
import pytest

from gameday.coverage.matrix import Result
from gameday.journal.events import FindingKind, Verdict
from gameday.report.index import NAME, render_index, write_index
from gameday.report.past import Sessions, read_sessions
from gameday.report.past_run import AlertPast, ExperimentPast, SessionPast, Weakness
from gameday.report.views import Recovery

from . import journals
from .test_render import Page

RICH = "20260306-100000-checkout-ab12"
DAY = 86400.0


def past(number: int, verdict: Verdict | None = Verdict.HELD, text: str = "", **changes: object) -> SessionPast:
    """A session of one experiment; with a text, it stands wherever texts may."""
    service = text or ("checkout", "payments")[number % 2]
    item = ExperimentPast(
        path=text or f"experiments/{service}.yaml",
        title=text or f"{service} survives",
        service=service,
        started=journals.T0,
        injected_at=journals.T0,
        verdict=verdict,
        faults=(text or f"fault-{number % 3}",),
        alerts=(AlertPast(text or "Down", Result.IN_TIME if verdict is Verdict.HELD else Result.MISSED, 12.0),),
        noticed_s=20.0,
        recovery=Recovery(True, 30.0 + number, 200.0),
        weaknesses=() if verdict is Verdict.HELD else (Weakness("1", FindingKind.ALERT_MISSED, text or "missed"),),
        others=1,
        document="same",
    )
    found = SessionPast(
        f"20260306-{number:06}-s-{number:04x}",
        journals.T0 + number * DAY,
        text or f"Session {number}",
        text or "staging",
        verdict,
        (item,),
    )
    return msgspec.structs.replace(found, **changes)


def page_of(*sessions: SessionPast, there: tuple[str, ...] = (), unread: tuple[str, ...] = ()) -> tuple[Page, str]:
    text = render_index(Sessions(sessions, unread), there)
    page = Page(text)
    assert_sound(page, text)
    return page, text


def assert_sound(page: Page, text: str) -> None:
    """What must be true of any page."""
    assert page.open == []
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    links = page.attributes("href")
    inside = [value for value in links if value.startswith("#")]
    for value in page.attributes("aria-labelledby") + inside:
        for reference in value.split():
            assert reference.removeprefix("#") in ids
    assert all(re.fullmatch(r"[\w.%-]+\.html", value) for value in links if not value.startswith("#"))
    assert not page.attributes("src")
    assert not page.attributes("style")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    tags = [tag for tag, _ in page.elements]
    assert set(tags).isdisjoint({"img", "iframe", "link", "object", "embed", "base", "form"})
    assert (tags.count("script"), tags.count("main"), tags.count("h1")) == (1, 1, 1)
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    regions = [a for _, a in page.elements if a.get("role") in ("region", "group")]
    assert all(region.get("aria-label") for region in regions)
    assert len({region["aria-label"] for region in regions}) == len(regions)
    (policy,) = [a["content"] or "" for t, a in page.elements if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def said(page: Page) -> str:
    return " ".join("".join(page.text).split())


def rows(page: Page) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in page.elements if tag == "tr" and "data-verdict" in attributes]


def test_a_project_without_sessions() -> None:
    page, _ = page_of()
    assert "There are no sessions yet." in said(page)
    assert "Nothing to compare yet" in said(page)


def test_sessions_the_newest_first_with_what_the_filters_ask_for() -> None:
    page, text = page_of(past(0), past(1, Verdict.ABORTED), past(2), past(3, None, is_running=True))
    found = rows(page)
    assert [row["data-verdict"] for row in found] == ["running", "held", "aborted", "held"]
    options = re.findall(r'<select name="(\w+)">(.*?)</select>', text)
    names = {name: dict(re.findall(r'<option value="([^"]+)">([^<]*)</option>', inside)) for name, inside in options}
    assert [names["service"][row["data-service"] or ""] for row in found] == [
        "payments", "checkout", "payments", "checkout"
    ]  # fmt: skip
    assert [names["fault"][row["data-fault"] or ""] for row in found] == ["fault-0", "fault-2", "fault-1", "fault-0"]
    assert names["verdict"] == {"running": "running", "held": "held", "aborted": "aborted"}
    (filters,) = [a for _, a in page.elements if a.get("class") == "filters"]
    assert "hidden" in filters, "without JavaScript there is nothing to filter with, and all is shown"
    assert not [row for row in found if "hidden" in row]
    for phrase in ("Session 3", "6 March 2026, 10:00", "12\N{NO-BREAK SPACE}s", "1 remark", "Running"):
        assert phrase in "".join(page.text), phrase


def test_it_leads_to_reports_that_are_there_alone() -> None:
    strange = past(0, run='20260306-"><b>-0001')
    page, _ = page_of(strange, past(1), past(2), there=(f"{past(1).run}.html", f"{strange.run}.html"))
    links = [value for value in page.attributes("href") if not value.startswith("#")]
    assert links == [f"{past(1).run}.html", "20260306-%22%3E%3Cb%3E-0001.html"]


@pytest.mark.parametrize(
    ("started", "span"),
    [
        ((0.0,), "6 March 2026"),
        ((0.0, 60.0), "6 March 2026"),
        ((0.0, DAY), "6 March 2026 to 7 March 2026"),
    ],
)
def test_a_day_is_said_once(started: tuple[float, ...], span: str) -> None:
    days = [past(number, started=journals.T0 + offset) for number, offset in enumerate(started)]
    page, _ = page_of(*days)
    assert f"Game days {span}" in said(page)
    assert (" to 6 March" in said(page)) is False


def test_regressions_come_first() -> None:
    weak = past(2, Verdict.WEAKNESS)
    page, text = page_of(past(0), weak, past(4, Verdict.WEAKNESS), there=(f"{weak.run}.html",))
    assert "2 regressions" in said(page)
    assert text.index("2 regressions") < text.index("Services over time")
    assert "“checkout survives” on staging held, and does not any more" in said(page)
    assert "Down fired in time for “checkout survives” on staging, and now is missed" in said(page)
    assert f'First not: <a href="{weak.run}.html">8 March 2026</a>' in text
    assert "Newest: 10 March 2026" in said(page)
    assert "written otherwise" not in said(page)
    good, _ = page_of(past(0), past(2))
    assert "No regressions" in said(good)


def test_charts_say_how_runs_ended_by_shape_and_word() -> None:
    ends = (Verdict.HELD, Verdict.WEAKNESS, Verdict.ABORTED, Verdict.NOT_STARTED)
    page, text = page_of(*(past(2 * number, verdict) for number, verdict in enumerate(ends)))
    strip = text[text.index('class="canvas"') : text.index('class="floor"')]
    assert re.findall(r'href="#i-(\w+)"', strip) == ["good", "warn", "bad", "plain"]
    assert re.findall(r"<title>2026-[^<]*: ([^<]*)</title>", strip) == ["held", "weakness", "aborted", "not started"]
    assert "not started" in said(page)
    for name in ("Time to detect", "Time to recover", "Findings open"):
        assert re.search(rf'<text class="panel-name"[^>]*>{name}</text>', text)
    assert text.count('class="never"') == 2  # the weakness's alert, and the legend
    assert len(re.findall(r'<circle class="point"[^>]*><title>', text)) == 3  # one detection, two recoveries


@pytest.mark.parametrize("text", journals.HOSTILE, ids=range(len(journals.HOSTILE)))
def test_hostile_text_stays_text(text: str, tmp_path: Path) -> None:
    sessions = [past(number, verdict, text) for number, verdict in enumerate((Verdict.HELD, Verdict.WEAKNESS))]
    page, source = page_of(*sessions, unread=(text,))
    assert "2 regressions" in said(page)
    journals.hostile(tmp_path / ".gameday" / "runs" / RICH, text)
    journals.rich(tmp_path / ".gameday" / "runs" / f"{RICH}0")
    written = write_index(read_sessions(tmp_path), tmp_path / "reports").read_text()
    assert_sound(Page(written), written)
    for html in (source, written):
        assert "<img" not in html
        assert "<script>alert" not in html
        assert not set("\u202e\u2066\u200f\x00\x07\x1b\x0b") & set(html)


def test_it_stays_small(tmp_path: Path) -> None:
    verdicts = (Verdict.HELD, Verdict.WEAKNESS, Verdict.ABORTED)
    for text in ("", '"' * 300, "<\u202e&" * 100):
        sessions = [past(number, verdicts[number % 3], f"{number} {text}" if text else "") for number in range(1000)]
        page, source = page_of(*sessions)
        assert len(source.encode()) <= 1_000_000
        shown = len(rows(page))
        assert shown >= 50
        assert f"{1000 - shown} sessions by month" in said(page)
        months = re.findall(r'<tr><th scope="row">\w+ \d{4}</th><td>(\d+)</td>', source)
        assert sum(map(int, months)) == 1000 - shown


def test_it_is_written_where_reports_lie(tmp_path: Path) -> None:
    journals.rich(tmp_path / ".gameday" / "runs" / RICH)
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / f"{RICH}.html").write_text("a report")
    path = write_index(read_sessions(tmp_path), reports)
    assert path == reports / NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    first = path.read_bytes()
    assert f'href="{RICH}.html"'.encode() in first
    page = Page(first.decode())
    for phrase in ("Checkout game day", "Checkout refuses politely", "3.0\N{NO-BREAK SPACE}s to 12.9", "Aborted"):
        assert phrase in "".join(page.text), phrase
    assert write_index(read_sessions(tmp_path), reports).read_bytes() == first
    assert sorted(found.name for found in reports.iterdir()) == sorted([NAME, f"{RICH}.html"])
