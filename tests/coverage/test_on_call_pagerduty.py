"""Who is on call by PagerDuty, against a stand-in that holds to its documented API."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator

import pytest
from pagerduty_server import PagerDutyServer

from gameday.coverage.on_call import Acknowledgement, Acknowledging, OnCallError, OnCallSource, open_on_call
from gameday.journal.events import OnCallInfo
from gameday.spec.model import Credentials, Environment, EnvironmentKind, OnCallConfig

NOW = 1772712000.0  # 2026-03-05 12:00:00 UTC
HOUR_S, DAY_S = 3600.0, 86400.0


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer(now=NOW) as server:
        hole = (NOW + 3 * DAY_S, NOW + 3 * DAY_S + 90 * 60)
        server.schedules = {
            "PSCHED1": (
                "Checkout primary",
                [
                    ("Ada", NOW - 5 * DAY_S, NOW + 2 * DAY_S),
                    ("Grace", NOW + 2 * DAY_S, hole[0]),
                    ("Grace", hole[1], NOW + 30 * DAY_S),
                ],
            ),
            "PSCHED2": ("Checkout secondary", [("Joan", NOW - 100 * DAY_S, NOW + 400 * DAY_S)]),
            "PEMPTY1": ("Night", []),
        }
        server.policies = {
            "PPOLICY": ("Checkout", [["PSCHED1"], ["PSCHED2"], ["Lead", "Boss"]]),
            "PALONE1": ("Alone", [["PSCHED2"]]),
            "PNIGHT1": ("Night policy", [["PEMPTY1"], ["Lead"]]),
        }
        server.services = {"PSERVIC": ("checkout", "PPOLICY")}
        yield server


def config(
    server: PagerDutyServer, *, within_s: float = 14 * DAY_S, timeout_s: float = 10.0, key: str | None = None
) -> OnCallConfig:
    credentials = Credentials(token=server.key if key is None else key)
    return OnCallConfig("pagerduty", url=server.url, within_s=within_s, timeout_s=timeout_s, credentials=credentials)


def open_source(config: OnCallConfig) -> OnCallSource:
    source = open_on_call(Environment("test", EnvironmentKind.DECLARED, on_call=config))
    assert source
    return source


def ask[T](config: OnCallConfig, question: Callable[[OnCallSource], Coroutine[None, None, T]]) -> T:
    async def run() -> T:
        source = open_source(config)
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def look_up(server: PagerDutyServer, schedule: str | None, now: float = NOW, **settings: float | str) -> OnCallInfo:
    given = config(server, **settings)  # type: ignore[arg-type]
    return ask(given, lambda source: source.look_up("checkout", schedule, now))


def acknowledged(server: PagerDutyServer, since: float = NOW) -> tuple[Acknowledgement, ...]:
    async def question(source: OnCallSource) -> tuple[Acknowledgement, ...]:
        assert isinstance(source, Acknowledging)
        return await source.acknowledgements(since)

    return ask(config(server), question)


@pytest.mark.parametrize("name", ["Checkout", "PPOLICY", "checkout", "PSERVIC", None])
def test_a_policy_or_a_service_by_id_or_name(server: PagerDutyServer, name: str | None) -> None:
    info = look_up(server, name)
    assert info.people == (("Ada",), ("Joan",), ("Lead", "Boss"))
    assert info.until == NOW + 2 * DAY_S
    assert info.holes == ((NOW + 3 * DAY_S, NOW + 3 * DAY_S + 90 * 60),)
    assert (info.source, info.service, info.detail) == ("pagerduty", "checkout", "")
    kind = "services/PSERVIC" if name in ("checkout", "PSERVIC", None) else "escalation_policys/PPOLICY"
    assert info.url == f"https://shop.pagerduty.example/{kind}"
    assert info.schedule == ("checkout" if kind.startswith("services") else "Checkout")


@pytest.mark.parametrize("name", ["Checkout primary", "PSCHED1"])
def test_a_schedule_is_one_level(server: PagerDutyServer, name: str) -> None:
    info = look_up(server, name)
    assert (info.people, info.until) == ((("Ada",),), NOW + 2 * DAY_S)
    assert info.holes == ((NOW + 3 * DAY_S, NOW + 3 * DAY_S + 90 * 60),)
    assert info.detail == "a schedule is one level: name its escalation policy (Checkout) to see the others"
    assert info.schedule == "Checkout primary"


def test_the_shifts_of_a_schedule_are_cut_where_they_are_asked_for_and_make_no_hole(server: PagerDutyServer) -> None:
    info = look_up(server, "Checkout secondary", NOW + 0.7)
    assert (info.people, info.until, info.holes) == ((("Joan",),), None, ())


def test_a_level_at_which_nobody_is_on_call(server: PagerDutyServer) -> None:
    info = look_up(server, "Night policy")
    assert (info.people, info.until, info.holes) == (((), ("Lead",)), None, ((NOW, NOW + 14 * DAY_S),))
    info = look_up(server, "Night")
    assert (info.people, info.holes) == (((),), ((NOW, NOW + 14 * DAY_S),))


def test_a_later_level_at_which_nobody_ever_is(server: PagerDutyServer) -> None:
    server.policies["PALONE1"] = ("Alone", [["PSCHED2"], ["PEMPTY1"]])
    assert look_up(server, "Alone").people == (("Joan",), ())


def test_somebody_who_is_always_on_call(server: PagerDutyServer) -> None:
    server.policies["PALONE1"] = ("Alone", [["Lead"]])
    info = look_up(server, "Alone")
    assert (info.people, info.until, info.holes) == ((("Lead",),), None, ())


def test_many_shifts_come_in_pages(server: PagerDutyServer) -> None:
    shifts = [(f"P{n % 3}", NOW + n * HOUR_S, NOW + (n + 1) * HOUR_S) for n in range(14 * 24) if n != 250]
    server.schedules["PSCHED1"] = ("Checkout primary", shifts)
    info = look_up(server, "Checkout")
    assert info.holes == ((NOW + 250 * HOUR_S, NOW + 251 * HOUR_S),)
    assert info.until == NOW + HOUR_S
    asked = [request.one("offset") for request in server.requests if request.path == "/oncalls"]
    assert asked == ["0", "100", "200", "300"]


def test_no_further_than_pagerduty_knows(server: PagerDutyServer) -> None:
    info = look_up(server, "Alone", within_s=300 * DAY_S)
    assert (info.people, info.holes) == ((("Joan",),), ())
    assert info.detail == "PagerDuty knows no further than 2136h ahead"


def test_a_name_that_is_not_there(server: PagerDutyServer) -> None:
    info = look_up(server, "Checkout primry")
    assert info.people is None
    assert info.detail == "there is nothing called `Checkout primry`; did you mean `Checkout primary`?"


def test_a_part_of_a_name_is_no_name(server: PagerDutyServer) -> None:
    assert look_up(server, "Alon").detail == "there is nothing called `Alon`; did you mean `Alone`?"


def test_a_name_that_means_two_things(server: PagerDutyServer) -> None:
    server.services["PSERVIC"] = ("Checkout", "PPOLICY")
    info = look_up(server, "Checkout")
    assert info.people is None
    assert info.detail == (
        "`Checkout` is an escalation policy (PPOLICY) and a service (PSERVIC): name the one that is meant by its id"
    )
    assert look_up(server, "PPOLICY").people


def test_nothing_is_named(server: PagerDutyServer) -> None:
    info = ask(config(server), lambda source: source.look_up(None, None, NOW))
    assert (info.people, server.requests) == (None, [])
    assert "neither the experiment's service" in info.detail


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (401, "PagerDuty does not take the key: HTTP 401 (as the test wants it)"),
        (403, "PagerDuty does not let the key see /oncalls: HTTP 403 (as the test wants it); it needs read access "),
        (404, "PagerDuty has nothing at /oncalls: HTTP 404"),
        (429, "PagerDuty has been asked more often than it allows: HTTP 429 (as the test wants it)"),
        (500, "PagerDuty answers HTTP 500 at /oncalls (as the test wants it)"),
        (b"<html>Log in</html>", "PagerDuty's answer at /oncalls is not as expected: JSON is malformed"),
        (b'{"oncalls": [{"escalation_level": "one"}]}', "PagerDuty's answer at /oncalls is not as expected: Expected"),
        (b'{"oncalls": ' + b"[" * 200_000, "PagerDuty's answer at /oncalls is not as expected: "),
        (b" " * (9 << 20), "PagerDuty cannot be asked: the answer is larger than"),
        (0.9, "PagerDuty cannot be asked: no answer within 0.5 s"),
        (None, "PagerDuty cannot be asked: the server closed the connection"),
    ],
)
def test_what_goes_wrong_is_said(server: PagerDutyServer, trouble: int | bytes | float | None, said: str) -> None:
    server.troubles["/oncalls"] = trouble
    info = look_up(server, "Checkout", timeout_s=0.5 if isinstance(trouble, float) else 10.0)
    assert (info.people, info.until, info.holes) == (None, None, ())
    assert info.detail.startswith(said)
    assert server.key not in info.detail


def test_the_permission_that_is_wanting_is_named(server: PagerDutyServer) -> None:
    server.troubles["/oncalls"] = 403
    assert "(oncalls.read, where it is an OAuth token)" in look_up(server, "Checkout").detail
    server.troubles = {"/escalation_policies": 403}
    assert "(escalation_policies.read, " in look_up(server, "Checkout").detail


def test_a_wrong_key_is_not_repeated(server: PagerDutyServer) -> None:
    info = look_up(server, "Checkout", key="another-k3y")
    assert info.detail == "PagerDuty does not take the key: HTTP 401 (this is not the key)"


def test_a_key_that_a_server_repeats_is_not_shown(server: PagerDutyServer) -> None:
    server.refusal = lambda status, message: {"message": f"no such key: {server.key}"}  # type: ignore[method-assign]
    server.troubles["/"] = 401
    assert look_up(server, "Checkout").detail == "PagerDuty does not take the key: HTTP 401 (no such key: …)"


def test_pages_without_end_are_given_up(server: PagerDutyServer) -> None:
    server.troubles["/oncalls"] = b'{"oncalls": [], "more": true}'
    said = look_up(server, "Checkout").detail
    assert said.startswith(("PagerDuty has more than 10000 records at /oncalls", "PagerDuty took longer than 40 s"))


def test_a_server_that_is_slow_every_time_is_not_waited_for(
    server: PagerDutyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.coverage.on_call.asking._DEADLINE", 0.5)
    server.troubles = {"/oncalls": 0.3}  # far from the 2 s that one request may take, also on a busy machine
    shifts = [("Ada", NOW + n * HOUR_S, NOW + (n + 1) * HOUR_S) for n in range(14 * 24 * 3)]
    server.schedules["PSCHED1"] = ("Checkout primary", shifts)
    assert look_up(server, "Checkout", within_s=60 * DAY_S, timeout_s=2.0).detail == "PagerDuty took longer than 1 s"


@pytest.mark.parametrize(("token", "url"), [(None, None), ("", None), ("key", "ftp://pager.example")])
def test_what_cannot_be_opened(token: str | None, url: str | None) -> None:
    with pytest.raises(OnCallError, match="token" if not token else "http"):
        open_source(OnCallConfig("pagerduty", url=url, credentials=Credentials(token=token)))


def test_who_has_acknowledged_and_when(server: PagerDutyServer) -> None:
    before = server.trigger("[FIRING:1] Old (checkout page)", NOW - 60)
    server.acknowledge(before, "Ada", NOW + 1)
    incident = server.trigger("[FIRING:1] PaymentsDown (checkout page)", NOW + 10)
    server.trigger("[FIRING:1] Ignored (checkout page)", NOW + 11)
    assert acknowledged(server) == ()
    server.acknowledge(incident, "Ada", NOW + 20.5)
    server.acknowledge(incident, "Grace", NOW + 30)
    text = "[FIRING:1] PaymentsDown (checkout page)"
    assert acknowledged(server) == (
        Acknowledgement(text, "Ada", NOW + 20.5),
        Acknowledgement(text, "Grace", NOW + 30.0),
    )


def test_every_alert_of_an_incident_is_acknowledged_with_it(server: PagerDutyServer) -> None:
    details = {
        "firing": "Labels:\n - alertname = PaymentsDown\n - severity = page\n",
        "num_firing": 1,
        "nested": [{"a": "b"}],
    }
    incident = server.trigger("Customers cannot pay", NOW, ("Customers cannot pay", details), ("Slow", "as text"))
    server.acknowledge(incident, "Ada", NOW + 5)
    first, second, third = (one.text for one in acknowledged(server))
    assert first == "Customers cannot pay"
    assert "alertname = PaymentsDown\n" in second
    assert "b" in second.split()
    assert third == "Slow as text"


def test_one_that_is_resolved_had_been_acknowledged(server: PagerDutyServer) -> None:
    incident = server.trigger("PaymentsDown", NOW)
    server.acknowledge(incident, "Ada", NOW + 5)
    server.resolve(incident, NOW + 60)
    never = server.trigger("Blip", NOW)
    server.resolve(never, NOW + 1)
    assert acknowledged(server) == (Acknowledgement("PaymentsDown", "Ada", NOW + 5.0),)


def test_what_cannot_change_is_asked_once(server: PagerDutyServer) -> None:
    resolved = server.trigger("Blip", NOW, ("Blip", None))
    server.acknowledge(resolved, "Ada", NOW + 1)
    server.resolve(resolved, NOW + 2)
    grouped = server.trigger("Many", NOW, ("One", None))
    server.acknowledge(grouped, "Ada", NOW + 1)

    async def question(source: OnCallSource) -> list[int]:
        assert isinstance(source, Acknowledging)
        found = []
        for _ in range(2):
            found.append(len(await source.acknowledgements(NOW)))
        server.add_alert(grouped, "Two", None)
        found.append(len(await source.acknowledgements(NOW)))
        return found

    assert ask(config(server), question) == [4, 4, 5]
    asked = [request.path for request in server.requests if request.path != "/incidents"]
    assert sorted(asked) == [
        f"/incidents/{resolved}/alerts",
        f"/incidents/{resolved}/log_entries",
        f"/incidents/{grouped}/alerts",
        f"/incidents/{grouped}/alerts",
    ]


def test_many_incidents_come_in_pages_the_latest_first(server: PagerDutyServer) -> None:
    for n in range(120):
        server.acknowledge(server.trigger(f"A{n}", NOW + n), "Ada", NOW + n)
    found = [one.text for one in acknowledged(server)]
    assert found == [f"A{n}" for n in range(119, 69, -1)]
    assert [one.one("offset") for one in server.requests if one.path == "/incidents"] == ["0", "100"]


def test_few_are_asked_for_at_once(server: PagerDutyServer) -> None:
    for n in range(30):
        server.acknowledge(server.trigger(f"A{n}", NOW + n), "Ada", NOW + n)
    server.troubles["/incidents/"] = 0.05
    assert len(acknowledged(server)) == 30
    assert 1 < server.most_at_once <= 8


@pytest.mark.parametrize(("status", "said"), [(403, "incidents.read"), (429, "more often"), (404, "HTTP 404")])
def test_acknowledgements_that_cannot_be_asked_for(server: PagerDutyServer, status: int, said: str) -> None:
    server.troubles["/incidents"] = status
    with pytest.raises(OnCallError, match=said):
        acknowledged(server)


def test_fields_that_are_null_are_as_good_as_absent(server: PagerDutyServer) -> None:
    server.troubles["/incidents/X/"] = b'{"alerts": [{"summary": null, "body": null}], "log_entries": []}'
    incident = {"id": "X", "status": "acknowledged", "title": None}
    acknowledgement = {
        "at": "2026-03-05T12:00:01Z",
        "acknowledger": {"id": "PU1", "type": "user_reference", "summary": None},
    }
    server.troubles["/incidents"] = json.dumps(
        {"incidents": [incident | {"acknowledgements": [acknowledgement]}]}
    ).encode()
    assert acknowledged(server) == ()
    incident["title"] = "PaymentsDown"
    server.troubles["/incidents"] = json.dumps(
        {"incidents": [incident | {"acknowledgements": [acknowledgement]}]}
    ).encode()
    assert acknowledged(server) == (Acknowledgement("PaymentsDown", "PU1", NOW + 1),)
