"""`gameday brief`: all that a session's people need, from files alone."""

import re
import shlex
import socket
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from gameday.cli.brief import command
from gameday.cli.init import command as init
from gameday.cli.verbs import cli

GAME_DAY = """
title: Checkout game day
environment: staging
when: {cron: "0 10 * * FRI", timezone: Europe/Berlin, duration: 2h}
people:
  facilitator: eve@example.com
  builders: [checkout-dev]
  sres: ["@grace", "on-call:checkout"]
  scribe: "@sam"
  observers: [cto@example.com]
experiments:
  - {file: payments-refuses.yaml, builder: "@ada", sre: "@grace"}
  - checkout-without-some-payments.yaml
"""
STAGING = """
groups: {checkout-dev: ["@ada", lin@example.com]}
environments:
  staging:
    signals: {url: "http://prometheus:9090", platform: envoy}
    alerts: {url: "http://alertmanager:9093"}
    dashboards: {url: "https://grafana.example.com/", token: "${NOWHERE_SET}", tags: [checkout]}
    policy: {max-blast-radius: 50%, hours: "Mon-Thu 09:00-16:00 Europe/Berlin", confirm: true}
services:
  checkout:
    owner: team-checkout
    runbooks: [checkout-errors, "https://wiki.example.com/checkout?a=1&b=2"]
    dashboards: [abc-uid, "tag:slo", "https://grafana.example.com/d/xyz/checkout"]
    depends-on: [payments]
  payments: {owner: team-payments, runbooks: [payments-errors]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A starter project, with an environment and a game day of its own; and nothing that could be contacted."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(init, ["."]).exit_code == 0
    (tmp_path / "gameday.yaml").write_text("project: shop\n" + STAGING)
    (tmp_path / "experiments/gamedays/checkout.yaml").write_text(GAME_DAY)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse, raising=True)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path


def brief(*words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


def section(page: str, title: str) -> str:
    """What stands under a heading of the second level."""
    return re.split(r"^## ", page.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_everything_that_people_need(project: Path) -> None:
    result = brief("experiments/gamedays/checkout.yaml")
    page = result.stdout
    assert result.exit_code == 0
    [written] = (project / "reports").iterdir()
    assert written.read_text() == page
    assert f"wrote {written}" in result.stderr
    when = re.search(
        r"\*\*Friday (\d{4}-\d\d-\d\d), 10:00–12:00 Europe/Berlin \((?:08|09):00 UTC\)\*\*, on `staging`", page
    )
    assert when
    assert written.name == f"{when[1]}-checkout-game-day-brief.md"
    assert datetime.fromisoformat(f"{when[1]}T23:59+00:00") > datetime.now(UTC)
    # 10 s, and 6 s twice, are held; 6 s of baseline and 4 s of steadiness each; up to 30 s of recovery each.
    assert "take about 42s, up to 1m34s" in page

    goals = section(page, "What we want to know")
    assert goals.index("Checkout answers quickly, whatever it answers") < goals.index("Customers can pay")

    who = section(page, "Who does what")
    for row in (
        "| Facilitator | eve@example.com |",
        "| Builders | @ada, lin@example.com |",
        "| SREs | @grace, whoever is on call for checkout |",
        "| Scribe | @sam |",
        "| Observers | cto@example.com |",
        "| 1. When payments refuses, whoever is on call is told | @ada | @grace | named in the game day |",
        "| 2. Checkout keeps selling when a payments replica dies | lin@example.com | whoever is on call for checkout "
        "| lin@example.com and whoever is on call for checkout have not met before |",
    ):
        assert row in who

    second = section(page, "2. Checkout keeps selling when a payments replica dies")
    for line in (
        "- `process/kill` on **payments** (end processes of the service; their supervisor starts them again): "
        "1, then 50%, each held and judged for 6s",
        "- `checkout.latency.p99 < 300ms`",
        "- `checkout.traffic.rate` changes by `< 30%` against the baseline just before",
        "- `PaymentsReplicaDown` within 10s of the first injection, severity page, no runbook",
        "- `checkout.errors.ratio > 20%` for 3s",
        "- one of the signals cannot be read for 10s",
        "**Recovery** within 15s of the undo.",
        "- [Checkout answers with errors](<../runbooks/checkout-errors.md>), lists CheckoutErrorsHigh; reviewed ",
        "- [https://wiki.example.com/checkout?a=1&b=2](<https://wiki.example.com/checkout?a=1&b=2>)",
        "- [abc-uid](<https://grafana.example.com/d/abc-uid>), named by service checkout",
        "- `tag:slo`, named by service checkout",
        "- [https://grafana.example.com/d/xyz/checkout](<https://grafana.example.com/d/xyz/checkout>)",
        "- `tag:checkout`, every dashboard with that tag",
        "**Owner** of checkout: team-checkout.",
    ):
        assert line in second, line
    assert "`dependency/abort` on **checkout → payments**" in page
    assert ", status 503: 30%, held and judged for 10s" in page

    stop = section(page, "How to stop everything")
    for word in ("Ctrl-C", "`gameday abort --all`", "`gameday stop ", "`gameday recover`", "`.gameday/stop`"):
        assert word in stop
    assert "no fault touches more than 50%; only Mon-Thu 09:00-16:00 Europe/Berlin; it asks before" in stop

    missing = section(page, "To be settled before")
    assert "- [ ] It could not start then: it is Fri 10:00 in Europe/Berlin" in missing
    assert "- [ ] Nobody can be looked up as on call for checkout: the environment staging has no on-call" in missing
    assert "- [ ] Experiment 2: the alert PaymentsReplicaDown names no runbook" in missing
    assert "`gameday plan experiments/gamedays/checkout.yaml --env staging`" in page
    for heading in ("### Before", "### During", "### After"):
        assert heading in section(page, "Checklist")


def test_every_command_of_the_page_is_one(project: Path) -> None:
    """People copy them: each is taken by its verb as it stands there."""
    page = brief("experiments/gamedays/checkout.yaml").stdout
    commands = [shlex.split(found.rstrip("…")) for found in re.findall(r"`gameday ([^`]+)`", page)]
    assert {"mark", "note", "predict", "ack", "runbook", "stop", "sign"} <= {words[0] for words in commands}
    for words in commands:
        verb: click.Command = cli
        context = click.Context(cli)
        while isinstance(verb, click.Group) and words:
            found = verb.get_command(context, words[0])
            assert found, words
            verb, words = found, words[1:]
            if isinstance(verb, click.Group):
                context = click.Context(verb, parent=context)
        if words[-1:] == ["--reason"]:
            words.append("why")
        if words:  # else it is the name of a verb, in a sentence
            verb.make_context(verb.name, words)  # raises UsageError


def test_pairs_are_those_that_the_next_session_would_have(project: Path) -> None:
    run = project / ".gameday/runs/20260306-100000-checkout-0001"
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text(
        '{"event":"session-started","at":1772791200.0,"experiments":[{"builder":"lin@example.com","sre":"@grace"}]}\n'
    )
    (project / "experiments/gamedays/checkout.yaml").write_text(
        GAME_DAY.replace(', "on-call:checkout"]', "]").replace(', builder: "@ada", sre: "@grace"', "")
    )
    who = section(brief("experiments/gamedays/checkout.yaml").stdout, "Who does what")
    assert "| @ada | @grace | @ada and @grace have not met before; @grace leads again, for want of others |" in who
    assert "| lin@example.com | @grace | lin@example.com and @grace last met on 2026-03-06 |" in who


def test_who_is_missing(project: Path) -> None:
    path = project / "experiments/gamedays/checkout.yaml"
    path.write_text("title: t\nexperiments: [payments-refuses.yaml]\n")
    missing = section(brief(str(path)).stdout, "To be settled before")
    assert "- [ ] No facilitator is named\n- [ ] No builder is named\n- [ ] No SRE is named\n" in missing
    path.write_text('title: t\nexperiments: [{file: payments-refuses.yaml, builder: "@ada", sre: "@grace"}]\n')
    page = brief(str(path)).stdout
    assert "No builder" not in page
    assert "No SRE" not in page
    assert "| @ada | @grace | named in the game day |" in page


def test_what_is_open_since_earlier_sessions(project: Path) -> None:
    (project / ".gameday").mkdir()
    (project / ".gameday/actions.jsonl").write_text(
        '{"at":1.0,"id":"a1","change":"opened","by":"r","owner":"team-web",'
        '"content":{"title":"There is no runbook x","service":"checkout"}}\n'
        '{"at":1.0,"id":"a2","change":"opened","by":"r","content":{"title":"Not ours","service":"search"}}\n'
        '{"at":1.0,"id":"a3","change":"opened","by":"r","content":{"title":"Done","service":"checkout"}}\n'
        '{"at":2.0,"id":"a3","change":"closed","by":"r"}\n'
    )
    page = brief("experiments/gamedays/checkout.yaml").stdout
    assert "- There is no runbook x (team-web)" in page
    assert "Not ours" not in page
    assert "- Done" not in page


def test_the_invitation(project: Path) -> None:
    result = brief("experiments/gamedays/checkout.yaml", "--ics", "--at", "2026-03-05 09:30", "--output", "out")
    assert result.exit_code == 0
    page, invitation = sorted((project / "out").iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (page.name, invitation.name) == (
        "2026-03-05-checkout-game-day-brief.md",
        "2026-03-05-checkout-game-day-brief.ics",
    )
    first = invitation.read_bytes()
    text = first.decode().replace("\r\n ", "")
    for line in (
        "DTSTART:20260305T083000Z",
        "DURATION:PT2H0M",
        "SUMMARY:Checkout game day",
        "ORGANIZER:mailto:eve@example.com",
        "ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:lin@example.com",
        "ATTENDEE;ROLE=OPT-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:cto@example.com",
    ):
        assert f"\r\n{line}\r\n" in text
    assert "1. When payments refuses\\, whoever is on call is told: @ada and @grace\\n" in text
    # The same day it is the same event; another day it is another.
    uid = re.search(r"\r\nUID:(\S+)\r\n", text)
    assert uid
    brief("experiments/gamedays/checkout.yaml", "--ics", "--at", "2026-03-05T11:00", "--output", "out")
    assert f"UID:{uid[1]}" in invitation.read_text()
    assert invitation.read_bytes() != first
    brief("experiments/gamedays/checkout.yaml", "--ics", "--at", "2026-03-06 11:00", "--output", "other")
    [other] = (project / "other").glob("*.ics")
    assert f"UID:{uid[1]}" not in other.read_text()


def test_the_hour_that_the_clock_leaps_over(project: Path) -> None:
    page = brief("experiments/gamedays/checkout.yaml", "--at", "2026-03-29 02:30").stdout
    assert "**Sunday 2026-03-29, 03:30–05:30 Europe/Berlin (01:30 UTC)**" in page
    assert "- [ ] 2026-03-29 03:30 is past" in page or datetime.now(UTC) < datetime(2026, 3, 29, 2, tzinfo=UTC)


def test_an_experiment(project: Path) -> None:
    result = brief("experiments/payments-refuses.yaml", "--at", "2030-01-02 23:30", "--ics", "--env", "staging")
    assert "**Wednesday 2030-01-02, 23:30 to 2030-01-03 00:30 UTC**, on `staging`" in result.stdout
    assert "Who does what" not in result.stdout
    assert (project / "reports/2030-01-02-when-payments-refuses-whoever-is-on-call-brief.ics").exists()
    assert "**Not scheduled**, on `lab`." in brief("experiments/payments-refuses.yaml").stdout


def test_a_plain_experiment(project: Path) -> None:
    (project / "experiments/plain.json").write_text(
        '{"title": "Plain", "description": "d", "method": [{"type": "action", "name": "say | it", '
        '"provider": {"type": "process", "path": "echo"}, "pauses": {"after": 5}}], "rollbacks": '
        '[{"type": "action", "name": "tidy", "provider": {"type": "process", "path": "true"}}]}'
    )
    page = brief("experiments/plain.json").stdout
    assert "**Not scheduled**. The experiment takes about 5s." in page
    assert "- the action `say | it` of the Chaos Toolkit" in page
    assert "- at the end, whatever happens: the action `tidy`" in page
    assert "`gameday plan experiments/plain.json`" in page
    assert "plain.json --env" not in page


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["experiments/gamedays/first.yaml", "--ics"], 2, "an invitation needs one: `when.cron`, or --at"),
        (
            ["experiments/gamedays/checkout.yaml", "--env", "stagin"],
            2,
            "expected one of lab, staging; did you mean `st",
        ),
        (["experiments/gamedays/checkout.yaml", "--at", "2026-02-30 10:00"], 2, "such as 2026-03-06 10:00"),
        (["experiments/gamedays/checkout.yaml", "--at", "tomorrow"], 2, "such as 2026-03-06 10:00"),
        (["experiments/none.yaml"], 2, "there is no file experiments/none.yaml"),
        (["gameday.yaml"], 2, "found the project's file, expected an experiment"),
    ],
)
def test_what_is_wrong(project: Path, words: list[str], status: int, said: str) -> None:
    result = brief(*words)
    assert result.exit_code == status
    assert said in result.stderr
    assert not (project / "reports").exists()


def test_mistakes_of_all_files_are_said(project: Path) -> None:
    (project / "gameday.yaml").write_text("project: shop\ngroups: {a: []}\n" + STAGING.replace("groups:", "x-groups:"))
    path = project / "experiments/gamedays/checkout.yaml"
    path.write_text(GAME_DAY.replace("sres: [", 'sres: ["", '))
    result = brief(str(path))
    assert result.exit_code == 2
    assert "without members" in result.stderr
    assert "an empty text" in result.stderr


def test_times_that_are_all_over(project: Path) -> None:
    path = project / "experiments/gamedays/checkout.yaml"
    path.write_text(GAME_DAY.replace('cron: "0 10 * * FRI"', 'dates: ["2020-03-06 10:00"]'))
    assert "**Not scheduled**" in brief(str(path)).stdout
    assert "says no time that ever comes" in brief(str(path), "--ics").stderr


def test_a_directory_that_cannot_be_written(project: Path) -> None:
    (project / "reports").write_text("a file")
    result = brief("experiments/gamedays/first.yaml")
    assert result.exit_code == 2
    assert "the brief cannot be written" in result.stderr
    assert result.stdout.startswith("# Our first game day")


def test_hostile_texts_make_no_markup(project: Path) -> None:
    hostile = "<script>alert(1)</script> [x](javascript:alert(1)) | `a` **b** \u202e"
    title = hostile.replace("'", "''")
    (project / "experiments/gamedays/checkout.yaml").write_text(
        GAME_DAY.replace("Checkout game day", f"'{title}'").replace('"@sam"', f"'{title}'")
    )
    (project / "experiments/payments-refuses.yaml").write_text(
        (project / "experiments/payments-refuses.yaml").read_text().replace("title: Checkout", f"title: '{title}' #")
    )
    page = brief("experiments/gamedays/checkout.yaml").stdout
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert "alert(1)" in html
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert "\u202e" not in page
    assert html.count("<table>") == 2
    assert len(set(map(len, (re.findall("<t[dh]", row) for row in html.split("<tr>")[1:])))) == 2
