"""YAML text to nodes that know where they stand.

The composer is our own, on the parser's events: PyYAML's composer in C is recursive without a limit, expands aliases
and forgets repeated keys. What a scalar means is PyYAML's safe loader's word, as it is the Chaos Toolkit's.
"""

import datetime
import math
from typing import Any

import yaml

from gameday.common.json import JsonScalar
from gameday.spec.nodes import (
    CHARACTERS_A_WEIGHT,
    MAX_DEPTH,
    MAX_WEIGHT,
    DocumentError,
    Mapping,
    Node,
    Scalar,
    Sequence,
    too_deep,
    too_many,
)
from gameday.spec.units import excerpt

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"
_PLAIN_TAGS = {
    None,
    "!",
    *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")),
}
_KINDS = {
    f"tag:yaml.org,2002:{name}": kind
    for name, kind in (("int", "whole number"), ("float", "number"), ("timestamp", "date"))
}
_RESOLVER: Any = yaml.resolver.Resolver()
_SAFE = yaml.SafeLoader("")
# The C parser's words for what people most often get wrong, and what to do about it.
_ADVICE = {
    "mapping values are not allowed": "quotes around a text that contains `: `",
    "expected comment or line break": 'quotes around a comparison, such as "> 10%"',
    "cannot start any token": "quotes around a text that starts with a special character, such as @, %, >, ` or a tab",
    "did not find expected ',' or '}'": "a comma or `}`; in braces, a text with `{`, `}` or `,` needs quotes",
    "did not find expected ',' or ']'": "a comma or `]`; in brackets, a text with `[`, `]` or `,` needs quotes",
    "undefined alias": "an anchor (`&name`) before its alias (`*name`)",
    "block sequence entries are not allowed": "the list on lines of its own, or in brackets",
    "alphabetic or numeric character": "quotes around a text that starts with `*` or `&`, such as a cron expression",
    "unknown escape character": "single quotes around a text with backslashes",
}
_UNDER = "it to begin right under the lines that it belongs to, and a `:` after the key above"
# What the parser only misses at the end of it, and where it began.
_UNCLOSED = {
    "while parsing a flow mapping": ("a `{` that is not closed", "`}`; a text with `#` or `,` in it needs quotes"),
    "while parsing a flow sequence": (
        "a `[` that is not closed",
        "`]`; a text with `#` or `,` in it needs quotes",
    ),
    "while scanning a quoted scalar": ("a quote that is not closed", "the same quote at the end of the text"),
    "while scanning a simple key": ("a line without `:`", "`key: value`"),
}


def compose_yaml(text: str) -> Node | None:
    """The one document that `text` holds, or None when it is empty. Raises DocumentError."""
    try:
        return _Composer(text).compose()
    except yaml.MarkedYAMLError as error:
        raise _explain(error, text) from None
    except yaml.YAMLError as error:
        raise DocumentError(1, 1, f"what YAML cannot hold ({error})".replace("\n", " "), "valid YAML") from None


def _explain(error: yaml.MarkedYAMLError, text: str) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem = (error.problem or error.context or "unknown").removeprefix("found ")
    if "nesting depth" in problem:  # libyaml, which reads ahead, has a limit of its own
        return too_deep(line + 1, column + 1)
    lines = [*text.split("\n"), ""]
    source = lines[min(line, len(lines) - 1)]
    if "\t" in source[: len(source) - len(source.lstrip())]:
        return DocumentError(line + 1, source.index("\t") + 1, "a tab in the indentation", "spaces")
    begun = error.context_mark if error.context in _UNCLOSED else None
    # Where this line is not indented under the one where it began, it is the latter that lacks something.
    if begun and error.context and begun.line < line and _indentation(source) <= _indentation(lines[begun.line]):
        return DocumentError(begun.line + 1, begun.column + 1, *_UNCLOSED[error.context])
    before = source[:column].strip(" -")
    expected = next((advice for part, advice in _ADVICE.items() if part in problem), "valid YAML")
    if ("mapping values" in problem and ": " not in before) or ("did not find expected" in problem and not before):
        expected = _UNDER
    elif before.endswith(("'", '"')) and "did not find expected key" in problem:
        expected = "nothing after the closing quote; a text that has quotes in it needs the others around all of it"
    return DocumentError(line + 1, column + 1, f"a mistake in the YAML ({problem})", expected)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


class _Composer:
    def __init__(self, text: str) -> None:
        self._parser = _LOADER(text)
        self._anchors: dict[str, Node | None] = {}  # None: begun, not ended
        self._weight = 0

    def compose(self) -> Node | None:
        try:
            self._parser.get_event()  # the stream's start
            if isinstance(self._parser.get_event(), yaml.StreamEndEvent):
                return None
            node = self._node(self._parser.get_event(), 0)
            self._parser.get_event()  # the document's end
            after = self._parser.get_event()
            if not isinstance(after, yaml.StreamEndEvent):
                line, column = _place(after)
                raise DocumentError(line, column, "a second YAML document", "one document a file")
            return node
        finally:
            self._parser.dispose()

    def _node(self, event: Any, depth: int) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.AliasEvent):
            aliased = self._alias(str(event.anchor), line, column)
            self._count(aliased.weight, line, column)
            return aliased
        if depth > MAX_DEPTH:
            raise too_deep(line, column)
        if event.tag not in _PLAIN_TAGS:
            tag = excerpt(event.tag.replace("tag:yaml.org,2002:", "!!"))
            raise DocumentError(line, column, f"the tag {tag}", "plain YAML: texts, numbers, lists and mappings")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            weight = 1 + len(event.value) // CHARACTERS_A_WEIGHT
            self._count(weight, line, column)
            node: Node = Scalar(line, column, event.value, _resolve(event, line, column), weight)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(line, column, depth)
        else:
            node = self._mapping(line, column, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _count(self, weight: int, line: int, column: int) -> None:
        self._weight += weight
        if self._weight > MAX_WEIGHT:
            raise too_many(line, column)

    def _alias(self, name: str, line: int, column: int) -> Node:
        if name not in self._anchors:
            raise DocumentError(line, column, f"the alias {excerpt('*' + name)}", "an anchor of that name before it")
        node = self._anchors[name]
        if node is None:
            raise DocumentError(line, column, f"the alias {excerpt('*' + name)} inside what it stands for", "no circle")
        return node

    def _sequence(self, line: int, column: int, depth: int) -> Sequence:
        self._count(1, line, column)
        sequence = Sequence(line, column, [])
        while not isinstance(event := self._parser.get_event(), yaml.SequenceEndEvent):
            item = self._node(event, depth + 1)
            sequence.items.append(item)
            sequence.weight += item.weight
        return sequence

    def _mapping(self, line: int, column: int, depth: int) -> Mapping:
        self._count(1, line, column)
        mapping = Mapping(line, column, {}, [])
        merged: list[tuple[Scalar, Node]] = []
        while not isinstance(event := self._parser.get_event(), yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = self._node(event, depth + 1)
            value = self._node(self._parser.get_event(), depth + 1)
            mapping.weight += value.weight
            if not isinstance(key, Scalar):
                raise DocumentError(key.line, key.column, "a list or mapping as a key", "a text as a key")
            if is_merge:
                merged.append((key, value))
            else:
                if key.text in mapping.entries:
                    mapping.repeated.append(key)
                mapping.entries[key.text] = (key, value)  # the last one, as in PyYAML
        for key, value in merged:
            _merge(mapping, key, value)
        return mapping


def _merge(mapping: Mapping, key: Scalar, value: Node) -> None:
    """What stands in the mapping itself goes before what is merged into it (https://yaml.org/type/merge.html)."""
    for source in value.items if isinstance(value, Sequence) else [value]:
        if not isinstance(source, Mapping):
            raise DocumentError(key.line, key.column, "`<<` with something else", "`<<: *name` of a mapping")
        for name, entry in source.entries.items():
            mapping.entries.setdefault(name, entry)


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _resolve(event: Any, line: int, column: int) -> JsonScalar:
    text: str = event.value
    if event.tag is not None and event.tag != "!":
        tag = event.tag
    elif not event.implicit[0]:
        return text
    else:
        tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag in (_STRING, _MERGE):
        return text
    try:
        value = _SAFE.yaml_constructors[tag](_SAFE, yaml.ScalarNode(tag, text))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, yaml.YAMLError):
        raise DocumentError(line, column, excerpt(text), f"a {_KINDS.get(tag, 'value')}, or quotes") from None
    if isinstance(value, datetime.date):  # a datetime too; JSON has no dates
        return value.isoformat()
    if abs(value) >= 2**63 if isinstance(value, int) else isinstance(value, float) and not math.isfinite(value):
        raise DocumentError(line, column, excerpt(text), "a number of at most 64 bits, or quotes")
    assert value is None or isinstance(value, str | int | float)
    return value
