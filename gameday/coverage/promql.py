"""Finds in a PromQL expression the series that it is about: a careful tokenizer, no parser.

Lexis: https://prometheus.io/docs/prometheus/latest/querying/basics/. (`/api/v1/parse_query` would say it too, but only
newer Prometheus has it.)
"""

import re

import msgspec

_TOKEN = re.compile(
    r"""
    (?P<space>\s+ | \#[^\n]*)
  | (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*`)
  | (?P<number>[0-9.]*[0-9]e[-+][0-9]+ | (?:\d|\.\d)[0-9a-zA-Z_.]*)
  | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<mark>[-+*/%^=!<>~@(){}\[\],.:])
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"[a-zA-Z_:]")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0, "y": 365 * 86400.0}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_AGGREGATIONS = {
    "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile",
    "limitk", "limit_ratio",
}  # fmt: skip
_SETS = {"or", "unless"}
_LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _SETS | _LABEL_LISTS | {"and", "atan2", "bool", "offset", "inf", "nan"}
_ABSENT = {"absent", "absent_over_time"}
_OPENING, _CLOSING = {"(": ")", "{": "}", "[": "]"}, {")", "}", "]"}


class Selector(msgspec.Struct, frozen=True):
    """`text` as it was written, such as `up{job="shop"}`; `metric` its name alone, if it has one outside braces;
    `window` its range, such as `5m`."""

    text: str
    metric: str = ""
    window: str = ""

    @property
    def query(self) -> str:
        """An expression that has a value when there are such series: how many, by job."""
        series = f"last_over_time({self.text}[{self.window}])" if self.window else self.text
        return f"count by (job) ({series})"


class Selectors(msgspec.Struct, frozen=True):
    """`alternative`: the expression has an `or` or an `unless`, so that one of them may well have no series."""

    found: tuple[Selector, ...]
    alternative: bool = False


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    begin: int
    end: int


def find_selectors(expression: str) -> Selectors:
    """Each once, in order, without those whose absence is what is asked for (`absent`). Raises ValueError where the
    text cannot be PromQL."""
    tokens = _tokens(expression)
    found: dict[Selector, None] = {}
    alternative = False
    parens: list[str] = []  # what each open one belongs to
    position = 0
    while position < len(tokens):
        token = tokens[position]
        after = tokens[position + 1].text if position + 1 < len(tokens) else ""
        word = token.text.lower()
        if token.kind == "name" and word in _SETS:
            alternative = True
        elif token.kind == "name" and word in _LABEL_LISTS and after == "(":
            position = _close(tokens, position + 1)
        elif token.kind == "name" and (after == "(" or (after.lower() in ("by", "without") and word not in _WORDS)):
            if after == "(":  # a call; what an aggregation is given follows its list of labels
                parens.append(word)
                position += 1
        elif token.text == "(":
            parens.append("")
        elif token.text == ")":
            if not parens:
                raise ValueError("a `)` too many")
            parens.pop()
        elif token.text == "[":
            position = _close(tokens, position)
        elif token.text == "{" or (token.kind == "name" and word not in _WORDS):
            selector, position = _selector(expression, tokens, position)
            if not _ABSENT.intersection(parens):
                found[selector] = None
        position += 1
    if parens:
        raise ValueError("a `(` that is not closed")
    return Selectors(tuple(found), alternative)


def _tokens(expression: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if not match or match.lastgroup is None:
            raise ValueError(f"no PromQL at character {position + 1}")
        if match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup, match[0], position, match.end()))
        position = match.end()
    return tokens


def _selector(expression: str, tokens: list[_Token], position: int) -> tuple[Selector, int]:
    """The selector that begins here, and the place of its last token."""
    begin = tokens[position].begin
    metric = tokens[position].text if tokens[position].kind == "name" else ""
    if not metric or (position + 1 < len(tokens) and tokens[position + 1].text == "{"):
        position = _close(tokens, position + bool(metric))
    text, window = expression[begin : tokens[position].end], ""
    if position + 1 < len(tokens) and tokens[position + 1].text == "[":
        last = _close(tokens, position + 1)
        inside = expression[tokens[position + 1].end : tokens[last].begin]
        window, position = inside.partition(":")[0].strip(), last
    return Selector(text, metric, window), position


def _close(tokens: list[_Token], position: int) -> int:
    """The place of the token that closes the one here."""
    closing = [_OPENING[tokens[position].text]]
    while closing:
        position += 1
        if position >= len(tokens):
            raise ValueError(f"a `{closing[-1]}` is missing")
        text = tokens[position].text
        if text in _OPENING:
            closing.append(_OPENING[text])
        elif text in _CLOSING and text != closing.pop():
            raise ValueError(f"a `{text}` too many")
    return position


def normal_form(expression: str) -> tuple[str, ...]:
    """What is left of an expression without what its writing adds, so that it can be compared with how a server prints
    it: layout, comments, quotes, units of durations, the order of matchers, where the labels of an aggregation stand,
    and empty lists.

    Raises ValueError where the text cannot be PromQL.
    """
    find_selectors(expression)  # that all parentheses are closed
    words: list[str] = []
    for token in _tokens(expression):
        word = _normal(token)
        if word in _CLOSING and words[-1:] == [","]:
            words.pop()
        if word == "}" and words[-1:] == ["{"] and len(words) > 1 and _NAME.match(words[-2]):
            words.pop()
        elif word == ")" and words[-1:] == ["("] and words[-2:-1] and words[-2] in ("by", "ignoring"):
            del words[-2:]
        else:
            if words[-1:] and words[-1] in ("group_left", "group_right") and word != "(":
                words += ["(", ")"]
            words.append(word)
    return tuple(_labels_first(_sorted_matchers(words)))


def _normal(token: _Token) -> str:
    if token.kind == "text":
        inside = token.text[1:-1]
        if token.text[0] != "`":
            inside = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), inside, flags=re.DOTALL)
        return f'"{inside}"'
    word = token.text.lower()
    if token.kind == "number":
        if _DURATION.fullmatch(word):
            return repr(sum(int(n) * _UNITS_S[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", word)))
        try:
            return repr(float(int(word, 0) if word.startswith("0x") else float(word)))
        except ValueError:
            return word
    return word if token.kind == "name" and word in _WORDS | _AGGREGATIONS else token.text


def _sorted_matchers(words: list[str]) -> list[str]:
    """What stands between braces, in the order of the alphabet."""
    done: list[str] = []
    matchers: list[list[str]] | None = None
    for word in words:
        if word == "{":
            matchers = [[]]
        elif word == "}" and matchers is not None:
            done += ["{", *(part for matcher in sorted(matchers) for part in (*matcher, ",")), "}"]
            matchers = None
        elif matchers is None:
            done.append(word)
        elif word == ",":
            matchers.append([])
        else:
            matchers[-1].append(word)
    return done


def _labels_first(words: list[str]) -> list[str]:
    """`sum(x) by (a)` as `sum by (a) (x)`, at every depth."""
    done: list[str] = []
    position = 0
    while position < len(words):
        word, position = words[position], position + 1
        done.append(word)
        if word not in _AGGREGATIONS or words[position : position + 1] != ["("]:
            continue
        end = _after(words, position)
        arguments = ["(", *_labels_first(words[position + 1 : end - 1]), ")"]
        position = end
        if words[end : end + 1] in (["by"], ["without"]) and words[end + 1 : end + 2] == ["("]:
            position = _after(words, end + 1)
            done += words[end:position]
        done += arguments
    return done


def _after(words: list[str], position: int) -> int:
    """The place behind what closes the parenthesis here."""
    depth = 0
    while position < len(words):
        depth += (words[position] == "(") - (words[position] == ")")
        position += 1
        if depth == 0:
            break
    return position
