"""Who is on call by Opsgenie, against a stand-in that holds to its documented API."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator

import pytest
from opsgenie_server import OpsgenieServer

from gameday.coverage.on_call import Acknowledgement, Acknowledging, OnCallError, OnCallSource, open_on_call
from gameday.journal.events import OnCallInfo
from gameday.spec.model import Credentials, Environment, EnvironmentKind, OnCallConfig

NOW = 1772712000.0  # 2026-03-05 12:00:00 UTC
DAY_S = 86400.0
HOLE = (NOW + 3 * DAY_S, NOW + 3 * DAY_S + 90 * 60)
ALONE = "a schedule is one level: name an escalation to see the others"


@pytest.fixture
def server() -> Iterator[OpsgenieServer]:
    with OpsgenieServer(now=NOW) as server:
        server.schedules = {
            "c569c016": (
                "Checkout primary",
                [
                    ("ada@shop", NOW - 5 * DAY_S, NOW + 2 * DAY_S),
                    ("grace@shop", NOW + 2 * DAY_S, HOLE[0]),
                    ("none", *HOLE),
                    ("grace@shop", HOLE[1], NOW + 60 * DAY_S),
                ],
            ),
            "d875a1b4": ("Checkout secondary", [("joan@shop", NOW - 90 * DAY_S, NOW + 900 * DAY_S)]),
        }
        server.escalations = {
            "e1": (
                "Checkout",
                [
                    (15, "schedule", "d875a1b4", "default"),
                    (0, "schedule", "c569c016", "default"),
                    (30, "user", "lead@shop", "default"),
                    (30, "team", "payments", "all"),
                ],
            )
        }
        yield server


def ask[T](
    server: OpsgenieServer,
    question: Callable[[OnCallSource], Coroutine[None, None, T]],
    *,
    within_s: float = 14 * DAY_S,
    timeout_s: float = 10.0,
) -> T:
    async def run() -> T:
        credentials = Credentials(token="k3y-of-ours")
        config = OnCallConfig("opsgenie", server.url, within_s=within_s, timeout_s=timeout_s, credentials=credentials)
        source = open_on_call(Environment("test", EnvironmentKind.DECLARED, on_call=config))
        assert source
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def look_up(server: OpsgenieServer, schedule: str | None, now: float = NOW, **settings: float) -> OnCallInfo:
    return ask(server, lambda source: source.look_up("checkout", schedule, now), **settings)


def acknowledged(server: OpsgenieServer, since: float = NOW) -> tuple[Acknowledgement, ...]:
    async def question(source: OnCallSource) -> tuple[Acknowledgement, ...]:
        assert isinstance(source, Acknowledging)
        return await source.acknowledgements(since)

    return ask(server, question)


@pytest.mark.parametrize("name", ["Checkout primary", "c569c016"])
def test_a_schedule_by_id_or_name(server: OpsgenieServer, name: str) -> None:
    info = look_up(server, name)
    assert (info.people, info.until, info.holes) == ((("ada@shop",),), NOW + 2 * DAY_S, (HOLE,))
    assert (info.source, info.schedule, info.detail) == ("opsgenie", "Checkout primary", ALONE)


@pytest.mark.parametrize("name", ["Checkout", "e1"])
def test_an_escalation_has_a_level_for_each_delay(server: OpsgenieServer, name: str) -> None:
    info = look_up(server, name)
    assert info.people == (("ada@shop",), ("joan@shop",), ("lead@shop", "all of team payments"))
    assert (info.until, info.holes, info.detail) == (NOW + 2 * DAY_S, (HOLE,), "")


def test_the_service_names_it_where_nothing_else_does(server: OpsgenieServer) -> None:
    server.schedules["c569c016"] = ("checkout", server.schedules["c569c016"][1])
    assert look_up(server, None).people == (("ada@shop",),)


def test_who_is_always_there_makes_no_hole(server: OpsgenieServer) -> None:
    rules = server.escalations["e1"][1]
    server.escalations["e1"] = ("Checkout", [*rules, (0, "user", "lead@shop", "default")])
    info = look_up(server, "Checkout")
    assert info.people
    assert info.people[0] == ("ada@shop", "lead@shop")
    assert (info.until, info.holes) == (NOW + 2 * DAY_S, ())


def test_nobody_now(server: OpsgenieServer) -> None:
    info = look_up(server, "Checkout primary", HOLE[0] + 60)
    assert (info.people, info.holes[0]) == (((),), (HOLE[0] + 60, HOLE[1]))
    assert info.until == HOLE[1]


def test_of_now_who_is_on_call_is_the_better_witness(server: OpsgenieServer) -> None:
    server.troubles["/v2/schedules/c569c016/on-calls"] = b'{"data": {"onCallRecipients": ["ada@shop"]}}'
    info = look_up(server, "Checkout primary", HOLE[0] + 60)
    assert (info.people, info.holes) == ((("ada@shop",),), ())


def test_a_disabled_schedule_pages_nobody(server: OpsgenieServer) -> None:
    server.disabled.add("c569c016")
    info = look_up(server, "Checkout primary")
    assert (info.people, info.holes) == (((),), ((NOW, NOW + 14 * DAY_S),))
    assert info.detail == f"{ALONE}; the schedule Checkout primary is disabled"


def test_a_timeline_that_ends_sooner_is_no_hole(server: OpsgenieServer) -> None:
    server.longest_days = 7
    info = look_up(server, "Checkout secondary", within_s=30 * DAY_S)
    assert (info.people, info.holes) == ((("joan@shop",),), ())
    assert info.detail == f"{ALONE}; Opsgenie shows the schedule until 2026-03-12T00:00:00Z only"


def test_the_whole_time_ahead_is_asked_for(server: OpsgenieServer) -> None:
    late = (NOW + 13.9 * DAY_S, NOW + 13.95 * DAY_S)
    server.schedules["d875a1b4"] = ("S", [("a", 0, late[0]), ("b", late[1], NOW + 99 * DAY_S)])
    assert look_up(server, "S").holes == (late,)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Checkout primry", "there is nothing called `Checkout primry`; did you mean `Checkout primary`?"),
        ("zzz", "there is nothing called `zzz`"),
    ],
)
def test_a_name_that_is_not_there(server: OpsgenieServer, name: str, said: str) -> None:
    info = look_up(server, name)
    assert (info.people, info.detail) == (None, said)


def test_a_name_that_means_two_things(server: OpsgenieServer) -> None:
    server.escalations["e1"] = ("Checkout primary", [])
    said = "`Checkout primary` is a schedule (c569c016) and an escalation (e1): name the one that is meant by its id"
    assert look_up(server, "Checkout primary").detail == said
    assert look_up(server, "e1").detail == "Opsgenie's escalation `Checkout primary` has no rules"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (401, "Opsgenie does not take the key: HTTP 401 (as the test wants it)"),
        (402, "Opsgenie answers HTTP 402 at /v2/schedules/c569c016/timeline (as the test wants it)"),
        (
            403,
            "Opsgenie does not let the key see /v2/schedules/c569c016/timeline: HTTP 403 (as the test wants it); it ",
        ),
        (404, "Opsgenie has nothing at /v2/schedules/c569c016/timeline: HTTP 404"),
        (429, "Opsgenie has been asked more often than it allows: HTTP 429 (as the test wants it)"),
        (503, "Opsgenie answers HTTP 503 at /v2/schedules/c569c016/timeline (as the test wants it)"),
        (b"not JSON", "Opsgenie's answer at /v2/schedules/c569c016/timeline is not as expected: JSON is malformed"),
        (b'{"data": {"endDate": "soon"}}', "Opsgenie's answer at /v2/schedules/c569c016/timeline is not as expected: "),
        (
            b'{"data": {"endDate": "2026-03-12T00:00:00"}}',
            "Opsgenie's answer at /v2/schedules/c569c016/timeline is not ",
        ),
        (0.9, "Opsgenie cannot be asked: no answer within 0.5 s"),
        (None, "Opsgenie cannot be asked: the server closed the connection"),
    ],
)
def test_what_goes_wrong_is_said(server: OpsgenieServer, trouble: int | bytes | float | None, said: str) -> None:
    server.troubles["/v2/schedules/c569c016/timeline"] = trouble
    info = look_up(server, "Checkout", timeout_s=0.5 if isinstance(trouble, float) else 10.0)
    assert (info.people, info.until, info.holes) == (None, None, ())
    assert info.detail.startswith(said)


def test_the_permission_that_is_wanting_is_named(server: OpsgenieServer) -> None:
    server.troubles["/v2/"] = 403
    assert look_up(server, "Checkout").detail.endswith("it needs read access and configuration access")
    with pytest.raises(OnCallError, match=r"it needs read access$"):
        acknowledged(server)


def test_who_has_acknowledged_and_when(server: OpsgenieServer) -> None:
    server.acknowledge(server.alert("[FIRING:1] Old", NOW - 60), "ada@shop", NOW)
    alert = server.alert("[FIRING:1] PaymentsDown (checkout)", NOW + 1, "shop", alias="group-1")
    server.alert("[FIRING:1] Ignored", NOW + 2)
    assert acknowledged(server) == ()
    server.acknowledge(alert, "ada@shop", NOW + 11.5)
    text = "[FIRING:1] PaymentsDown (checkout) group-1 shop"
    assert acknowledged(server) == (Acknowledgement(text, "ada@shop", NOW + 11.5),)


def test_one_that_has_been_closed_says_it_in_its_report(server: OpsgenieServer) -> None:
    alert = server.alert("PaymentsDown", NOW, alias="a")
    server.acknowledge(alert, "ada@shop", NOW + 3)
    alert.update({"status": "closed", "acknowledged": False})
    assert acknowledged(server) == (Acknowledgement("PaymentsDown a", "ada@shop", NOW + 3.0),)


def test_one_whose_report_has_no_name_is_its_owner_s(server: OpsgenieServer) -> None:
    alert = server.alert("PaymentsDown", NOW, alias="a")
    alert.update({"acknowledged": True, "owner": "grace@shop", "report": {}})
    assert acknowledged(server) == (Acknowledgement("PaymentsDown a", "grace@shop", None),)
    alert["owner"] = ""
    assert [one.by for one in acknowledged(server)] == ["somebody"]


def test_many_alerts_come_in_pages(server: OpsgenieServer) -> None:
    for n in range(230):
        server.acknowledge(server.alert(f"A{n}", NOW + n), "ada@shop", NOW + n)
    assert len(acknowledged(server)) == 230
    assert [one.one("offset") for one in server.requests] == ["0", "100", "200"]


def test_pages_without_end_are_given_up(server: OpsgenieServer) -> None:
    server.troubles["/v2/alerts"] = (
        b'{"data": [{"createdAt": "2026-03-05T12:00:00Z", "acknowledged": true}], "paging": {"next": "/again"}}'
    )
    assert len(acknowledged(server)) == 10


@pytest.mark.parametrize("status", [401, 429, 500])
def test_acknowledgements_that_cannot_be_asked_for(server: OpsgenieServer, status: int) -> None:
    server.troubles["/v2/alerts"] = status
    with pytest.raises(OnCallError, match=f"HTTP {status}"):
        acknowledged(server)
