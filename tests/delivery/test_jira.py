"""Jira's issues in the cloud and in a data center, against a stand-in that holds to the documented API."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.delivery import Delivered, Issue, TrackerError, open_tracker
from gameday.delivery.jira import Jira, description_of, noformat
from gameday.delivery.push import Deed, Item, Pushed, Step, push
from gameday.delivery.unsettled import Unsettled
from gameday.spec.model import Credentials, TrackerConfig
from tests.delivery.jira_server import JiraServer
from tests.delivery.tracker_server import Answer, Trouble

ISSUE = Issue(
    "1a2b3c4d",
    "shop: ShopDown did not fire",
    "It did not fire within 10 s.",
    (("Service", "shop"), ("Suggested owner", "[~ada] *bold*")),
    "gameday run experiments/shop.yaml --env staging",
)


@pytest.fixture(params=["cloud", "data center"])
def server(request: pytest.FixtureRequest) -> Iterator[JiraServer]:
    with JiraServer(is_cloud=request.param == "cloud") as server:
        yield server


@pytest.fixture
def cloud() -> Iterator[JiraServer]:
    with JiraServer() as server:
        yield server


def config(server: JiraServer, **more: object) -> TrackerConfig:
    user = server.user if server.is_cloud else None
    read = TrackerConfig(
        "jira",
        server.url,
        project="SHOP",
        labels=("reliability",),
        timeout_s=10.0,
        credentials=Credentials(token=server.token, user=user),
    )
    return msgspec.structs.replace(read, **more)


said: list[str] = []


def ask[T](config: TrackerConfig, question: Callable[[Jira], Coroutine[None, None, T]]) -> T:
    async def run() -> T:
        tracker = Jira(config, said.append)
        try:
            return await question(tracker)
        finally:
            await tracker.close()

    said.clear()
    return asyncio.run(run())


def refusal(config: TrackerConfig, question: Callable[[Jira], Coroutine[None, None, object]]) -> TrackerError:
    with pytest.raises(TrackerError) as caught:
        ask(config, question)
    assert config.credentials.token not in str(caught.value)
    return caught.value


def test_made_and_found_again(server: JiraServer) -> None:
    made = ask(config(server), lambda jira: jira.create_issue(ISSUE))
    site = "https://acme.atlassian.net" if server.is_cloud else f"{server.url}/jira"
    assert made == Delivered("SHOP-1", f"{site}/browse/SHOP-1")
    fields = server.issues[0]["fields"]
    assert (fields["summary"], fields["issuetype"]) == ("shop: ShopDown did not fire", {"name": "Task"})
    assert fields["labels"] == ["gameday", "gameday-1a2b3c4d", "reliability"]
    assert "assignee" not in fields
    assert fields["description"] == (
        "{noformat}\nIt did not fire within 10 s.\n{noformat}\n\n"
        "{noformat}\nService: shop\nSuggested owner: [~ada] *bold*\n{noformat}\n\n"
        "To see whether it is still so:\n"
        "{noformat}\ngameday run experiments/shop.yaml --env staging\n{noformat}\n\n"
        "gameday knows this issue by its label beginning with gameday-: leave it in place."
    )
    assert ask(config(server), lambda jira: jira.find_issues(["1a2b3c4d", "other"])) == {"1a2b3c4d": (made,)}


def test_all_pages_of_all_searches(server: JiraServer) -> None:
    server.page_size = 7
    ids = [f"a{number}" for number in range(60)]
    for identity in [*ids, *ids]:
        server.add("x", "gameday", f"gameday-{identity}")
    found = ask(config(server), lambda jira: jira.find_issues(ids))
    assert {identity: [one.key for one in ones] for identity, ones in found.items()} == {
        f"a{number}": [f"SHOP-{number + 1}", f"SHOP-{number + 61}"] for number in range(60)
    }


def test_when_it_was_closed(server: JiraServer) -> None:
    for number in range(3):
        server.add("x", f"gameday-a{number}")
    server.move(server.issues[1], "Done", at=1772712000.0)
    server.move(server.issues[2], "In Progress")
    server.issues[2]["fields"]["resolutiondate"] = None
    found = ask(config(server), lambda jira: jira.find_issues(["a0", "a1", "a2"]))
    assert [(found[f"a{number}"][0].is_open, found[f"a{number}"][0].closed_at) for number in range(3)] == [
        *((True, None), (False, 1772712000.0), (True, None))
    ]


def test_closed_and_opened_anew(server: JiraServer) -> None:
    key = ask(config(server), lambda jira: jira.create_issue(ISSUE)).key
    ask(config(server), lambda jira: jira.close_issue(key, "not found any more, says [~ada]"))
    status = server.issues[0]["fields"]["status"]
    assert (status["name"], status["statusCategory"]["key"]) == ("Done", "done")
    ask(config(server), lambda jira: jira.reopen_issue(key, "it was found again"))
    assert server.issues[0]["fields"]["status"]["name"] == "To Do"
    assert server.comments[key] == [
        "Closed by gameday:\n{noformat}\nnot found any more, says [~ada]\n{noformat}",
        "Opened anew by gameday:\n{noformat}\nit was found again\n{noformat}",
    ]


def test_a_workflow_that_leads_nowhere(cloud: JiraServer) -> None:
    cloud.workflow = {"To Do": [("11", "Start", "In Progress")], "Done": [("31", "Take up", "In Progress")]}
    cloud.add("x")
    error = refusal(config(cloud), lambda jira: jira.close_issue("SHOP-1", "x"))
    assert str(error).startswith("SHOP-1 cannot be moved: of what its workflow offers now, nothing leads to a status")
    assert not error.stops
    cloud.move(cloud.issues[0], "Done")
    ask(config(cloud), lambda jira: jira.reopen_issue("SHOP-1", "x"))  # no status of "to do": then one in progress
    assert cloud.issues[0]["fields"]["status"]["name"] == "In Progress"


def test_assigned_only_when_told(server: JiraServer) -> None:
    account = "5b10" if server.is_cloud else "ada"
    ask(config(server), lambda jira: jira.create_issue(msgspec.structs.replace(ISSUE, assignee=account)))
    assert server.issues[0]["fields"]["assignee"] == ({"accountId": "5b10"} if server.is_cloud else {"name": "ada"})
    nobody = msgspec.structs.replace(ISSUE, assignee="nobody")
    error = refusal(config(server), lambda jira: jira.create_issue(nobody))
    assert str(error) == "Jira refuses it: HTTP 400 (assignee: User does not exist.)"
    assert (error.stops, error.uncertain) == (False, False)


def test_the_worst_is_within_the_limits(server: JiraServer) -> None:
    worst = Issue("1", "t\n" * 1000, "{noformat}" * 10_000, tuple(("name", "{" * 9999) for _ in range(8)))
    assert ask(config(server), lambda jira: jira.create_issue(worst)).key == "SHOP-1"
    assert len(server.issues[0]["fields"]["summary"]) == 254


@given(st.text(st.sampled_from("{}noformat\n*[~]!|\\- "), max_size=60))
def test_nothing_that_anybody_wrote_ends_its_block(text: str) -> None:
    assert noformat(text).count("{noformat}") == 2
    whole = description_of(msgspec.structs.replace(ISSUE, detail=text, facts=(("Owner", text),)))
    assert whole.count("{noformat}") == (6 if text.strip() else 4)


def test_a_token_that_is_not_taken_is_not_taken_for_an_empty_tracker(cloud: JiraServer) -> None:
    wrong = config(cloud, credentials=Credentials(token="ATATT-wrong", user=cloud.user))
    error = refusal(wrong, lambda jira: jira.find_issues(["a"]))
    assert str(error) == (
        "Jira does not let ada@acme.example's token at the project SHOP, or does not take it: it needs the permission "
        "BROWSE_PROJECTS and CREATE_ISSUES"
    )
    assert error.stops
    cloud.permissions = ("BROWSE_PROJECTS",)
    assert "needs the permission CREATE_ISSUES" in str(refusal(config(cloud), lambda jira: jira.find_issues(["a"])))


def test_the_real_refusals(server: JiraServer) -> None:
    other = config(server, project="OTHER")
    error = refusal(other, lambda jira: jira.find_issues(["a"]))
    assert str(error).startswith("Jira has no project OTHER at 127.0.0.1, or does not show it: HTTP 404 (No project")
    odd = config(server, issue_type="Saga")
    error = refusal(odd, lambda jira: jira.create_issue(ISSUE))
    assert str(error) == "Jira refuses it: HTTP 400 (issuetype: Specify a valid issue type)"
    error = refusal(config(server), lambda jira: jira.close_issue("SHOP-7", "x"))
    assert str(error).startswith("SHOP-7 is not there any more, or is not shown: HTTP 404 (Issue does not exist")
    assert not error.stops
    if not server.is_cloud:
        wrong = config(server, credentials=Credentials(token="wrong"))
        assert "Jira does not take the token: HTTP 401" in str(refusal(wrong, lambda jira: jira.find_issues(["a"])))


@pytest.mark.parametrize(
    ("answer", "said", "stops"),
    [
        (Answer(403, {"message": "CAPTCHA"}), "Jira does not let the token at SHOP: HTTP 403 (CAPTCHA)", True),
        (Answer(302, None, {"Location": "/login"}), "Jira is elsewhere, or asks for a login: HTTP 302", True),
        (Answer(500, "oops"), "Jira answers HTTP 500", True),
        (Answer(409, {"errorMessages": ["no"]}), "Jira answers HTTP 409 (no)", False),
        (Answer(200, ["odd"]), "Jira answers HTTP 200", True),
        (Answer(201, ["odd"]), "Jira's answer is not as expected", True),
        (None, "Jira: the server closed the connection without an answer", True),
    ],
)
def test_what_jira_refuses(cloud: JiraServer, answer: Answer | None, said: str, stops: bool) -> None:
    cloud.troubles = [Trouble("POST /rest/api/2/issue$", answer)]
    error = refusal(config(cloud), lambda jira: jira.create_issue(ISSUE))
    assert said in str(error)
    assert error.stops is stops
    assert error.uncertain is (answer is None or answer.status in (500, 200, 201))
    assert len(cloud.written()) == 1


def test_a_limit_is_waited_for(cloud: JiraServer) -> None:
    limited = Answer(429, {"errorMessages": ["Rate limit exceeded."]}, {"Retry-After": "1"})
    cloud.troubles = [Trouble("POST /rest/api/2/issue$", limited, times=1)]
    before = time.monotonic()
    assert ask(config(cloud), lambda jira: jira.create_issue(ISSUE)).key == "SHOP-1"
    assert 0.9 < time.monotonic() - before < 8.0
    assert said == ["Jira asks to wait 1s (HTTP 429)"]


def test_an_index_that_lags_behind_makes_no_second(cloud: JiraServer, tmp_path: Path) -> None:
    """Made, and the answer lost; the next push waits until the index knows it."""
    cloud.lag_s = 1.0
    cloud.troubles = [Trouble("POST /rest/api/2/issue$", None, carried_out=True, times=1)]
    unsettled = Unsettled(tmp_path / "unsettled")
    done: list[tuple[Deed, str]] = []

    def keep(step: Step, delivered: Delivered) -> None:
        done.append((step.deed, delivered.key))

    async def once(jira: Jira) -> Pushed:
        jira.lag_s = 1.5
        items = [Item(ISSUE, None, True, 0.0, "")]
        return await push(jira, items, unsettled, follow=False, tell=said.append, done=keep)

    first = ask(config(cloud), once)
    assert (first.failures, done) == (
        ((ISSUE.id, "Jira: the server closed the connection without an answer"),),
        [],
    )
    assert ask(config(cloud), once) == Pushed(done=1)
    assert (done, len(cloud.issues)) == ([(Deed.ADOPT, "SHOP-1")], 1)


def test_what_is_missing_is_said_before_anything_is_asked(cloud: JiraServer) -> None:
    for wrong in ({"credentials": Credentials()}, {"project": None}, {"url": None}, {"url": "x"}, {"labels": ("a b",)}):
        with pytest.raises(TrackerError):
            open_tracker(config(cloud, **wrong), said.append)
    jira = open_tracker(config(cloud), said.append)
    assert isinstance(jira, Jira)
    assert [jira.has(key) for key in ("SHOP-1", "shop-1", "SHOPS-1", "acme/shop#1")] == [True, True, False, False]
