"""Inputs that nobody wrote: valid ones, changed byte by byte, word by word and value by value; and bombs."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml

# What YAML, JSON and our own small languages treat specially.
SPICE = (*"{}[]:,#&*!|>'\"%@`-?~<=$\\\t\n\r .0123456789smh", "<<: *a", "&a ", "*a", "---", "null")
_WORDS = (
    *SPICE, "...", "!!binary |", "!!python/object:os.system", "!!set", "%YAML 1.2\n", "? ", "|2-\n", ">9\n", "\ufeff",
    "NaN", ".nan", "-.inf", ".inf", "Infinity", "1e999", "-1e999", "1e-999", "9" * 20, "9" * 400, "0x7f", "0o17", "1_0",
    "190:20:30", "2001-01-01", "2001-13-45", "2001-12-14t21:59:43.10-05:00", "yes", "~", "\\u0000", "\\ud800", "\x00",
    "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\ufffe", "\U0010ffff", "é", "ﬀ", "😀", "${HOME}", "${", "${NONE}",
    "< 1%", "> 300ms", "<= -1", "50%", "101%", "0%", "1h30m", "9999999w", "0s", "-5s", "9" * 20 + "%", "10.10.10",
    "method:", "fault:", "target:", "type: probe", "provider:", "experiments:", "blast-radius:", "title: ", "service: ",
    "../../../../etc/passwd", "/dev/zero", "/", "a" * 3000, " " * 300, "\n" * 100, "[" * 150, "{a: " * 150, "- " * 150,
)  # fmt: skip
_NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 255, 1000, 10**6, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**25, 0.0, -0.0,
    0.5, 1e-9, 1e-320, 1e9, 1e15, 1e18, 1e300, 1.7e308, -1.7e308, float("nan"), float("inf"),
)  # fmt: skip
_TEXTS = (
    *(word for word in _WORDS if word.isprintable()), "", "\n", "x" * 5000, "a\x00b", "\x1b]0;x\x07", "]]>", "<!--",
    "&amp;", "</script>", "{{ 7*7 }}", "1", "held", "0.0.0", "null", "process/kill", "payments", "checkout",
)  # fmt: skip


def some(dice: random.Random, depth: int = 0) -> Any:
    """A JSON value of any kind."""
    kind = dice.randrange(8 if depth < 3 else 5)
    if kind < 2:
        return dice.choice(_NUMBERS)
    if kind < 4:
        return dice.choice(_TEXTS)
    if kind == 4:
        return dice.choice((None, True, False))
    size = dice.choice((0, 1, 1, 2, 3, 40))
    if kind == 5:
        return {dice.choice(_TEXTS)[:200]: some(dice, depth + 1) for _ in range(size)}
    return [some(dice, depth + 1) for _ in range(size)]


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value inside, and to itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in items for found in paths(inner, (*path, key)))]


def change_value(dice: random.Random, document: Any) -> None:
    """Put another value in one place, mostly one of the same kind; or take it away, repeat it, or rename its key."""
    ways = paths(document)[1:]
    if not ways:
        return
    *way, last = dice.choice(ways)
    holder = document
    for key in way:
        holder = holder[key]
    old = holder[last]
    action = dice.randrange(12)
    if action == 0:
        del holder[last]
    elif action == 1 and isinstance(holder, dict):
        holder[dice.choice((*_TEXTS, str(last)[:-1], str(last) + "s"))[:300]] = holder.pop(last)
    elif action == 2:
        holder[last] = [old] * dice.choice((1, 2, 200))
    elif action == 3 and isinstance(old, list):
        holder[last] = old * dice.choice((0, 2, 50))
    elif action in (4, 5):
        holder[last] = some(dice)
    elif isinstance(old, bool):
        holder[last] = not old
    elif isinstance(old, int | float):
        holder[last] = dice.choice(_NUMBERS)
    elif isinstance(old, str):
        at = dice.randrange(len(old) + 1)
        holder[last] = dice.choice((dice.choice(_TEXTS), old[:at] + dice.choice(_WORDS) + old[at:]))
    else:
        holder[last] = some(dice)


def change_bytes(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Flip, insert, take out, repeat, cut off; or go on with another input."""
    at = dice.randrange(len(data) + 1)
    size = dice.choice((1, 1, 2, 8, 60))
    match dice.randrange(7):
        case 0:
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + dice.randbytes(size) + data[at:]
        case 2:
            return data[:at] + data[at + size :]
        case 3:
            return data[:at] + data[at : at + size] * dice.choice((2, 3, 100)) + data[at + size :]
        case 4:
            return data[:at]
        case 5:
            other = dice.choice(others)
            return data[:at] + other[dice.randrange(len(other) + 1) :]
        case _:
            return data[at:] + data[:at]


def change_words(dice: random.Random, data: bytes) -> bytes:
    """Put a word with a meaning somewhere, or change the places of two that stand there."""
    words = re.findall(r"\w+|\s+|[^\w\s]", data.decode("utf-8", "replace")) or [""]
    at = dice.randrange(len(words))
    match dice.randrange(4):
        case 0:
            words.insert(at, dice.choice(_WORDS))
        case 1:
            words[at] = dice.choice(_WORDS)
        case 2:
            other = dice.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        case _:
            words[at] *= dice.choice((0, 2, 30))
    return "".join(words).encode("utf-8", "surrogatepass")


def as_text(dice: random.Random, document: Any, *, only_json: bool) -> bytes:
    """A document as JSON, perhaps with a key twice, or as YAML, perhaps with anchors."""
    if not only_json and dice.randrange(3) == 0:
        return yaml.dump(document, allow_unicode=dice.random() < 0.5, default_flow_style=dice.random() < 0.3).encode()
    text = json.dumps(document, ensure_ascii=dice.random() < 0.5)
    if dice.randrange(6) == 0 and (keys := re.findall(r'"[^"\\]*": ', text)):
        text = text.replace("{", "{" + dice.choice(keys) + json.dumps(some(dice)) + ",", 1)
    return text.encode("utf-8", "surrogatepass")


def mutate_json(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One input for what reads JSON."""
    return mutate_document(dice, seeds, only_json=True)


def mutate_document(dice: random.Random, seeds: Sequence[bytes], *, only_json: bool = False) -> bytes:
    """One input for what reads YAML."""
    data = dice.choice(seeds)
    if dice.randrange(150) == 0:
        return bomb(dice, data)
    how = dice.randrange(9)
    if how < 5:
        try:
            document = yaml.safe_load(data)
        except (yaml.YAMLError, UnicodeError, RecursionError):
            document = None
        if isinstance(document, dict):
            for _ in range(dice.choice((1, 1, 1, 2, 4))):
                change_value(dice, document)
            return as_text(dice, document, only_json=only_json)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        data = change_bytes(dice, data, seeds) if how < 7 else change_words(dice, data)
    return data


def mutate_text(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One input for what reads text of any kind."""
    data = dice.choice(seeds)
    if dice.randrange(150) == 0:
        return bomb(dice, data)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        data = change_bytes(dice, data, seeds) if dice.random() < 0.5 else change_words(dice, data)
    return data


def mutate_lines(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One input for what reads a JSON object a line: most of them stay readable."""
    lines = dice.choice(seeds).splitlines(keepends=True)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        if not lines:
            break
        at = dice.randrange(len(lines))
        match dice.randrange(10):
            case 0:
                del lines[at]
            case 1:
                lines.insert(dice.randrange(len(lines) + 1), lines[at])
            case 2:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = change_bytes(dice, lines[at], lines)
            case _:
                try:
                    event = json.loads(lines[at])
                except ValueError:
                    continue
                if isinstance(event, dict):
                    change_value(dice, event)
                lines[at] = json.dumps(event).encode() + b"\n"
    if dice.randrange(150) == 0:
        lines.insert(dice.randrange(len(lines) + 1), bomb(dice, b"{}") + b"\n")
    return b"".join(lines)


def bomb(dice: random.Random, data: bytes) -> bytes:
    """Something that is small, or barely not too large, and would be much if it were taken at its word."""
    return dice.choice(_BOMBS)(dice, data)


def _laughs(dice: random.Random, _: bytes) -> bytes:
    """https://en.wikipedia.org/wiki/Billion_laughs_attack, in YAML."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, dice.choice((3, 6, 12, 200)))]
    return "\n".join(lines).encode()


def _merges(dice: random.Random, data: bytes) -> bytes:
    size = dice.choice((5, 30, 400))
    lines = ["m0: &m0 {k0: 1}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join(f'*m{m}' for m in range(n))}], k{n}: 1}}" for n in range(1, size)]
    return "\n".join(lines).encode() + b"\n" + data


_BOMBS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _laughs,
    _merges,
    lambda dice, _: b"[" * dice.choice((90, 1000, 100_000)),
    lambda dice, _: b"[" * (depth := dice.choice((90, 101, 5000))) + b"]" * depth,
    lambda dice, _: b'{"a":' * (depth := dice.choice((90, 101, 5000))) + b"1" + b"}" * depth,
    lambda dice, _: b"{a: " * dice.choice((90, 5000)),
    lambda dice, _: b"- " * dice.choice((90, 5000)) + b"a",
    lambda _, data: data + b"\nlong: " + b"x" * (1024 * 1024 - len(data) - 20),
    lambda _, data: data + b'\nlong: "' + b"\\u00e9" * 170_000 + b'"',
    lambda _, data: data + b"\nlong: " + b"9" * 1_000_000,
    lambda _, __: b"1." + b"9" * 1_000_000,
    lambda _, data: data + b"\n" + b"\n".join(b"k%d: 1" % number for number in range(60_000)),
    lambda _, data: data + b"\n" + b"title: again\n" * 50_000,
    lambda _, data: data + b"\nlist: [" + b"a," * 400_000 + b"]",
    lambda _, data: data + b"\nmethod: [" + b"{fault: x}," * 60_000 + b"]",
    lambda _, data: data + b"\n#" + b"\xc3\xa9" * 500_000,
    lambda _, data: b"\n" * 1_000_000 + data,
    lambda _, data: data + b" " * 2_000_000,
    lambda _, data: data.replace(b"\n", b"\r"),
    lambda _, data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda _, __: b"\x00" * 1000,
    lambda _, data: b"\xef\xbb\xbf" * 3 + data,
    lambda _, __: b"? " * 3000,
    lambda _, __: b"&a " * 3000,
    lambda _, __: b"a: &a [*a]",
    lambda _, __: b"!" * 100_000,
    lambda _, __: b"'" + b"'" * 100_001,
    lambda _, data: data + b"\n? |\n " + b"k" * 900_000 + b"\n: v",
)
