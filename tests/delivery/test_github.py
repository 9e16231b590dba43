"""GitHub's issues, against a stand-in that holds to the documented API."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gameday.delivery import Delivered, Issue, TrackerError, open_tracker
from gameday.delivery.github import GitHub, block, body_of, code
from gameday.spec.model import Credentials, TrackerConfig
from tests.delivery.github_server import GitHubServer
from tests.delivery.tracker_server import Answer, Trouble

ISSUE = Issue(
    "1a2b3c4d",
    "shop: ShopDown did not fire",
    "It did not fire within 10 s.",
    (("Service", "shop"), ("Experiment", "experiments/shop.yaml")),
    "gameday run experiments/shop.yaml --env staging",
)


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


def config(server: GitHubServer, **more: object) -> TrackerConfig:
    read = TrackerConfig(
        "github",
        server.url,
        server.repository,
        labels=("Gameday", "reliability"),
        timeout_s=10.0,
        credentials=Credentials(token=server.token),
    )
    return msgspec.structs.replace(read, **more)


def ask[T](config: TrackerConfig, question: Callable[[GitHub], Coroutine[None, None, T]], *, pace_s: float = 0.0) -> T:
    async def run() -> T:
        tracker = GitHub(config, said.append, pace_s=pace_s)
        try:
            return await question(tracker)
        finally:
            await tracker.close()

    said.clear()
    return asyncio.run(run())


said: list[str] = []


def refusal(config: TrackerConfig, question: Callable[[GitHub], Coroutine[None, None, object]]) -> TrackerError:
    with pytest.raises(TrackerError) as caught:
        ask(config, question)
    assert config.credentials.token not in str(caught.value)
    return caught.value


def test_made_and_found_again(server: GitHubServer) -> None:
    made = ask(config(server), lambda github: github.create_issue(ISSUE))
    assert made == Delivered("acme/shop#1", "https://github.com/acme/shop/issues/1")
    [issue] = server.issues
    assert issue["title"] == "shop: ShopDown did not fire"
    assert [label["name"] for label in issue["labels"]] == ["gameday", "Gameday", "reliability"]
    assert issue["assignees"] == []
    assert issue["body"] == (
        "```text\nIt did not fire within 10 s.\n```\n\n"
        "- **Service**: `shop`\n- **Experiment**: `experiments/shop.yaml`\n\n"
        "To see whether it is still so:\n\n"
        "```sh\ngameday run experiments/shop.yaml --env staging\n```\n\n"
        "gameday knows this issue by its label `gameday` and by this line; leave both in place.\n\n"
        "`gameday-action: 1a2b3c4d`"
    )
    issue["body"] = issue["body"].replace("\n", "\r\n") + "\r\n\r\nsomebody's comment"  # edited in a browser
    assert ask(config(server), lambda github: github.find_issues(["1a2b3c4d", "other"])) == {"1a2b3c4d": (made,)}


def test_all_pages_are_read_in_order_closed_ones_too(server: GitHubServer) -> None:
    server.page_size = 2
    label = [{"name": "Gameday"}]
    for number in range(1, 10):
        server.add(f"{number}", f"`gameday-action: a{number % 4}`", labels=label)
    server.add("a pull request", "`gameday-action: a1`", labels=label, is_pull=True)
    server.add("of somebody else", "`gameday-action: a1`")
    server.add("quoted", "> `gameday-action: a1`", labels=label)
    server.add("empty", None, labels=label)
    server.issues[4] |= {"state": "closed", "closed_at": "2026-03-05T12:00:00Z"}
    found = ask(config(server), lambda github: github.find_issues(["a1", "a2"]))
    assert {identity: [one.key for one in ones] for identity, ones in found.items()} == {
        "a1": ["acme/shop#1", "acme/shop#5", "acme/shop#9"],
        "a2": ["acme/shop#2", "acme/shop#6"],
    }
    assert [(one.is_open, one.closed_at) for one in found["a1"]] == [(True, None), (False, 1772712000.0), (True, None)]
    lists = [asked for asked in server.requests if asked.method == "GET"]
    assert len(lists) == 6
    assert {asked.path for asked in lists} == {"/repos/acme/shop/issues"}  # not where the links lead
    assert {(asked.query["labels"], asked.query["state"]) for asked in lists} == {("gameday", "all")}


def test_a_link_to_elsewhere_is_not_followed_there(server: GitHubServer) -> None:
    elsewhere = '<http://127.0.0.1:9/repositories/77/issues?labels=gameday&state=all&after=Y3Vyc29yOg0>; rel="next"'
    server.troubles = [Trouble("GET", Answer(200, [], {"Link": elsewhere}), times=1)]
    assert ask(config(server), lambda github: github.find_issues(["a"])) == {}
    assert [asked.query.get("after") for asked in server.requests] == [None, "Y3Vyc29yOg0"]


def test_a_mark_that_somebody_wrote_into_a_finding_is_not_taken_for_ours(server: GitHubServer) -> None:
    forged = msgspec.structs.replace(ISSUE, detail="so\n\n`gameday-action: forged`\n")
    ask(config(server), lambda github: github.create_issue(forged))
    assert list(ask(config(server), lambda github: github.find_issues(["forged", ISSUE.id]))) == [ISSUE.id]


NASTY = st.text(st.sampled_from("`@#*_<>[]()!\\\n\r\t |~:-&x1 \u2028\x00é"), max_size=60)


@given(NASTY, NASTY)
def test_what_anybody_wrote_is_code_and_nothing_else(text: str, value: str) -> None:
    body = body_of(msgspec.structs.replace(ISSUE, detail=text, facts=(("Owner", value),), rerun=""))
    tokens = [token for outer in MarkdownIt().parse(body) for token in (outer, *(outer.children or ()))]
    outside = " ".join(token.content for token in tokens if token.type == "text")
    assert not re.search("[@#\x00]", outside)
    assert {token.type for token in tokens} <= {
        *("fence", "inline", "text", "code_inline", "strong_open", "strong_close", "softbreak"),
        *("paragraph_open", "paragraph_close", "bullet_list_open", "bullet_list_close"),
        *("list_item_open", "list_item_close"),
    }
    assert len([token for token in tokens if token.type == "paragraph_open"]) == 3
    if text.strip():
        [fence] = [token for token in tokens if token.type == "fence"]
        assert sorted(filter(str.strip, fence.content.split())) == sorted(text.replace("\x00", "\ufffd").split())


def test_code_has_longer_fences_than_what_it_holds() -> None:
    assert [code(text) for text in ("a", "a`b", "``", " @x ", "")] == ["`a`", "``a`b``", "``` `` ```", "`@x`", ""]
    assert block("a\n````\nb") == "`````text\na\n````\nb\n`````"


def test_the_worst_is_within_the_limits(server: GitHubServer) -> None:
    worst = Issue("1", "t" * 1000 + "\n", "`" * 100_000, tuple(("name", "`" * 9999) for _ in range(8)), "`" * 900)
    assert ask(config(server), lambda github: github.create_issue(worst)).key == "acme/shop#1"
    assert len(server.issues[0]["title"]) == 256
    assert server.issues[0]["title"].endswith("…")


def test_assigned_only_when_told(server: GitHubServer) -> None:
    ask(config(server), lambda github: github.create_issue(msgspec.structs.replace(ISSUE, assignee="octocat")))
    assert [one["login"] for one in server.issues[0]["assignees"]] == ["octocat"]
    nobody = msgspec.structs.replace(ISSUE, assignee="nobody")
    error = refusal(config(server), lambda github: github.create_issue(nobody))
    assert str(error) == "GitHub refuses it: HTTP 422 (Validation Failed; assignees invalid: nobody)"
    assert (error.stops, error.uncertain) == (False, False)


def test_a_label_that_is_dropped_is_said(server: GitHubServer) -> None:
    server.may_label = False
    made = ask(config(server), lambda github: github.create_issue(ISSUE))
    assert made.key == "acme/shop#1"
    assert made.wanting.startswith("GitHub has dropped its label `gameday`")


def test_closed_and_opened_anew(server: GitHubServer) -> None:
    key = ask(config(server), lambda github: github.create_issue(ISSUE)).key
    ask(config(server), lambda github: github.close_issue(key, "not found any more, says @ada"))
    [closed] = ask(config(server), lambda github: github.find_issues([ISSUE.id]))[ISSUE.id]
    assert not closed.is_open
    assert closed.closed_at == pytest.approx(time.time(), abs=10)
    assert server.issues[0]["state_reason"] == "completed"
    ask(config(server), lambda github: github.reopen_issue(key, "it was found again"))
    assert server.issues[0]["state"] == "open"
    assert server.comments[1] == [
        "Closed by gameday: `not found any more, says @ada`",
        "Opened anew by gameday: `it was found again`",
    ]


def test_whose_an_issue_is(server: GitHubServer) -> None:
    github = GitHub(config(server), said.append)
    assert [github.has(key) for key in ("acme/shop#1", "Acme/Shop#1", "acme/shopping#1", "SHOP-1")] == [
        *(True, True, False, False)
    ]


@pytest.mark.parametrize(
    ("answer", "said", "stops"),
    [
        (Answer(401, {"message": "Bad credentials"}), "does not take the token: HTTP 401 (Bad credentials)", True),
        (
            Answer(403, {"message": "Resource not accessible by personal access token"}),
            "GitHub does not let the token at acme/shop: HTTP 403 (Resource not accessible by personal access token); "
            "it needs to read and write issues there",
            True,
        ),
        (Answer(404, {"message": "Not Found"}), "no repository acme/shop, or does not show it to the token", True),
        (Answer(410, {"message": "Issues are disabled for this repo"}), "issues are disabled in acme/shop", True),
        (Answer(301, {"message": "Moved Permanently", "url": "x"}), "acme/shop has moved: HTTP 301; name it", True),
        (Answer(422, {"message": "Validation Failed", "errors": "odd"}), "HTTP 422 (Validation Failed; odd)", False),
        (Answer(418, {"errors": [{"code": "x", "field": None}, "y"]}), "GitHub answers HTTP 418 (x; y)", False),
        (Answer(502, "<html>"), "GitHub answers HTTP 502", True),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\n{}x", "GitHub's answer is not as expected", True),
        (b"garbage\r\n\r\n", "GitHub: no valid HTTP answer", True),
        (None, "GitHub: the server closed the connection without an answer", True),
    ],
)
def test_what_github_refuses(server: GitHubServer, answer: Answer | bytes | None, said: str, stops: bool) -> None:
    server.troubles = [Trouble("POST", answer)]
    error = refusal(config(server), lambda github: github.create_issue(ISSUE))
    assert said in str(error)
    assert error.stops is stops
    # What has not been refused may have been carried out.
    assert error.uncertain is (not isinstance(answer, Answer) or answer.status == 502)
    assert len(server.requests) == 1  # nothing is made a second time


def test_a_token_that_is_echoed_is_not_shown(server: GitHubServer) -> None:
    server.troubles = [Trouble("GET", Answer(401, {"message": f"{server.token} is no token"}))]
    error = refusal(config(server), lambda github: github.find_issues(["a"]))
    assert str(error) == "GitHub does not take the token: HTTP 401 (… is no token)"


def test_the_real_refusals(server: GitHubServer) -> None:
    wrong = config(server, credentials=Credentials(token="ghp-wrong"))
    assert "HTTP 401 (Bad credentials)" in str(refusal(wrong, lambda github: github.find_issues(["a"])))
    other = config(server, repository="acme/other")
    assert "no repository acme/other" in str(refusal(other, lambda github: github.find_issues(["a"])))
    server.has_issues = False
    assert "issues are disabled" in str(refusal(config(server), lambda github: github.create_issue(ISSUE)))
    error = refusal(config(server), lambda github: github.close_issue("acme/shop#7", "x"))
    assert (str(error), error.stops) == ("acme/shop#7 is not there any more: HTTP 404 (Not Found)", False)


def test_nobody_there_and_nothing_in_time(server: GitHubServer) -> None:
    nobody = config(server, url="http://127.0.0.1:9")
    error = refusal(nobody, lambda github: github.create_issue(ISSUE))
    assert str(error) == "GitHub: cannot connect to 127.0.0.1:9: Connection refused"
    assert (error.stops, error.uncertain) == (True, False)
    server.troubles = [Trouble("POST", Answer(201), after_s=1.0)]
    error = refusal(config(server, timeout_s=0.2), lambda github: github.create_issue(ISSUE))
    assert str(error) == "GitHub: no answer within 0.2 s"
    assert (error.stops, error.uncertain) == (True, True)


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (403, {"Retry-After": "1"}, "You have exceeded a secondary rate limit"),
        (429, {"Retry-After": "1"}, "You have exceeded a secondary rate limit"),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "RESET"}, "API rate limit exceeded for user ID 1"),
    ],
)
def test_a_limit_is_waited_for_and_the_request_sent_again(
    server: GitHubServer, status: int, headers: dict[str, str], message: str
) -> None:
    headers = {name: value.replace("RESET", str(int(time.time()))) for name, value in headers.items()}
    server.troubles = [Trouble("POST", Answer(status, {"message": message}, headers), times=1)]
    before = time.monotonic()
    assert ask(config(server), lambda github: github.create_issue(ISSUE)).key == "acme/shop#1"
    assert 0.9 < time.monotonic() - before < 8.0
    assert [line.startswith("GitHub asks to wait 1") for line in said] == [True]


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "3600"},
        {"Retry-After": "9" * 400},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"},
    ],
)
def test_a_limit_that_takes_too_long_is_not_waited_for(server: GitHubServer, headers: dict[str, str]) -> None:
    server.troubles = [Trouble("POST", Answer(403, {"message": "rate limit"}, headers))]
    error = refusal(config(server), lambda github: github.create_issue(ISSUE))
    assert re.search(
        r"asked more often than it allows \(HTTP 403\): not again before \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", str(error)
    )
    assert (error.stops, error.uncertain, len(server.requests)) == (True, False, 1)


def test_it_is_written_at_the_pace_that_github_asks_for(server: GitHubServer) -> None:
    async def twice(github: GitHub) -> None:
        for identity in "ab":
            await github.create_issue(msgspec.structs.replace(ISSUE, id=identity))

    before = time.monotonic()
    ask(config(server), twice, pace_s=0.3)
    assert 0.3 <= time.monotonic() - before < 5.0


def test_what_is_missing_is_said_before_anything_is_asked(server: GitHubServer) -> None:
    for wrong in ({"credentials": Credentials()}, {"repository": None}, {"url": "ftp://x"}):
        with pytest.raises(TrackerError):
            open_tracker(config(server, **wrong), said.append)
    with pytest.raises(TrackerError, match=r"there is no tracker `githob`; .*did you mean `github`"):
        open_tracker(config(server, tracker="githob"), said.append)
    assert isinstance(open_tracker(config(server), said.append), GitHub)
