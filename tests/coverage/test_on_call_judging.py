"""What is said of who is on call, and which alert an acknowledgement is of."""

import pytest

from gameday.coverage.on_call import Acknowledgement
from gameday.coverage.on_call.judging import check_on_call, judge_on_call, match_acknowledgement
from gameday.journal.events import CheckOutcome, FindingKind, OnCallInfo

NOW = 1772712000.0  # 2026-03-05 12:00:00 UTC
HOUR_S, DAY_S = 3600.0, 86400.0
ALONE = "nobody is known to come after the first level"

type People = tuple[tuple[str, ...], ...]
type Holes = tuple[tuple[float, float], ...]
SOON: Holes = ((NOW + 29 * HOUR_S, NOW + 44.5 * HOUR_S),)
SOON_SAID = "from 2026-03-06 17:00 UTC to 2026-03-07 08:30 UTC (15h30m)"


def info(people: People | None, holes: Holes = (), *, until: float | None = None, detail: str = "") -> OnCallInfo:
    return OnCallInfo(service="checkout", source="file", people=people, holes=holes, until=until, detail=detail)


@pytest.mark.parametrize(
    ("on_call", "outcome", "detail"),
    [
        (info((("@ada", "@lin"), ("@joan",))), "ok", "@ada, @lin, then @joan"),
        (
            info((("@ada",), (), ("@joan",)), until=NOW + DAY_S),
            "ok",
            "@ada, then nobody, then @joan; the first level changes at 2026-03-06 12:00 UTC",
        ),
        (info((("@ada",),)), "ok", f"@ada; {ALONE}"),
        (info((("@ada",),), detail="a schedule is one level"), "ok", f"@ada; {ALONE}; a schedule is one level"),
        (info(None, detail="HTTP 500"), "warning", "who is on call is not known: HTTP 500"),
        (info(None), "warning", "who is on call is not known: its source does not say why"),
        (info(((),), ((NOW, NOW + DAY_S),)), "warning", f"nobody is on call until 2026-03-06 12:00 UTC; {ALONE}"),
        (info(((), ())), "warning", "nobody is on call"),
        (
            info(((), (), ("@lead",)), ((NOW - 5, NOW + DAY_S),)),
            "warning",
            "nobody of the first level is on call until 2026-03-06 12:00 UTC: @lead of level 3 would be paged; "
            "nobody, then nobody, then @lead",
        ),
        (
            info((("@ada",), ("@joan",)), SOON),
            "warning",
            f"nobody will be first on call {SOON_SAID}; @ada, then @joan",
        ),
    ],
)
def test_what_is_said_before(on_call: OnCallInfo, outcome: str, detail: str) -> None:
    result = check_on_call(on_call, NOW)
    assert (result.check, result.outcome, result.detail) == ("on-call checkout", CheckOutcome(outcome), detail)


def judged(on_call: OnCallInfo, now: float = NOW) -> list[tuple[str, str, bool]]:
    found = judge_on_call(on_call, now, "team-shop")
    assert all(one.kind is FindingKind.ON_CALL_HOLE for one in found)
    assert all(one.suggested_owner == "team-shop" for one in found)
    return [(one.title, one.detail, one.weakness) for one in found]


@pytest.mark.parametrize("people", [None, (("@ada",),), (("@ada",), ())])
def test_where_somebody_is_or_nothing_is_known_nothing_is_found(people: People | None) -> None:
    assert judged(info(people)) == []


def test_nobody_now_is_a_weakness() -> None:
    said = "nobody is on call until 2026-03-06 12:00 UTC"
    expected = [("Nobody is on call for checkout", f"{said}; {ALONE}", True)]
    assert judged(info(((),), ((NOW, NOW + DAY_S),))) == expected
    assert judged(info(((), ()), ((NOW, NOW + DAY_S),))) == [("Nobody is on call for checkout", said, True)]


def test_nobody_first_while_somebody_comes_after_is_advice() -> None:
    [(title, detail, weakness)] = judged(info(((), ("@joan",))))
    assert (title, weakness) == ("Nobody is first on call for checkout", False)
    assert detail == "nobody of the first level is on call: @joan of level 2 would be paged"


def test_a_hole_to_come_is_advice() -> None:
    title = "Nobody will be first on call for checkout from 2026-03-06 17:00 UTC"
    assert judged(info((("@ada",), ("@joan",)), SOON)) == [(title, SOON_SAID, False)]


def test_a_hole_that_has_come_since_is_a_weakness() -> None:
    assert [weakness for _, _, weakness in judged(info((("@ada",),), SOON), SOON[0][0])] == [True]
    assert judged(info((("@ada",),), SOON), SOON[0][1]) == []


def test_now_and_later() -> None:
    found = judged(info(((), ()), ((NOW, NOW + HOUR_S), *SOON)))
    assert [(title, weakness) for title, _, weakness in found] == [
        ("Nobody is on call for checkout", True),
        ("Nobody will be first on call for checkout from 2026-03-06 17:00 UTC", False),
    ]


def test_many_holes_are_not_all_named() -> None:
    holes = tuple((NOW + n * DAY_S, NOW + n * DAY_S + HOUR_S) for n in range(1, 15))
    [(_, detail, _)] = judged(info((("@ada",), ("@joan",)), holes))
    assert detail.count("from") == 5
    assert detail.endswith("2026-03-10 13:00 UTC (1h) and 9 times more, 14h in all")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[FIRING:1] PaymentsDown (checkout page)", "PaymentsDown"),
        ("alertname = PaymentsDown\n - severity = page", "PaymentsDown"),
        ("PaymentsDown", "PaymentsDown"),
        ("PaymentsDown: it is down", "PaymentsDown"),
        ("PaymentsDownForLong", None),
        ("MyPaymentsDown", None),
        ("PaymentsDown-us", None),
        ("PaymentsDown_2", None),
        ("PaymentsDown-eu is not PaymentsDown", "PaymentsDown-eu"),
        ("paymentsdown", None),
        ("The High\n  CPU alert", "High CPU"),
        ("c++ (1)", "c++ (1)"),
        ("", None),
    ],
)
def test_whole_words(text: str, name: str | None) -> None:
    names = ["PaymentsDown", "PaymentsDown-eu", "High CPU", "c++ (1)", "", " "]
    assert match_acknowledgement(Acknowledgement(text, "ada"), names) == name
