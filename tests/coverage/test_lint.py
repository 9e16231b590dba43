"""The linter of runbooks: each rule where it should speak, and silent where it must not."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.cli.source import local_runbook
from gameday.coverage.lint import SEVERITIES, Remark, Rule, Severity, Surroundings, anchors_led_to, lint, read_owners
from gameday.coverage.lint.links import web_links
from gameday.coverage.lint.sections import is_runbook
from gameday.coverage.lint.web import check_web
from gameday.coverage.rule_files import load_rules
from gameday.spec.location import SpecError
from gameday.spec.runbook_page import read_page

TODAY = date(2026, 6, 30)
GOOD = """\
---
title: Payments is down
alerts: [PaymentsDown]
owner: team-payments
reviewed: 2026-06-01
---
## Symptoms
`PaymentsDown` fires.
## Impact
Nobody can pay.
## Diagnosis
1. Which are up? See [the other](other.md#symptoms).

   ```sh check
   echo up
   ```
## Mitigation
1. Restart it.
## Rollback
1. Go back.
## Escalation
The lead.
"""
RULES = """\
groups:
- name: g
  rules:
  - {alert: PaymentsDown, expr: up, annotations: {runbook_url: "https://r.example.org/runbooks/payments-down"}}
  - {alert: PaymentsSlow, expr: up, annotations: {runbook_url: "https://r.example.org/runbooks/payments-down.md"}}
  - {alert: OtherDown, expr: up, annotations: {runbook_url: "https://r.example.org/other#nowhere"}}
  - {alert: Elsewhere, expr: up, annotations: {runbook_url: "https://r.example.org/{{ $labels.x }}"}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "other.md").write_text(GOOD.replace("[PaymentsDown]", "[OtherDown]"))
    return tmp_path


def lint_text(root: Path, text: str, *, rules: bool = False, commands: bool = False) -> list[str]:
    """What is said of the text as runbooks/payments-down.md, without the path."""
    path = root / "runbooks" / "payments-down.md"
    path.write_text(text)
    known = load_rules([root])[0] if rules else None
    around = Surroundings(root, TODAY, known, False, read_owners(root), commands)
    return [shown(item, path) for item in lint([read_page(path)], around)]


def shown(item: Remark, path: Path) -> str:
    where = str(item.mistake).removeprefix(f"{path}:")
    return f"{item.severity}: {where} [{item.rule}]"


def test_a_good_one_says_nothing(repository: Path) -> None:
    assert lint_text(repository, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "## Rollback\n1. Go back.\n",
            "",
            "error: 1:1: found no section Rollback, expected each of Symptoms, Impact, Diagnosis, Mitigation, "
            "Rollback, Escalation, or what they are called elsewhere [section-missing]",
        ),
        (
            "Nobody can pay.\n",
            "",
            "error: 9:1: found the section `Impact` with nothing in it, expected something to read or to do "
            "[section-empty]",
        ),
        (
            "Nobody can pay.",
            "**TBD**",
            "error: 9:1: found the section `Impact` that says `TBD` alone, expected something to read or to do "
            "[section-empty]",
        ),
        (
            "1. Restart it.",
            "TODO:",
            "error: 17:1: found the section `Mitigation` that says `TODO:` alone, expected something to read or to do "
            "[section-empty]",
        ),
        (
            "1. Restart it.",
            "Restart it. Then wait.",
            "warning: 17:1: found the section `Mitigation` without a step, expected list items, one for each step "
            "[step-missing]",
        ),
        ("1. Go back.", "1. TODO", "error: 20:1: found the step `TODO`, expected what to do [step-empty]"),
        ("1. Go back.", "1. x\n2.\n", "error: 21:1: found a step with nothing in it, expected what to do [step-empty]"),
        (
            "1. Go back.",
            "- x\n\nStep 2: and then",
            "warning: 22:1: found the paragraph `Step 2: and then`, expected a list item (`1. ` or `- `) for a step "
            "[step-not-listed]",
        ),
        (
            "other.md#",
            "othr.md#",
            "error: 12:34: found a link to `othr.md`, expected a file that is there; did you mean `other.md`? "
            "[link-dead]",
        ),
        (
            "#symptoms",
            "#symtoms",
            "error: 12:34: found a link to the anchor `#symtoms`, expected one that a heading there has; "
            "did you mean `#symptoms`? [anchor-dead]",
        ),
        (
            "2026-06-01",
            "2025-06-01",
            "warning: 5:11: found a review 394 days ago, expected one within the last 180 days [review-old]",
        ),
        (
            "2026-06-01",
            "2026-07-01",
            "warning: 5:11: found a review on 2026-07-01, expected a date that has come [review-old]",
        ),
        (
            "reviewed: 2026-06-01\n",
            "",
            "warning: 1:1: found no date of a review, expected `reviewed`: one within the last 180 days [review-old]",
        ),
        (
            "echo up",
            "no-such-program-here up",
            "warning: 15:1: found the program `no-such-program-here`, which is not here, expected one on PATH "
            "[program-missing]",
        ),
        (
            "sh check",
            "python check",
            "error: 14:1: found a check in `python check`, expected one in sh or bash [check-syntax]",
        ),
        (
            "owner:",
            "ownr:",
            "error: 4:1: found the key `ownr`, expected a key of a runbook's front matter; did you mean `owner`? "
            "[front-matter]",
        ),
        (
            "title:",
            "gameday-ignore: [link-ded]\ntitle:",
            "warning: 2:18: found the rule `link-ded`, expected one of the linter's; did you mean `link-dead`? "
            "[ignore-unknown]",
        ),
    ],
)
def test_what_is_said(repository: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert lint_text(repository, GOOD.replace(old, new, 1)) == [message]


def test_a_single_sentence_is_a_step_and_an_image_says_something(repository: Path) -> None:
    assert lint_text(repository, GOOD.replace("1. Restart it.", "Restart it, e.g. by hand")) == []
    assert lint_text(repository, GOOD.replace("Nobody can pay.", "![](other.md)")) == []
    assert lint_text(repository, GOOD.replace("1. Restart it.", "1. ![a map](other.md)")) == []
    assert (
        lint_text(repository, GOOD.replace("1. Restart it.", "Restart it.\n\nIf that fails, see *Escalation*.")) == []
    )
    assert lint_text(repository, GOOD.replace("Nobody can pay.", "None.")) == []
    [message] = lint_text(repository, GOOD.replace("1. Restart it.", "N/A"))
    assert message.endswith("[step-missing]")


def test_a_check_that_does_not_parse(repository: Path) -> None:
    (message,) = lint_text(
        repository, GOOD.replace("echo up", "echo up\n   if true; then").replace("sh check", "bash check")
    )
    assert message.startswith("error: 17:1: found a check that does not parse (")
    assert "found a check that does not parse (" in message
    assert message.endswith("[check-syntax]")


def test_a_check_is_read_and_not_run(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "env").write_text(f"touch {repository}/ran\n")
    monkeypatch.setenv("BASH_ENV", str(repository / "env"))
    lint_text(repository, GOOD.replace("echo up", f"touch {repository}/ran").replace("sh check", "bash check"))
    assert not (repository / "ran").exists()


def test_a_rule_is_turned_off_by_the_page(repository: Path) -> None:
    text = GOOD.replace("title:", "gameday-ignore: [section-missing]\ntitle:").replace("## Rollback\n1. Go back.\n", "")
    assert lint_text(repository, text) == []


def test_alerts_both_ways(repository: Path) -> None:
    (repository / "rules.yaml").write_text(RULES)
    path = repository / "runbooks" / "payments-down.md"
    assert lint_text(repository, GOOD.replace("[PaymentsDown]", "[PaymentsDown, PaymentsDwn]"), rules=True) == [
        "error: 3:1: found no alert `PaymentsSlow`, whose rule leads here (rules.yaml:5), "
        "expected `PaymentsSlow` among `alerts` [alert-unlisted]",
        "error: 3:24: found the alert `PaymentsDwn`, expected one that a rule here has; did you mean `PaymentsDown`? "
        "[alert-unknown]",
    ]
    rules, _ = load_rules([repository])
    other = read_page(repository / "runbooks" / "other.md")
    (item,) = lint(
        [other, read_page(path)], Surroundings(repository, TODAY, rules), ignored=["alert-unlisted", "alert-unknown"]
    )
    assert str(item.mistake) == (
        f"{repository}/rules.yaml:6:6: found the rule `OtherDown` leading to the anchor `#nowhere` of other.md, "
        "expected one that a heading there has"
    )


def test_a_page_without_alerts_in_its_front_matter_answers_to_its_name(repository: Path) -> None:
    (repository / "rules.yaml").write_text(RULES)
    text = GOOD.replace("alerts: [PaymentsDown]\n", "")
    said = lint_text(repository, text, rules=True)
    assert not [line for line in said if "PaymentsDown" in line]
    assert [line for line in said if "alert-unlisted" in line] == [
        "warning: 1:1: found no alert `PaymentsSlow`, whose rule leads here (rules.yaml:5), "
        "expected `PaymentsSlow` among `alerts` [alert-unlisted]"
    ]
    url = "annotations: {runbook_url: 'https://x.example/runbooks/payments-down.md'}"
    rules = "".join(f"  - {{alert: Payments{n}, expr: up, {url}}}\n" for n in "ABCDE")
    (repository / "rules.yaml").write_text(f"groups:\n- name: x\n  rules:\n{rules}")
    assert [line for line in lint_text(repository, text, rules=True) if "alert-unlisted" in line] == [
        "warning: 1:1: found no alerts `PaymentsA`, `PaymentsB`, `PaymentsC` and 2 more, whose rules lead here "
        "(rules.yaml:4, …), expected them among `alerts` [alert-unlisted]"
    ]


def test_the_address_of_a_repository_is_none_of_a_page(repository: Path) -> None:
    path = repository / "runbooks" / "payments-down.md"
    path.write_text(GOOD)
    page = read_page(path)
    for url, leads in [("https://github.com/shop/payments-down", False), ("https://r.example.org/payments-down", True)]:
        (repository / "rules.yaml").write_text(RULES.replace("https://r.example.org/runbooks/payments-down", url))
        rules, _ = load_rules([repository])
        assert (anchors_led_to(page, rules[:1]) is not None) is leads


@pytest.mark.parametrize(
    ("file", "text", "owner", "known"),
    [
        (".github/CODEOWNERS", "* @shop/team-payments # us @nobody\n", "team-payments", True),
        ("CODEOWNERS", "# @shop/team-payments\n* @lead\n", "team-payments", False),
        ("docs/CODEOWNERS", "*.md me@example.org", "me@example.org", True),
        ("CODEOWNERS", "/a @ada @grace", '"@ada, @grace"', True),
        ("catalog-info.yaml", "kind: Component\nspec: {owner: 'group:default/Team-Payments'}\n", "team-payments", True),
        (
            "catalog-info.yaml",
            "---\nkind: Group\nmetadata: {name: a}\n---\nkind: User\nmetadata: {name: b}\n",
            "user:b",
            True,
        ),
        ("catalog-info.yaml", "kind: Component\nmetadata: {name: team-payments}\n", "team-payments", False),
        ("catalog-info.yaml", "{{ not yaml", "team-payments", False),
    ],
)
def test_owners(repository: Path, file: str, text: str, owner: str, known: bool) -> None:
    (repository / file).parent.mkdir(exist_ok=True)
    (repository / file).write_text(text)
    said = lint_text(repository, GOOD.replace("team-payments", owner, 1))
    assert [line.rpartition("[")[2] for line in said] == ([] if known else ["owner-unknown]"])


@pytest.mark.parametrize(
    "link",
    [
        "[a](#impact)", "[a](other.md)", "[a](.)", "[a](../runbooks/)", "[a](/runbooks/other.md)", "[a](mailto:a@b)",
        "[a]({{< ref other >}})", "[a](https://x/$%7Bhost%7D)", "[a](../../issues/new)", "[a](other.md#L10)",
        "[a](other)", "`[a](no.md)`", "<!-- [a](no.md) -->",
    ],
)  # fmt: skip
def test_links_that_are_alive(repository: Path, link: str) -> None:
    assert lint_text(repository, GOOD.replace("See ", f"{link} ")) == []


def test_links_of_a_page_with_a_relative_path(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    path = Path("runbooks/payments-down.md")
    path.write_text(GOOD)
    assert lint([read_page(path)], Surroundings(repository, TODAY)) == ()
    path.write_text(GOOD.replace("other.md#", "gone.md#"))
    assert [item.rule for item in lint([read_page(path)], Surroundings(repository, TODAY))] == [Rule.LINK_DEAD]


def test_a_site_has_addresses_of_its_own(repository: Path) -> None:
    (repository / "mkdocs.yml").write_text("")
    from gameday.coverage.lint.links import is_site

    is_site.cache_clear()
    for link in ("../other/", "/docs/anything/", "other.html", "Other.md#Symptoms"):
        assert lint_text(repository, GOOD.replace("See ", f"[a]({link}) ")) == [], link
    assert lint_text(repository, GOOD.replace("See ", "[a](gone.md) "))


def test_a_page_of_many_alerts_is_no_single_runbook(repository: Path) -> None:
    text = '---\nreviewed: 2026-06-01\n---\n# Alerts\n## PaymentsDown\n- do\n## Alert Name: "OtherDown"\n- do\n'
    assert lint_text(repository, text) == []


def test_which_pages_are_runbooks(repository: Path) -> None:
    def is_one(text: str, name: str = "x.md") -> bool:
        (repository / name).write_text(text)
        return is_runbook(read_page(repository / name))

    assert is_one("# T\n## Meaning\na\n## Diagnosis\nb\n")
    assert is_one("---\nalerts: [A]\n---\n")
    assert not is_one("# T\n## Overview\na\n")
    assert not is_one("# T\n## Overview\na\n## Troubleshooting\nb\n", "README.md")
    # A guide says where it goes wrong, how to go back and whom to ask, and is none for that.
    assert not is_one("# Set up\n## Install\na\n## Troubleshooting\nb\n## Getting help\nc\n")
    assert not is_one("# Move to 3\n## Rollback\na\n## Troubleshooting\nb\n")
    lists = "## PaymentsDown\n- do\n## PaymentsSlow\n- do\n"
    assert is_one(lists, "shop-alerts.md")
    assert is_one(lists, "Runbook.md")
    assert not is_one(lists, "alertmanager.md")


def test_what_is_thought_of_is_no_runbook(repository: Path) -> None:
    def is_one(name: str, text: str) -> bool:
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return is_runbook(read_page(path))

    steps = "## Impact\n- x\n## Troubleshooting\n- x\n"
    assert is_one("docs/upgrade.md", steps)
    assert not is_one("design/ceph/upgrade.md", steps)
    assert is_one("docs/alerts/errors-high.md", "# High\n## Description\nx\n## Impact\nx\n## Ways out\nx\n")
    assert not is_one("docs/alerts/about.md", "# About\n## Overview\nx\n")
    assert not is_one("docs/postmortems/upgrade.md", steps)
    assert is_one("PaymentsDown.md", "## Meaning\nx\n")
    assert not is_one("PendingReleaseNotes.md", "# Pending\n## Features\n- x\n")
    assert not is_one("PaymentsSlow.md", "# PaymentsSlow\nThis alert is deprecated.\n")


@pytest.mark.parametrize(
    ("url", "target", "leads_to"),
    [
        ("https://wiki.example.com/a/b.md?x=1#c", "../d.md#e", "https://wiki.example.com/d.md#e"),
        (
            "https://github.com/o/r/blob/main/runbooks/a.md",
            "../img/x.png",
            "https://github.com/o/r/blob/main/img/x.png",
        ),
        ("https://github.com/o/r/blob/main/runbooks/a.md", "/docs/", "https://github.com/o/r/blob/main/docs/"),
        (
            "https://raw.githubusercontent.com/o/r/refs/heads/main/runbooks/a.md",
            "b.md",
            "https://github.com/o/r/blob/main/runbooks/b.md",
        ),
        ("https://wiki.example.com/a.md", "mailto:x@example.com", None),
        ("https://wiki.example.com/a.md", "#here", None),
        ("https://wiki.example.com/a.md", "https://[", None),
        ("https://wiki.example.com/a.md", "{{ ref }}", None),
        ("", "b.md", None),
    ],
)
def test_where_links_of_a_fetched_page_lead(repository: Path, url: str, target: str, leads_to: str | None) -> None:
    path = repository / "page.md"
    path.write_text(f"[x](<{target}>)\n")
    page = msgspec.structs.replace(read_page(path), url=url)
    assert [found for _, found in web_links(page)] == ([leads_to] if leads_to else [])


def test_links_of_a_fetched_page_are_asked_for(repository: Path, serve: Callable[[dict[str, int]], str]) -> None:
    base = serve({"/books/there.md": 200, "/gone.md": 404})
    path = repository / "page.md"
    path.write_text("# A\n[a](there.md#x) [b](../gone.md) [c](#a) [d](#z)\n")
    page = msgspec.structs.replace(read_page(path), url=f"{base}/books/page.md")
    around = Surroundings(repository, TODAY)
    rules = (Rule.LINK_DEAD, Rule.LINK_UNKNOWN, Rule.ANCHOR_DEAD)
    found = [item for item in lint([page], around, online=True) if item.rule in rules]
    assert [(item.rule, item.mistake.found) for item in found] == [
        (Rule.LINK_DEAD, f"a link to `{base}/gone.md` (HTTP 404)"),
        (Rule.ANCHOR_DEAD, "a link to the anchor `#z`"),
    ]
    assert [item.rule for item in lint([page], around) if item.rule in rules] == [Rule.ANCHOR_DEAD]


def test_programs_of_all_code_on_request(repository: Path) -> None:
    text = GOOD.replace("Go back.", "Go back.\n\n   ```console\n   $ no-such-a x\n   no-such-b\n   ```")
    assert lint_text(repository, text) == []
    assert [line.rpartition(" [")[2] for line in lint_text(repository, text, commands=True)] == ["program-missing]"]


def test_every_rule_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()
    for rule in Rule:
        assert f"| `{rule}` | {SEVERITIES[rule]} |" in page
    assert set(SEVERITIES.values()) == set(Severity)


def test_servers_are_asked(repository: Path, serve: Callable[[dict[str, int]], str]) -> None:
    base = serve({"/gone": 404, "/busy": 429, "/secret": 403, "/head": 405, "/ok": 200})
    path = repository / "web.md"
    names = ("gone", "busy", "secret", "head", "ok#part")
    path.write_text("\n\n".join(f"<{base}/{name}>" for name in names))
    remarks = list(check_web([read_page(path)], 5.0))
    assert [(item.rule, item.mistake.location.line) for item in remarks] == [
        (Rule.LINK_DEAD, 1),
        (Rule.LINK_UNKNOWN, 3),
        (Rule.LINK_UNKNOWN, 5),
    ]


def test_a_server_that_drips_is_given_up(
    repository: Path, drip: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte begins a socket's timeout anew: only a deadline over the whole answer ends this."""
    monkeypatch.setattr("gameday.coverage.lint.links._is_private", lambda _host: False)
    path = repository / "web.md"
    path.write_text(f"<{drip(b'HTTP/1.1 200 OK')}/slow>")
    [remark] = check_web([read_page(path)], 0.3)
    assert remark.rule is Rule.LINK_UNKNOWN
    assert "no answer within 0.3 s" in remark.mistake.found


def test_a_runbook_at_a_url_that_drips_or_is_no_page(
    drip: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gameday.cli.source._TIMEOUT_S", 0.3)
    for begins, said in ((b"HTTP/1.1 200 OK", "no answer within 0.3 s"), (b"SSH-2.0-x\r\n", "SSH-2.0-x")):
        with pytest.raises(SystemExit) as ended:
            local_runbook(f"{drip(begins)}/book.md")
        assert (ended.value.code, said in capsys.readouterr().err) == (2, True)


@pytest.fixture
def drip(monkeypatch: pytest.MonkeyPatch):
    """A server that begins as it is told, and then gives a byte of a header ten times within each timeout, for ever."""
    import socketserver
    import threading

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    over = threading.Event()
    servers = []

    def start(begins: bytes) -> str:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    self.request.sendall(begins + b"\r\nX: ")
                    while not over.wait(0.03):
                        self.request.sendall(b"a")
                except OSError:
                    pass

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """A server that answers each path with a status; a 405 to HEAD alone."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    monkeypatch.setattr("gameday.coverage.lint.links._is_private", lambda _host: False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(statuses: dict[str, int]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(statuses[self.path])
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200 if statuses[self.path] == 405 else statuses[self.path])
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


PIECES = st.sampled_from(
    ["# A\n", "## Diagnosis\n", "- ", "1. x\n", "```check\n", "```\n", "ls |", "[a](b.md#c)", "---\n", "TODO\n",
     "alerts: [A]\n", "<a href='x'>", "| a | b |\n|---|---|\n", "owner: x\n", "`", "\n", "    ", "é", "(((", "{{ x }}"]
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join))
def test_any_text_is_linted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.md"
    path.write_text(text, newline="")
    try:
        page = read_page(path)
    except SpecError:
        return
    for item in lint([page], Surroundings(tmp_path, TODAY, (), commands=True)):
        assert item.mistake.location.line >= 1
