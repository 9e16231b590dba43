"""What people say will happen, and that beside what happened, builder against SRE. Pure; no I/O."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from gameday.journal.events import AlertPrediction, Outlook, PredictionInfo, PredictionMade, Role
from gameday.people.wording import say_signal
from gameday.spec.units import format_duration, parse_positive_duration


class Answer(StrEnum):
    """How a prediction turned out."""

    RIGHT = "right"
    WRONG = "wrong"
    OPEN = "open"  # they did not say, or were not sure, or nobody can tell


class Observed(msgspec.Struct, frozen=True):
    """What happened, as far as it can be told.

    `broke`: whether each condition of the hypothesis broke, by its signal; one that could not be read is absent.
    `fired_after_s`: alerts, in seconds after the injection, None for one that did not fire; one that nobody could have
    seen is absent. `users_noticed` is None where that cannot be told.
    """

    broke: Mapping[str, bool]
    fired_after_s: Mapping[str, float | None]
    users_noticed: bool | None


class Said(msgspec.Struct, frozen=True):
    """One person's word on one question. `stance` is what of it can be compared; empty where they said nothing."""

    author: str
    role: Role | None
    text: str
    stance: str
    answer: Answer


class Question(msgspec.Struct, frozen=True):
    """One question, what each said to it, and what happened. `differ`: builders and SREs did not say the same, or one
    side was right and the other wrong, as about how soon an alert fires."""

    text: str
    observed: str
    said: tuple[Said, ...]
    differ: bool


type _Word = tuple[str, str, bool | None]  # text, stance, whether it was right

_NOTHING: _Word = ("", "", None)


def parse_alert(name: str, text: str) -> AlertPrediction:
    """What is said of an alert: within which time it fires, or `never`. Raises UnitError."""
    if text.lower() in ("n", "never"):
        return AlertPrediction(name=name, fires=False)
    return AlertPrediction(name=name, fires=True, within_s=parse_positive_duration(text))


def say_prediction(prediction: PredictionInfo) -> str:
    """All of it in one sentence, for whoever has said it."""
    words = [f"{said.signal} {said.outlook}" for said in prediction.signals]
    for alert in prediction.alerts:
        within = f" within {format_duration(alert.within_s)}" if alert.within_s is not None else ""
        words.append(f"{alert.name} {'fires' if alert.fires else 'does not fire'}{within}")
    if prediction.users_notice is not None:
        words.append(f"users {'notice' if prediction.users_notice else 'notice nothing'}")
    return "; ".join([*words, *filter(None, [prediction.note])])


def latest(predictions: Iterable[PredictionMade], injected_at: float | None) -> tuple[PredictionMade, ...]:
    """The last that each person said before the injection, in the order in which they first spoke."""
    kept: dict[str, PredictionMade] = {}
    for event in predictions:
        if injected_at is None or event.at <= injected_at:
            kept[event.author] = event
    return tuple(kept.values())


def _tenths(seconds: float) -> str:
    return f"{seconds:.1f} s"


def compare(
    predictions: Sequence[PredictionMade], observed: Observed, say_time: Callable[[float], str] = _tenths
) -> tuple[Question, ...]:
    """Each question that anybody has answered: signals, then alerts, then whether users notice. `say_time` writes
    seconds as whatever shows them does elsewhere."""
    return tuple(_questions(predictions, observed, say_time))


def _questions(
    predictions: Sequence[PredictionMade], observed: Observed, say_time: Callable[[float], str]
) -> Iterator[Question]:
    for signal in dict.fromkeys(said.signal for event in predictions for said in event.prediction.signals):
        broke = observed.broke.get(signal)
        what = "could not be told" if broke is None else "it broke" if broke else "it held"
        words = [_of_signal(event.prediction, signal, broke) for event in predictions]
        yield _question(f"Will {say_signal(signal)} hold?", what, predictions, words)
    for name in dict.fromkeys(said.name for event in predictions for said in event.prediction.alerts):
        is_known, after_s = name in observed.fired_after_s, observed.fired_after_s.get(name)
        what = "it did not fire" if after_s is None else f"it fired after {say_time(after_s)}"
        words = [_of_alert(event.prediction, name, after_s, is_known=is_known) for event in predictions]
        yield _question(f"Will {name} fire?", what if is_known else "could not be told", predictions, words)
    if any(event.prediction.users_notice is not None for event in predictions):
        noticed = observed.users_noticed
        what = "could not be told" if noticed is None else "they did" if noticed else "they did not"
        words = [_of_users(event.prediction, noticed) for event in predictions]
        yield _question("Will users notice?", what, predictions, words)


def _of_signal(prediction: PredictionInfo, signal: str, broke: bool | None) -> _Word:
    said = next((said for said in prediction.signals if said.signal == signal), None)
    if said is None:
        return _NOTHING
    is_right = None if broke is None or said.outlook is Outlook.UNSURE else (said.outlook is Outlook.BREAKS) == broke
    words = {Outlook.HOLDS: "holds", Outlook.BREAKS: "breaks", Outlook.UNSURE: "not sure"}[said.outlook]
    return f"{words}: {said.note}" if said.note else words, said.outlook, is_right


def _of_alert(prediction: PredictionInfo, name: str, after_s: float | None, *, is_known: bool) -> _Word:
    said = next((said for said in prediction.alerts if said.name == name), None)
    if said is None:
        return _NOTHING
    in_time = after_s is not None and (said.within_s is None or after_s <= said.within_s)
    is_right = (in_time if said.fires else after_s is None) if is_known else None
    within = f" within {format_duration(said.within_s)}" if said.fires and said.within_s is not None else ""
    return ("fires" if said.fires else "does not fire") + within, "fires" if said.fires else "silent", is_right


def _of_users(prediction: PredictionInfo, noticed: bool | None) -> _Word:
    said = prediction.users_notice
    if said is None:
        return _NOTHING
    return "they do" if said else "they do not", str(said), None if noticed is None else said == noticed


def _question(text: str, observed: str, predictions: Sequence[PredictionMade], words: Sequence[_Word]) -> Question:
    said = tuple(
        Said(event.author, event.role, words_, stance, _answer(is_right))
        for event, (words_, stance, is_right) in zip(predictions, words, strict=True)
    )
    builders = [one for one in said if one.role is Role.BUILDER and one.stance]
    sres = [one for one in said if one.role is Role.SRE and one.stance]
    spoke = {one.stance for one in (*builders, *sres)}
    judged = {one.answer for one in (*builders, *sres)} >= {Answer.RIGHT, Answer.WRONG}
    return Question(text, observed, said, bool(builders and sres) and (len(spoke) > 1 or judged))


def _answer(is_right: bool | None) -> Answer:
    return Answer.OPEN if is_right is None else Answer.RIGHT if is_right else Answer.WRONG
