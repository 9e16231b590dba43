"""What people said beside what happened: who was right, and where a builder and an SRE did not say the same."""

import pytest

from gameday.journal.events import AlertPrediction, Outlook, PredictionInfo, PredictionMade, Role, SignalPrediction
from gameday.people.predicting import Answer, Observed, compare, latest

ERRORS = "shop.errors.ratio"
HELD = Observed({ERRORS: False}, {"ShopDown": 12.4}, users_noticed=False)
BROKE = Observed({ERRORS: True}, {"ShopDown": None}, users_noticed=True)
DARK = Observed({}, {}, users_noticed=None)


def said(author: str, role: Role | None = None, at: float = 0.0, **prediction: object) -> PredictionMade:
    return PredictionMade(at=at, author=author, experiment=0, role=role, prediction=PredictionInfo(**prediction))  # type: ignore[arg-type]


def signal(outlook: str, note: str = "") -> dict[str, object]:
    return {"signals": (SignalPrediction(signal=ERRORS, outlook=Outlook(outlook), note=note),)}


def alert(*, fires: bool, within_s: float | None = None) -> dict[str, object]:
    return {"alerts": (AlertPrediction(name="ShopDown", fires=fires, within_s=within_s),)}


@pytest.mark.parametrize(
    ("prediction", "observed", "answer", "text"),
    [
        (signal("holds"), HELD, Answer.RIGHT, "holds"),
        (signal("holds", "retries"), BROKE, Answer.WRONG, "holds: retries"),
        (signal("breaks"), BROKE, Answer.RIGHT, "breaks"),
        (signal("breaks"), HELD, Answer.WRONG, "breaks"),
        (signal("unsure"), HELD, Answer.OPEN, "not sure"),
        (signal("breaks"), DARK, Answer.OPEN, "breaks"),
        (alert(fires=True, within_s=30.0), HELD, Answer.RIGHT, "fires within 30s"),
        (alert(fires=True, within_s=10.0), HELD, Answer.WRONG, "fires within 10s"),
        (alert(fires=True), HELD, Answer.RIGHT, "fires"),
        (alert(fires=True), BROKE, Answer.WRONG, "fires"),
        (alert(fires=False), BROKE, Answer.RIGHT, "does not fire"),
        (alert(fires=False), HELD, Answer.WRONG, "does not fire"),
        (alert(fires=False), DARK, Answer.OPEN, "does not fire"),
        ({"users_notice": True}, BROKE, Answer.RIGHT, "they do"),
        ({"users_notice": False}, BROKE, Answer.WRONG, "they do not"),
        ({"users_notice": True}, DARK, Answer.OPEN, "they do"),
    ],
)
def test_an_answer(prediction: dict[str, object], observed: Observed, answer: Answer, text: str) -> None:
    [question] = compare([said("@a", **prediction)], observed)
    assert [(one.text, one.answer) for one in question.said] == [(text, answer)]


def test_what_happened_is_said() -> None:
    everything = said("@a", **signal("holds"), **alert(fires=True), users_notice=True)
    assert [question.observed for question in compare([everything], HELD)] == [
        "it held",
        "it fired after 12.4 s",
        "they did not",
    ]
    assert [question.observed for question in compare([everything], BROKE)] == [
        "it broke",
        "it did not fire",
        "they did",
    ]
    assert {question.observed for question in compare([everything], DARK)} == {"could not be told"}


def test_where_builder_and_sre_differ() -> None:
    pair = [said("@b", Role.BUILDER, **signal("holds")), said("@s", Role.SRE, **signal("breaks"))]
    [question] = compare(pair, HELD)
    assert question.differ
    assert [one.answer for one in question.said] == [Answer.RIGHT, Answer.WRONG]


def test_they_differ_also_where_one_alone_was_right() -> None:
    """Both said that it would fire, and one of them too soon."""
    soon, later = (alert(fires=True, within_s=within) for within in (10.0, 20.0))
    [question] = compare([said("@b", Role.BUILDER, **soon), said("@s", Role.SRE, **later)], HELD)
    assert [one.answer for one in question.said] == [Answer.WRONG, Answer.RIGHT]
    assert question.differ
    [question] = compare([said("@b", Role.BUILDER, **soon), said("@s", Role.SRE, **later)], BROKE)
    assert not question.differ  # it did not fire: both were wrong


@pytest.mark.parametrize(
    "others",
    [
        said("@s", Role.SRE, **signal("holds", "for another reason")),
        said("@s", Role.SRE, users_notice=True),  # says nothing of it
        said("@o", None, **signal("breaks")),  # is neither
        said("@b2", Role.BUILDER, **signal("breaks")),
    ],
)
def test_where_they_do_not(others: PredictionMade) -> None:
    question = compare([said("@b", Role.BUILDER, **signal("holds")), others], HELD)[0]
    assert not question.differ


def test_the_last_word_before_the_injection_counts() -> None:
    events = [
        said("@b", at=1.0, users_notice=True),
        said("@s", at=2.0, users_notice=True),
        said("@b", at=3.0, users_notice=False),
        said("@s", at=9.0, users_notice=False),
        said("@late", at=9.0, users_notice=False),
    ]
    kept = latest(events, injected_at=5.0)
    assert [(event.author, event.prediction.users_notice) for event in kept] == [("@b", False), ("@s", True)]
    assert len(latest(events, injected_at=None)) == 3


def test_nothing_said_asks_nothing() -> None:
    assert compare([said("@a", note="we shall see")], HELD) == ()
    assert compare([], HELD) == ()
