"""Slack's messages: within its limits whatever is said, nothing of it taken for markup; and as they are, one by one.

The limits are those of `slack_blocks`, which the stand-in holds every message to. The golden files are read by people:
`GAMEDAY_GOLDEN=1` writes them anew.
"""

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.notify.base import Detail, Kind, Level, SignalBar, Status
from gameday.notify.slack.blocks import cut, fallback, message_of, quoted, status_blocks
from gameday.notify.slack.templates import Words, default_words

sys.path.insert(0, str(Path(__file__).parent))
from slack_blocks import is_too_long, problems

GOLDEN = Path(__file__).parent / "golden"
NASTY = st.text(
    st.sampled_from(
        ["<", ">", "&", "*", "_", "`", "~", "@", "!", "|", "a", " ", "\n", "\0", "\u202e", "\u200b", "😀", "é"]
    )
)
TEXT = st.one_of(NASTY, NASTY.map(lambda text: text * 400), st.just("x" * 10_000), st.just("<!channel> <@U0DEV>"))
DETAIL = st.builds(
    Detail,
    kind=st.sampled_from(Kind),
    title=TEXT,
    at=st.just(1.0),
    after_s=st.floats(0, 1e6),
    lines=st.lists(TEXT, max_size=60).map(tuple),
    level=st.sampled_from(Level),
    link=st.one_of(st.none(), TEXT),
)
BAR = st.builds(
    SignalBar,
    name=TEXT,
    values=st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=20).map(tuple),
    shown=NASTY,
    wanted=NASTY,
)
STATUS = st.builds(
    Status,
    session=TEXT,
    title=TEXT,
    environment=TEXT,
    state=TEXT,
    elapsed_s=st.floats(0, 1e6),
    level=st.sampled_from(Level),
    key=st.just(()),
    experiment=TEXT,
    stage=NASTY,
    in_place=st.lists(TEXT, max_size=20).map(tuple),
    signals=st.lists(BAR, max_size=30).map(tuple),
    alerts=st.lists(TEXT, max_size=40).map(tuple),
    lead=TEXT,
)


def raw(blocks: list[dict[str, object]]) -> str:
    return json.dumps(blocks, ensure_ascii=False)


@given(st.lists(DETAIL, min_size=1, max_size=10))
def test_details_are_within_the_limits_and_mention_nobody(details: list[Detail]) -> None:
    texts = [default_words(detail, "") for detail in details]
    blocks = message_of(texts)
    assert problems(blocks) == []
    assert not is_too_long(blocks)
    assert len(fallback(texts)) <= 4000
    assert len(blocks) == len(details)
    shown = raw(blocks)
    assert "<" not in shown
    assert ">" not in shown


@given(STATUS)
def test_a_status_is_within_the_limits(status: Status) -> None:
    blocks = status_blocks(status, has_buttons=True)
    assert problems(blocks) == []
    assert not is_too_long(blocks)
    mrkdwn = [block for block in blocks if block["type"] not in ("header", "actions")]  # these are plain text
    assert len(mrkdwn) >= 2
    assert "<" not in raw(mrkdwn)


@given(TEXT)
def test_what_is_quoted_formats_nothing(text: str) -> None:
    made = quoted(text)
    assert not set(made) & set("*~`<>")
    assert "\0" not in made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("checkout_errors_high", "checkout_errors_high"),
        ("_checkout_", "＿checkout＿"),
        ("a & b < c", "a &amp; b &lt; c"),
        ("*now*", "∗now∗"),
        ("<!here> <@U1>", "&lt;!here&gt; &lt;@U1&gt;"),
    ],
)
def test_quoted(text: str, shown: str) -> None:
    assert quoted(text) == shown


@given(st.text(st.sampled_from("&lt;a<@U1>` "), max_size=60), st.integers(6, 60))
def test_nothing_is_cut_in_two(text: str, length: int) -> None:
    made = cut(text, length)
    assert len(made) <= length
    if made != text:
        assert made.endswith(("…", "…```"))


DETAILS = {
    Kind.BRIEF: Detail(
        Kind.BRIEF, "Checkout game day, on staging", 0.0, 0.0, ("builders: @ada", "1. Checkout survives")
    ),
    Kind.PREFLIGHT: Detail(
        Kind.PREFLIGHT,
        "Preflight: 0 failed, 1 warnings, 12 checks",
        0.0,
        2.0,
        ("warning: alert PaymentsDown: cannot fire within 60s: for is 5m",),
        Level.WARNING,
    ),
    Kind.EXPERIMENT: Detail(
        Kind.EXPERIMENT, "Begins: Checkout survives (1 of 2)", 0.0, 2.0, ("Customers can pay",), mentions=("@ada",)
    ),
    Kind.INJECTION: Detail(
        Kind.INJECTION,
        "Injected: pods/kill on payments, stage 1 of 3",
        0.0,
        14.0,
        ("hit: payments-7d9f-abcde",),
        Level.WARNING,
    ),
    Kind.ACTION: Detail(Kind.ACTION, "Action scale-down: failed", 0.0, 15.0, ("no such deployment",), Level.BAD),
    Kind.REFUSAL: Detail(Kind.REFUSAL, "Not injected", 0.0, 15.0, ("the policy's ceiling is 30%",), Level.WARNING),
    Kind.STAGE: Detail(
        Kind.STAGE,
        "Stage 1 of 3 (25%): the steady state did NOT hold",
        0.0,
        74.0,
        ("checkout.errors.ratio < 1%: broken",),
        Level.WARNING,
    ),
    Kind.ALERT: Detail(
        Kind.ALERT,
        "Alert PaymentsDown firing 31.2 s after the injection",
        0.0,
        45.0,
        ("2 of 8 are gone",),
        Level.WARNING,
    ),
    Kind.NOTE: Detail(Kind.NOTE, "Note by @sam", 0.0, 50.0, ("the <dashboard> is *late*",)),
    Kind.MARK: Detail(Kind.MARK, "detected, says @grace", 0.0, 51.0),
    Kind.ABORT: Detail(
        Kind.ABORT, "ABORT by @eve: everything is being undone", 0.0, 60.0, ("enough",), Level.BAD, ("@ada", "@grace")
    ),
    Kind.UNDO: Detail(Kind.UNDO, "Undone and verified in 0.4 s: pods/kill on payments", 0.0, 61.0, (), Level.GOOD),
    Kind.RECOVERY: Detail(Kind.RECOVERY, "Steady again 12.0 s after the undo", 0.0, 73.0, (), Level.GOOD),
    Kind.VERDICT: Detail(
        Kind.VERDICT,
        "Checkout survives: a weakness was found",
        0.0,
        74.0,
        ("Nobody was told: PaymentsDown did not fire within 60s",),
        Level.WARNING,
    ),
    Kind.END: Detail(Kind.END, "Checkout game day: a weakness was found", 0.0, 75.0, ("it took 1m15s",), Level.WARNING),
    Kind.REPORT: Detail(
        Kind.REPORT,
        "The report is written",
        0.0,
        0.0,
        ("checkout.html",),
        link="https://reports.example.com/checkout.html",
    ),
}
SHOWN = Status(
    "20260306-100000-checkout-ab12",
    "Checkout game day",
    "staging",
    "holding",
    95.0,
    Level.WARNING,
    (),
    "Checkout survives (1 of 2)",
    "stage 2 of 3 (25%)",
    ("pods/kill on payments: payments-7d9f-abcde",),
    (
        SignalBar("checkout.latency.p99", (0.1, 0.12, 0.31, None, 0.28), "280 ms", "< 300ms"),
        SignalBar("checkout.errors.ratio", (0.0, 0.0, 0.002), "0.2%", "< 1%"),
    ),
    ("PaymentsDown firing",),
    "led by @eve; @ada and @grace",
)


@pytest.mark.parametrize("kind", [*Kind, "status"])
def test_each_message_is_as_it_was_read(kind: Kind | str) -> None:
    path = GOLDEN / f"{kind}.json"
    if isinstance(kind, Kind):
        mentions = " ".join(f"<@{name.strip('@').upper()}>" for name in DETAILS[kind].mentions)
        texts = [default_words(DETAILS[kind], mentions)]
        made: object = {"text": fallback(texts), "blocks": message_of(texts)}
    else:
        made = {"blocks": status_blocks(SHOWN, has_buttons=True)}
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("GAMEDAY_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def test_there_is_a_file_for_each_message_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*Kind, "status"}


# -- templates


def words(directory: Path, said: list[str], **templates: str) -> Words:
    for name, text in templates.items():
        (directory / f"{name}.mrkdwn.j2").write_text(text)
    return Words(directory, said.append)


def test_a_team_has_its_own_words(tmp_path: Path) -> None:
    said: list[str] = []
    own = words(
        tmp_path,
        said,
        alert="{{ icon }} _{{ title }}_ in {{ environment }}\n"
        "{% for line in lines %}\n> {{ line }}\n{% endfor %}\n{{ mentions }}",
    )
    made = own.say(DETAILS[Kind.ALERT], "<@U1>", {"environment": "a*b"})
    assert made == (":warning: _Alert PaymentsDown firing 31.2 s after the injection_ in a∗b\n> 2 of 8 are gone\n<@U1>")
    assert own.say(DETAILS[Kind.UNDO], "", {}) == default_words(DETAILS[Kind.UNDO], "")
    assert said == []


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ title", "unexpected end of template"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ 'x' * 1000000000 }}", "not to be had"),
        ("{{ '%0500000000d' % 1 }}", "not to be had"),
        ("{{ '{:>500000000}'.format(1) }}", "not to be had"),
        ("{{ title.ljust(500000000) }}", "not to be had"),
        ("{{ title|center(500000000) }}", "not to be had"),
        ("{{ '%0500000000d'|format(1) }}", "No filter named 'format'"),
        ("{% for n in range(1000000000) %}{% endfor %}", "'range' is undefined"),
        ("{% include '/etc/passwd' %}", "no loader"),
    ],
)
def test_one_that_is_broken_is_said_once_and_ours_is_used(tmp_path: Path, template: str, why: str) -> None:
    said: list[str] = []
    own = words(tmp_path, said, alert=template)
    for _ in range(3):
        assert own.say(DETAILS[Kind.ALERT], "", {}) == default_words(DETAILS[Kind.ALERT], "")
    (message,) = said
    assert why in message
    assert message.endswith("ours is used")


def test_a_template_for_nothing_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    words(tmp_path, said, allert="x")
    assert "there is no message for allert.mrkdwn.j2" in said[0]
    Words(tmp_path / "nowhere", said.append)
    assert "nowhere cannot be read" in said[1]


def test_what_a_template_makes_is_bounded(tmp_path: Path) -> None:
    own = words(tmp_path, [], alert="{% for line in lines %}{% for more in lines %}{{ line }}{% endfor %}{% endfor %}")
    flood = Detail(Kind.ALERT, "t", 0.0, 0.0, tuple("<" * 500 for _ in range(50)))
    assert len(own.say(flood, "", {})) <= 2900
