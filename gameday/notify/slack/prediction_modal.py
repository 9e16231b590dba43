"""The modal in which somebody says what will happen in an experiment, and what they have written in it."""

import msgspec

from gameday.common.json import JsonObject
from gameday.common.texts import one_line
from gameday.journal.events import ConditionInfo, ExperimentInfo, Outlook, PredictionInfo, SignalPrediction
from gameday.notify.slack.blocks import quoted, section
from gameday.notify.slack.payloads import State
from gameday.people.predicting import parse_alert
from gameday.spec.units import UnitError

CALLBACK = "gameday_prediction"
_ACTION = "said"
_LONGEST = 1000  # characters of what is said in words
_LONGEST_LABEL, _LONGEST_TITLE = 150, 300
# Slack takes 100 blocks in a modal; around the questions there are up to four.
_MOST_SIGNALS, _MOST_ALERTS = 30, 30
_OUTLOOKS = ((Outlook.HOLDS, "holds"), (Outlook.BREAKS, "breaks"), (Outlook.UNSURE, "not sure"))
_USERS = (("yes", "they notice"), ("no", "they notice nothing"))


class Asked(msgspec.Struct, frozen=True):
    """Which experiment of which session a modal asks about: its private metadata."""

    session: str
    experiment: int


def view_of(asked: Asked, info: ExperimentInfo, left: int) -> JsonObject:
    """The modal for an experiment; `left` more are asked about after it.

    By https://docs.slack.dev/reference/views/modal-views and /reference/block-kit/blocks/input-block.
    """
    signals, alerts = _signals(info), _alerts(info)
    hint = "What you leave open is not said. Nobody is shown it until something has been injected."
    blocks: list[JsonObject] = [section(f"*{quoted(_cut(info.title, _LONGEST_TITLE))}*\n{hint}")]
    for number, condition in enumerate(signals[:_MOST_SIGNALS]):
        text = f"changes by {condition.text}" if condition.relative else condition.text
        blocks.append(_choice(f"signal-{number}", f"{condition.signal} {text}", _OUTLOOKS))
        blocks.append(_words(f"how-{number}", f"{condition.signal}: how, in words", "", _LONGEST))
    for number, name in enumerate(alerts[:_MOST_ALERTS]):
        blocks.append(_words(f"alert-{number}", f"{name}: after how long does it fire?", "30s, or never", 40))
    blocks.append(_choice("users", "Will users notice?", _USERS))
    blocks.append(_words("note", "Anything else, in words", "", _LONGEST))
    if len(signals) > _MOST_SIGNALS or len(alerts) > _MOST_ALERTS:
        blocks.append(section("There are more signals and alerts than fit here: `gameday predict` asks about all."))
    metadata = msgspec.json.encode(asked).decode()
    submit = "Keep" if not left else "Keep, and the next"
    return {**_modal(blocks), "callback_id": CALLBACK, "submit": _plain(submit), "private_metadata": metadata}


def kept_view(text: str) -> JsonObject:
    """What is shown when all has been said; `text` is mrkdwn."""
    return _modal([section(text)])


def asked_of(metadata: str) -> Asked | None:
    """What a modal has asked about; None of one that is not ours."""
    try:
        return msgspec.json.decode(metadata, type=Asked)
    except msgspec.DecodeError:
        return None


def read_prediction(info: ExperimentInfo, state: State) -> tuple[PredictionInfo, dict[str, str]]:
    """What was said, and by block what is wrong with it."""
    signals, alerts, wrong = [], [], {}
    outlooks = {str(outlook): outlook for outlook, _ in _OUTLOOKS}
    for number, condition in enumerate(_signals(info)[:_MOST_SIGNALS]):
        note = state.text(f"how-{number}")[:_LONGEST]
        if outlook := outlooks.get(state.text(f"signal-{number}")):
            signals.append(SignalPrediction(signal=condition.signal, outlook=outlook, note=note))
        elif note:
            wrong[f"signal-{number}"] = "Say also whether it holds, breaks, or that you are not sure."
    for number, name in enumerate(_alerts(info)[:_MOST_ALERTS]):
        if text := state.text(f"alert-{number}"):
            try:
                alerts.append(parse_alert(name, text))
            except UnitError as error:
                wrong[f"alert-{number}"] = f"Found {error.found}, expected {error.expected}, or never."
    users = {"yes": True, "no": False}.get(state.text("users"))
    said = PredictionInfo(
        signals=tuple(signals), alerts=tuple(alerts), users_notice=users, note=state.text("note")[:_LONGEST]
    )
    if said == PredictionInfo() and not wrong:
        wrong["note"] = "Nothing is said yet: answer at least one question."
    return said, wrong


def _signals(info: ExperimentInfo) -> list[ConditionInfo]:
    hypothesis = (condition for condition in info.conditions if condition.role == "hypothesis")
    return list({condition.signal: condition for condition in hypothesis}.values())


def _alerts(info: ExperimentInfo) -> list[str]:
    return list(dict.fromkeys(alert.name for alert in info.alerts))


def _modal(blocks: list[JsonObject]) -> JsonObject:
    return {"type": "modal", "title": _plain("What will happen?"), "close": _plain("Close"), "blocks": blocks}


def _choice(block: str, label: str, options: tuple[tuple[str, str], ...]) -> JsonObject:
    choices = [{"text": _plain(text), "value": str(value)} for value, text in options]
    return _input(block, label, {"type": "static_select", "action_id": _ACTION, "options": choices})


def _words(block: str, label: str, placeholder: str, longest: int) -> JsonObject:
    element: JsonObject = {"type": "plain_text_input", "action_id": _ACTION, "max_length": longest}
    return _input(block, label, {**element, "placeholder": _plain(placeholder)} if placeholder else element)


def _input(block: str, label: str, element: JsonObject) -> JsonObject:
    shown = _plain(_cut(label, _LONGEST_LABEL))
    return {"type": "input", "block_id": block, "optional": True, "label": shown, "element": element}


def _plain(text: str) -> JsonObject:
    return {"type": "plain_text", "text": text, "emoji": False}


def _cut(text: str, longest: int) -> str:
    text = one_line(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
