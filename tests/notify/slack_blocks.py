"""What Slack finds wrong with blocks and views, in the words that it uses for it.

By https://docs.slack.dev/reference/block-kit/blocks (section, header, context, actions, image, divider, input),
…/block-elements (button, plain-text input, static select, radio buttons), …/composition-objects (text, confirmation
dialog, option) and https://docs.slack.dev/reference/views/modal-views, read in November 2026. That all text of a
message's blocks may not pass some 13,200 characters is no page's word: it is what
https://github.com/slackapi/bolt-js/issues/2509 measured.
"""

import re
from collections.abc import Iterator
from typing import Any

type Body = dict[str, Any]

MESSAGE, MODAL = "message", "modal"
BLOCKS = {MESSAGE: 50, MODAL: 100}
ALL_TEXT = 13_200
_KINDS = {
    MESSAGE: ("section", "header", "context", "actions", "divider", "image", "rich_text"),
    MODAL: ("section", "header", "context", "actions", "divider", "image", "rich_text", "input"),
}


def problems(blocks: object, surface: str = MESSAGE) -> list[str]:
    """As in `errors` of the answer: "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        return ["failed to match all allowed schemas [json-pointer:/blocks]"]
    found = []
    if len(blocks) > BLOCKS[surface]:
        found.append(f"no more than {BLOCKS[surface]} items allowed [json-pointer:/blocks]")
    names = set()
    for number, block in enumerate(blocks):
        where = f"/blocks/{number}"
        found += _block(block, where, surface)
        if name := block.get("block_id"):
            if len(name) > 255:
                found.append(_longer(255, f"{where}/block_id"))
            if name in names:
                found.append(f"block_id already exists: {name} [json-pointer:{where}/block_id]")
            names.add(name)
    return found


def is_too_long(blocks: list[Body]) -> bool:
    """`msg_blocks_too_long`."""
    return sum(len(text) for text in _texts(blocks)) > ALL_TEXT


def view_problems(view: object) -> list[str]:
    if not isinstance(view, dict):
        return ["must be a json object [json-pointer:/view]"]
    found = [f"missing required field: {key} [json-pointer:/view]" for key in ("type", "blocks") if key not in view]
    if view.get("type") != MODAL:
        found.append("unsupported type [json-pointer:/view/type]")
    for key in ("title", "submit", "close"):
        if key == "title" or key in view:
            found += _text(view.get(key), f"/view/{key}", 24, plain=True)
    for key, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if len(view.get(key, "")) > most:
            found.append(_longer(most, f"/view/{key}"))
    blocks = view.get("blocks", [])
    if "submit" not in view and any(block.get("type") == "input" for block in blocks):
        found.append("missing required field: submit [json-pointer:/view]")
    return found + [each.replace("json-pointer:", "json-pointer:/view") for each in problems(blocks, MODAL)]


def elements(block: Body) -> Iterator[Body]:
    """Everything in a block that somebody can press, choose or fill in."""
    each = [block.get("accessory"), block.get("element"), *block.get("elements", ())]
    yield from (one for one in each if isinstance(one, dict) and "action_id" in one)


def _block(block: Body, where: str, surface: str) -> list[str]:
    kind = block.get("type")
    if kind not in _KINDS[surface]:
        return [f"unsupported type: {kind} [json-pointer:{where}/type]"]
    match kind:
        case "section":
            return _section(block, where)
        case "header":
            return _text(block.get("text"), f"{where}/text", 150, plain=True)
        case "context":
            return _context(block, where)
        case "actions":
            return _actions(block, where)
        case "image":
            found = [] if block.get("image_url") or block.get("slack_file") else [_missing("image_url", where)]
            return found if 0 < len(block.get("alt_text", "")) <= 2000 else [*found, _missing("alt_text", where)]
        case "input":
            found = _text(block.get("label"), f"{where}/label", 2000, plain=True)
            if "hint" in block:
                found += _text(block["hint"], f"{where}/hint", 2000, plain=True)
            return found + _element(block.get("element"), f"{where}/element", ("button",), inside="input")
    return []


def _section(block: Body, where: str) -> list[str]:
    found = []
    if "text" not in block and "fields" not in block:
        found.append(f"must define either `fields` or `text` [json-pointer:{where}]")
    if "text" in block:
        found += _text(block["text"], f"{where}/text", 3000)
    fields = block.get("fields", [None])
    if not 1 <= len(fields) <= 10:
        found.append(f"no more than 10 items allowed [json-pointer:{where}/fields]")
    for number, field in enumerate(block.get("fields", ())):
        found += _text(field, f"{where}/fields/{number}", 2000)
    if "accessory" in block and block["accessory"].get("type") != "image":
        found += _element(block["accessory"], f"{where}/accessory", ())
    return found


def _context(block: Body, where: str) -> list[str]:
    parts = block.get("elements", [])
    if not 1 <= len(parts) <= 10:
        return [f"no more than 10 items allowed [json-pointer:{where}/elements]"]
    found = []
    for number, part in enumerate(parts):
        if part.get("type") == "image":
            found += [] if part.get("alt_text") else [_missing("alt_text", f"{where}/elements/{number}")]
        else:
            found += _text(part, f"{where}/elements/{number}", 3000)
    return found


def _actions(block: Body, where: str) -> list[str]:
    parts = block.get("elements", [])
    if not 1 <= len(parts) <= 25:
        return [f"no more than 25 items allowed [json-pointer:{where}/elements]"]
    found = [e for n, part in enumerate(parts) for e in _element(part, f"{where}/elements/{n}", ("plain_text_input",))]
    return found + [
        f"action_id already exists: {one} [json-pointer:{where}]" for one in _twice([e.get("action_id") for e in parts])
    ]


def _element(element: object, where: str, refused: tuple[str, ...], inside: str = "") -> list[str]:
    if not isinstance(element, dict):
        return [_missing("element", where)]
    found = []
    if len(element.get("action_id", "")) > 255:
        found.append(_longer(255, f"{where}/action_id"))
    match element.get("type"):
        case kind if kind in refused:
            found.append(f"unsupported type: {kind} [json-pointer:{where}/type]")
        case "button":
            found += _text(element.get("text"), f"{where}/text", 75, plain=True)
            if len(element.get("value", "")) > 2000:
                found.append(_longer(2000, f"{where}/value"))
            if len(element.get("url", "")) > 3000:
                found.append(_longer(3000, f"{where}/url"))
            if element.get("style", "primary") not in ("primary", "danger"):
                found.append(f"failed to match all allowed schemas [json-pointer:{where}/style]")
            if "confirm" in element:
                found += _confirm(element["confirm"], f"{where}/confirm")
        case "plain_text_input":
            if element.get("max_length", 3000) > 3000:
                found.append(f"must be less than 3001 [json-pointer:{where}/max_length]")
            if "placeholder" in element:
                found += _text(element["placeholder"], f"{where}/placeholder", 150, plain=True)
        case "static_select" | "radio_buttons" as kind:
            most = 100 if kind == "static_select" else 10
            options = element.get("options", [])
            if not 1 <= len(options) <= most:
                found.append(f"no more than {most} items allowed [json-pointer:{where}/options]")
            for number, option in enumerate(options):
                found += _text(option.get("text"), f"{where}/options/{number}/text", 75, plain=kind == "static_select")
                if not 0 < len(option.get("value", "")) <= 150:
                    found.append(_longer(150, f"{where}/options/{number}/value"))
            if "initial_option" in element and element["initial_option"] not in options:
                found.append(f"initial_option must exactly match an option [json-pointer:{where}/initial_option]")
        case kind:
            found.append(f"unsupported type: {kind} [json-pointer:{where}/type]")
    if "action_id" not in element and inside:
        found.append(_missing("action_id", where))
    return found


def _confirm(dialog: Body, where: str) -> list[str]:
    found = []
    for key, most, plain in (("title", 100, True), ("text", 300, False), ("confirm", 30, True), ("deny", 30, True)):
        found += _text(dialog.get(key), f"{where}/{key}", most, plain=plain)
    return found


def _text(text: object, where: str, most: int, *, plain: bool = False) -> list[str]:
    if not isinstance(text, dict) or not isinstance(text.get("text"), str):
        return [_missing("text", where)]
    if text.get("type") not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
        return [f"unsupported type: {text.get('type')} [json-pointer:{where}/type]"]
    if unknown := set(text) - {"type", "text", "emoji" if text["type"] == "plain_text" else "verbatim"}:
        return [f"additional property: {', '.join(sorted(unknown))} [json-pointer:{where}]"]
    if not text["text"]:
        return [f"must be more than 0 characters [json-pointer:{where}/text]"]
    return [_longer(most, f"{where}/text")] if len(text["text"]) > most else []


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("text"), str):
            yield part["text"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _texts(each)


def _twice(names: list[Any]) -> list[Any]:
    return sorted({name for name in names if name is not None and names.count(name) > 1}, key=str)


def _longer(most: int, where: str) -> str:
    return f"must be less than {most + 1} characters [json-pointer:{where}]"


def _missing(key: str, where: str) -> str:
    return f"missing required field: {key} [json-pointer:{where}]"


def parsed(blocks: object) -> list[str]:
    """The texts in which Slack itself looks for names of channels and people, and for addresses: mrkdwn that is not
    verbatim (…/composition-objects/text-object)."""
    if isinstance(blocks, dict):
        found = [blocks["text"]] if blocks.get("type") == "mrkdwn" and not blocks.get("verbatim") else []
        blocks = list(blocks.values())
    else:
        found = []
    return found + [text for each in blocks for text in parsed(each)] if isinstance(blocks, list) else found


def mentions(text: str) -> list[str]:
    """Whom a text rings up: ids of people and groups, and `here`, `channel`, `everyone`."""
    return re.findall(r"<(?:@|!subteam\^|!)([A-Za-z0-9]+)(?:\|[^>]*)?>", text)
