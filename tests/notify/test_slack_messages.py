"""Slack's messages: within its limits whatever is said, and nothing of it taken for markup.

The limits are those of `slack_blocks`, which the stand-in holds every message to. How each message looks is in
`test_slack_golden`.
"""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.journal.events import ExperimentInfo
from gameday.notify.base import Detail, Kind, Level, SignalBar, Status
from gameday.notify.slack.blocks import context, cut, fallback, message_of, quoted, status_blocks, status_text
from gameday.notify.slack.prediction_modal import Asked, kept_view, view_of
from gameday.notify.slack.templates import Words, default_words

sys.path.insert(0, str(Path(__file__).parent))
from slack_blocks import is_too_long, parsed, problems, view_problems

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
    assert problems([context("s"), *blocks]) == []
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


def test_who_is_meant_is_there_however_long_a_text_is() -> None:
    long = Detail(Kind.UNDO, "NOT undone: " + "&" * 10_000, 0.0, 0.0, ("still there: " + "pod " * 5000,))
    texts = [default_words(long, "<@U0DEV> <@U0SRE>")] * 10
    assert all("<@U0DEV> <@U0SRE>" in block["text"]["text"] for block in message_of(texts))


def test_slack_makes_nothing_of_names_itself(tmp_path: Path) -> None:
    """https://docs.slack.dev/reference/block-kit/composition-objects/text-object: `verbatim`."""
    name = "@channel #general http://a.b"
    status = Status(name, name, name, name, 0.0, Level.INFO, (), alerts=(name,), lead=name)
    view = view_of(Asked("s", 0), ExperimentInfo(title=name, path=""), 0)
    for blocks in (message_of([quoted(name)]), status_blocks(status, has_buttons=True), view["blocks"]):
        assert parsed(blocks) == []


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://a.b/_x_/~ada/*.html?q=1&r=%20#top", "<https://a.b/_x_/~ada/*.html?q=1&amp;r=%20#top>"),
        ("https://a.b/a|b> <!channel>\n", "<https://a.b/a%7Cb%3E%20%3C!channel%3E%0A>"),
        ("host:/srv/day_1_.html", "host:/srv/day_1＿.html"),
    ],
)
def test_an_address_can_be_pressed(tmp_path: Path, link: str, shown: str) -> None:
    detail = Detail(Kind.REPORT, "t", 0.0, 0.0, link=link)
    assert default_words(detail, "").endswith(f"\n{shown}")
    assert words(tmp_path, [], report="{{ link }}").say(detail, "", {}) == shown


def test_an_update_is_short_in_bytes() -> None:
    assert len(status_text(Status("s", "t", "e", "\N{PILE OF POO}" * 5000, 0.0, Level.INFO, ())).encode()) <= 4000


def test_what_is_kept_of_a_long_prediction_is_within_the_limits() -> None:
    assert view_problems(kept_view(quoted("&" * 5000))) == []


@given(TEXT)
def test_what_is_quoted_formats_nothing(text: str) -> None:
    made = quoted(text)
    assert not set(made) & set("*~`<>\u202e\u2066")
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


ALERT = Detail(
    Kind.ALERT, "Alert PaymentsDown firing 31.2 s after the injection", 0.0, 45.0, ("2 of 8 are gone",), Level.WARNING
)
UNDO = Detail(Kind.UNDO, "Undone and verified in 0.4 s: pods/kill on payments", 0.0, 61.0, (), Level.GOOD)


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
    made = own.say(ALERT, "<@U1>", {"environment": "a*b"})
    assert made == (":warning: _Alert PaymentsDown firing 31.2 s after the injection_ in a∗b\n> 2 of 8 are gone\n<@U1>")
    assert own.say(UNDO, "", {}) == default_words(UNDO, "")
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
        assert own.say(ALERT, "", {}) == default_words(ALERT, "")
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
