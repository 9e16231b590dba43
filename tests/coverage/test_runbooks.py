"""Runbooks that an experiment relies on: found, whole, reviewed; by name or at a URL."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from gameday.coverage import describe_runbooks, examine_runbook_urls, judge_runbooks, judge_steps
from gameday.engine.preflight import check_runbooks
from gameday.journal.events import CheckOutcome, FindingKind, RunbookInfo, RunbookStep, RunbookStepInfo, StepOutcome
from gameday.spec.experiment import load_experiment
from gameday.spec.location import Location, SpecError
from gameday.spec.model import ExpectedAlert, Experiment, Hypothesis, Project, Runbook, Service, Timing
from gameday.spec.project import load_project
from tests.coverage.test_lint import GOOD
from tests.loopback import Request, answer, serve

TODAY = date(2026, 6, 30)
HERE = Location(Path("/shop/experiments/x.yaml"))


def experiment(service: str | None, *runbooks: str | None) -> Experiment:
    alerts = tuple(ExpectedAlert(f"A{n}", 60, None, runbook, HERE) for n, runbook in enumerate(runbooks))
    return Experiment(
        HERE.path, "x", "", service, Hypothesis("x"), (), (), alerts, None, (), Timing(), plain=False, location=HERE
    )


def project(*runbooks: Runbook) -> Project:
    services = (Service("payments", "team-a", ("payments-down", "payments-slow")),)
    return Project(Path("/shop/gameday.yaml"), "shop", (), services, "", runbooks)


def runbook(name: str, reviewed: date | None = TODAY, missing: tuple[str, ...] = ()) -> Runbook:
    path = Path(f"/shop/runbooks/{name}.md")
    return Runbook(path, name, name.title(), owner="sre", reviewed=reviewed, missing_sections=missing)


def test_the_alerts_runbooks_and_then_the_services_each_once() -> None:
    infos = describe_runbooks(project(), experiment("payments", "extra", None, "payments-down"), TODAY)
    assert [info.name for info in infos] == ["extra", "payments-down", "payments-slow"]
    assert not any(info.found for info in infos)


def test_without_a_service() -> None:
    assert describe_runbooks(project(), experiment(None), TODAY) == ()
    assert describe_runbooks(project(), experiment("unknown"), TODAY) == ()


def test_what_is_said_of_a_runbook() -> None:
    [info] = describe_runbooks(project(runbook("r", missing=("Rollback",))), experiment(None, "r"), TODAY)
    assert info == RunbookInfo(
        name="r",
        found=True,
        path="runbooks/r.md",
        title="R",
        owner="sre",
        reviewed="2026-06-30",
        missing_sections=("Rollback",),
    )


def test_stale_from_the_181st_day() -> None:
    def is_stale(reviewed: date | None) -> bool:
        [info] = describe_runbooks(project(runbook("r", reviewed)), experiment(None, "r"), TODAY)
        return info.stale

    assert not is_stale(date(2026, 1, 1))  # 180 days
    assert is_stale(date(2025, 12, 31))
    assert not is_stale(None)


def test_findings() -> None:
    whole = RunbookInfo(name="whole", found=True, reviewed="2026-06-01", owner="sre")
    infos = [
        whole,
        RunbookInfo(name="none", found=False),
        RunbookInfo(name="torn", found=True, reviewed="2026-06-01", missing_sections=("Impact", "Rollback")),
        RunbookInfo(name="old", found=True, reviewed="2025-01-01", stale=True, owner="sre"),
        RunbookInfo(name="never", found=True),
    ]
    findings = judge_runbooks(infos, "team-a")
    assert [(f.kind, f.title, f.detail, f.weakness, f.suggested_owner) for f in findings] == [
        (FindingKind.RUNBOOK_MISSING, "There is no runbook none", "expected runbooks/none.md", True, "team-a"),
        (
            FindingKind.RUNBOOK_INCOMPLETE,
            "The runbook torn is incomplete",
            "it lacks Impact, Rollback",
            True,
            "team-a",
        ),
        (
            FindingKind.RUNBOOK_INCOMPLETE,
            "The runbook old has not been reviewed for 180 days",
            "last reviewed 2025-01-01",
            False,
            "sre",
        ),
        (
            FindingKind.RUNBOOK_INCOMPLETE,
            "The runbook never has not been reviewed for 180 days",
            "it says no date of review",
            False,
            "team-a",
        ),
    ]
    assert judge_runbooks([whole]) == ()


def test_what_followers_found_wanting() -> None:
    def step(outcome: StepOutcome, number: int, note: str = "", owner: str | None = None) -> RunbookStep:
        info = RunbookStepInfo(
            runbook="r", outcome=outcome, section="Diagnosis", step=number, text="look", note=note, owner=owner
        )
        return RunbookStep(at=1.0, author="@s", step=info)

    findings = judge_steps(
        [
            step(StepOutcome.DONE, 1),
            step(StepOutcome.STUCK, 2, "no access", "sre"),
            step(StepOutcome.STUCK, 2, "still none", "sre"),
            step(StepOutcome.WRONG, 3),
            step(StepOutcome.MISSING, 0, "say who decides"),
        ],
        "team-a",
    )
    assert [(f.kind, f.title, f.detail, f.weakness, f.suggested_owner) for f in findings] == [
        (
            FindingKind.RUNBOOK_STUCK,
            "The runbook r: somebody was stuck at step 2 of Diagnosis",
            "@s: no access; @s: still none",
            True,
            "sre",
        ),
        (FindingKind.RUNBOOK_WRONG, "The runbook r: wrong: step 3 of Diagnosis", "@s: look", True, "team-a"),
        (
            FindingKind.RUNBOOK_WRONG,
            "The runbook r: a step is missing at Diagnosis",
            "@s: say who decides",
            True,
            "team-a",
        ),
    ]


PAGES = {
    "/good.md": answer(GOOD),
    "/torn.md": answer("# Torn\r\n## Symptoms\r\nx\r\n"),
    "/page": answer("\n<!DOCTYPE html><html><h1>x</h1>"),
    "/image": b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n\xff\xfe",
    "/secret": answer("log in", 401),
    "/nowhere": answer("", 404),
    "/moved": answer("", 302, "Location: /login?token=s3cret\r\n"),
    "/login": answer("<!doctype html>Who are you?"),
    "/short": answer("", 301, "Location: /by-id?page=7&token=s3cret\r\n"),
    "/by-id": answer("", 307, "Location: torn.md\r\n"),
    "/part": answer("", 302, "Location: /torn.md#symptoms\r\n"),
    "/wiki": answer("", 302, "Location: /page?token=s3cret\r\n"),
    "/lost": answer("", 302, "Location: /nowhere\r\n"),
    "/chain": answer("", 302, "Location: /round\r\n"),
    "/round": answer("", 302, "Location: /about\r\n"),
    "/about": answer("", 302, "Location: /round\r\n"),
    "/self": answer("", 302, "Location: /self?\r\n"),
    "/file": answer("", 302, "Location: file:///etc/passwd\r\n"),
    "/bad": answer("", 302, "Location: http://[s3cret\r\n"),
    "/huge": answer("x" * (1024 * 1024 + 1)),
    "/garbage": b"\x00\x01 nonsense\r\n\r\n",
    "/silent": None,
}


def look_at(*paths: str) -> tuple[RunbookInfo, ...]:
    """What is said of the pages at these paths; each is asked for once."""

    def respond(request: Request) -> bytes | None:
        return PAGES[request.path]

    async def run() -> tuple[RunbookInfo, ...]:
        async with serve(respond) as server:
            names = [server.url + path for path in paths]
            infos = await examine_runbook_urls(["by-name", *names, *names], TODAY, timeout_s=3.0)
            assert list(infos) == names
            asked = [
                request for request in server.requests if request.path in {path.partition("#")[0] for path in paths}
            ]
            assert len(asked) == len(names)
            return tuple(infos.values())

    return asyncio.run(run())


def test_a_page_at_a_url_is_examined_like_a_file() -> None:
    good, torn = look_at("/good.md", "/torn.md")
    assert (good.found, good.title, good.owner, good.reviewed) == (
        True,
        "Payments is down",
        "team-payments",
        "2026-06-01",
    )
    assert (good.missing_sections, good.stale, good.detail) == ((), False, "")
    assert (torn.found, torn.missing_sections[0], len(torn.missing_sections)) == (True, "Impact", 5)
    assert [finding.kind for finding in judge_runbooks([good, torn])] == [FindingKind.RUNBOOK_INCOMPLETE] * 2
    assert [(check.outcome, check.detail[:17]) for check in check_runbooks((good, torn), 0)] == [
        (CheckOutcome.OK, "found"),
        (CheckOutcome.WARNING, "lacks Impact, Dia"),
    ]


def test_of_what_is_no_whole_page_of_markdown_nothing_is_concluded() -> None:
    infos = look_at("/page", "/image", "/torn.md#symptoms")
    assert [info.found for info in infos] == [True] * 3
    assert judge_runbooks(infos) == ()
    assert [(check.outcome, check.detail) for check in check_runbooks(infos, 0)] == [
        (CheckOutcome.OK, "found: a page of HTML, whose sections are not looked at"),
        (CheckOutcome.OK, "found: no text in UTF-8, so its sections are not looked at"),
        (CheckOutcome.OK, "found: a part of a page, of which sections are not asked"),
    ]


def test_a_url_that_cannot_be_read_is_not_missing() -> None:
    infos = look_at("/secret", "/nowhere", "/moved", "/huge", "/garbage", "/silent")
    [refused] = asyncio.run(examine_runbook_urls(["http://127.0.0.1:1/x.md"], TODAY)).values()
    infos = (*infos, refused)
    assert [info.found for info in infos] == [None] * 7
    assert judge_runbooks(infos) == ()
    checks = check_runbooks(infos, 0)
    assert {check.outcome for check in checks} == {CheckOutcome.WARNING}
    said = [check.detail for check in checks]
    assert all(detail.startswith("cannot be read: ") for detail in said)
    assert ["HTTP 401" in said[0], "HTTP 404" in said[1], "a login at" in said[2], "larger than" in said[3]] == [
        True
    ] * 4
    assert (said[5], said[6]) == (
        "cannot be read: no answer within 3 s",
        "cannot be read: cannot connect to 127.0.0.1:1: Connection refused",
    )
    assert "s3cret" not in str(infos)


def test_redirects_lead_to_the_page_that_is_meant() -> None:
    """Short links, pages by their number, sites that have moved."""
    short, part, wiki, lost = look_at("/short", "/part", "/wiki", "/lost")
    assert (short.found, short.title, len(short.missing_sections), short.detail) == (True, "Torn", 5, "")
    assert (part.found, part.missing_sections) == (True, ())
    assert (wiki.found, wiki.detail) == (True, "a page of HTML at 127.0.0.1/page, whose sections are not looked at")
    assert (lost.found, lost.detail) == (None, "HTTP 404 at 127.0.0.1/nowhere")
    assert "s3cret" not in str((short, part, wiki, lost))


def test_redirects_that_lead_nowhere_end() -> None:
    infos = look_at("/chain", "/self", "/file", "/bad")
    assert [info.found for info in infos] == [None] * 4
    assert [info.detail for info in infos] == [
        "redirects more than 5 times",
        "HTTP 302, redirected to 127.0.0.1/self: expected another http(s) page",
        "HTTP 302, redirected to file/etc/passwd: expected another http(s) page",
        "HTTP 302, redirected to what is no address",
    ]


def test_a_redirect_to_another_host_takes_no_credentials_along_and_no_more_time() -> None:
    async def run() -> None:
        def last(request: Request) -> bytes | None:
            return None if request.path == "/silent" else answer(GOOD)

        async with serve(last) as there:

            def first(request: Request) -> bytes:
                to = there.url.replace("//127.0.0.1", "//me:s3cret@localhost") + request.path
                return answer("", 302, f"Location: {to}\r\nSet-Cookie: a=s3cret\r\n")

            async with serve(first) as here:
                names = [f"{here.url}/good.md", f"{here.url}/silent"]
                good, silent = (await examine_runbook_urls(names, TODAY, timeout_s=2.0)).values()
            assert (good.found, good.title) == (True, "Payments is down")
            assert (silent.found, silent.detail) == (None, "no answer within 2 s")
            assert [request.headers["host"].partition(":")[0] for request in there.requests] == ["localhost"] * 2
            for request in there.requests:
                assert not {"authorization", "cookie", "referer"} & request.headers.keys()

    asyncio.run(run())


def test_one_that_was_not_asked_for_is_not_missing() -> None:
    [info] = describe_runbooks(project(), experiment(None, "https://wiki.example.com/a"), TODAY)
    assert info == RunbookInfo(name="https://wiki.example.com/a", found=None)
    [check] = check_runbooks([info], 0)
    assert (check.outcome, check.detail) == (CheckOutcome.WARNING, "has not been looked at")


EXPERIMENT = "title: x\nmethod: []\nexpect: {{alerts: [{{name: A, within: 1s, runbook: '{}'}}]}}\n"


def test_which_urls_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "gameday.yaml"
    file.write_text("services: {shop: {runbooks: ['https://wiki.example.com/a?page=1#b']}}\n")
    project = load_project(tmp_path)
    assert project.services[0].runbooks == ("https://wiki.example.com/a?page=1#b",)
    path = tmp_path / "x.yaml"
    path.write_text(EXPERIMENT.format("HTTPS://wiki.example.com:8443/a"))
    assert load_experiment(path, project).alerts[0].runbook == "HTTPS://wiki.example.com:8443/a"
    for wrong, shown in [
        ("https://me:s3cret@wiki.example.com/a", "`https://…@wiki.example.com/a`"),
        ("https://wiki:x/a", "`https://wiki:x/a`"),
        ("https:///a", "`https:///a`"),
        ("ftp://wiki.example.com/a", "`ftp://wiki.example.com/a`"),
    ]:
        path.write_text(EXPERIMENT.format(wrong))
        with pytest.raises(SpecError) as error:
            load_experiment(path, project)
        [mistake] = error.value.mistakes
        assert mistake.found == f"the runbook {shown}"
        assert "s3cret" not in str(error.value)
