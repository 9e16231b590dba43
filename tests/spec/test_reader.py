"""Files that cannot be read as a document, and what a document means."""

import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gameday.spec.nodes import to_json
from gameday.spec.reader import read_document
from tests.spec.conftest import mistakes_of

Write = Callable[..., Path]

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


CLOSED = "expected `{}`; a text with `#` or `,` in it needs quotes"
QUOTE = "expected the same quote at the end of the text"
NOT_HERE = "found a mistake in the YAML (mapping values are not allowed in this context)"
NO_ITEM = "found a mistake in the YAML (did not find expected '-' indicator)"
UNDER = "expected it to begin right under the lines that it belongs to, and a `:` after the key above"


@pytest.mark.parametrize(
    ("name", "content", "mistake"),
    [
        ("a.yaml", "", "1:1: found an empty file, expected a mapping (`key: value`)"),
        ("a.yaml", "# nothing\n", "1:1: found an empty file, expected a mapping (`key: value`)"),
        ("a.yaml", "\nhello\n", "2:1: found `hello`, expected a mapping (`key: value`)"),
        ("a.yaml", "- a\n", "1:1: found a list, expected a mapping (`key: value`)"),
        ("a.yaml", b"a: b\nc: \xff", "2:4: found the byte 0xff, which is not UTF-8, expected UTF-8 text"),
        ("a.yaml", b"a: b\nc: \xc3\xa9\x00", "2:5: found the control character U+0000, expected printable text"),
        ("a.yaml", "a:\n\tb: c\n", "2:1: found a tab in the indentation, expected spaces"),
        ("a.yaml", "a: b\n---\nc: d\n", "2:1: found a second YAML document, expected one document a file"),
        ("a.yaml", "a: *b\n", "1:4: found the alias `*b`, expected an anchor of that name before it"),
        ("a.yaml", "a: &b [*b]\n", "1:8: found the alias `*b` inside what it stands for, expected no circle"),
        ("a.yaml", "? [a]\n: b\n", "1:3: found a list or mapping as a key, expected a text as a key"),
        ("a.yaml", "<<: 3\n", "1:1: found `<<` with something else, expected `<<: *name` of a mapping"),
        ("a.yaml", "a: 2001-99-99\n", "1:4: found `2001-99-99`, expected a date, or quotes"),
        ("a.yaml", "a: .inf\n", "1:4: found `.inf`, expected a number of at most 64 bits, or quotes"),
        ("a.yaml", "a: !!int x\n", "1:4: found `x`, expected a whole number, or quotes"),
        (
            "a.yaml",
            "a: !!python/object/apply:os.system [ls]\n",
            "1:4: found the tag `!!python/object/apply:os.system`, "
            "expected plain YAML: texts, numbers, lists and mappings",
        ),
        (
            "a.yaml",
            "a: b: c\n",
            "1:5: found a mistake in the YAML (mapping values are not allowed in this context), "
            "expected quotes around a text that contains `: `",
        ),
        ("a.yaml", "a: {b: #c, d: 1}\n\ne: f\n", f"1:4: found a `{{` that is not closed, {CLOSED.format('}')}"),
        ("a.yaml", "a:\n  b: [c\n  d: e\n", f"2:6: found a `[` that is not closed, {CLOSED.format(']')}"),
        (
            "a.yaml",
            'a: "b\nc: d\n',
            "1:4: found a quote that is not closed, expected the same quote at the end of the text",
        ),
        ("a.yaml", "a: b\nc d\n\ne:\n", "2:1: found a line without `:`, expected `key: value`"),
        (
            "a.yaml",
            "a: b\n  c: d\n",
            f"2:4: {NOT_HERE}, {UNDER}",
        ),
        (
            "a.yaml",
            "- a: b\n c: d\n",
            f"2:2: {NO_ITEM}, {UNDER}",
        ),
        (
            "a.yaml",
            "a: {b: @c}\n",
            "1:8: found a mistake in the YAML (character that cannot start any token), expected quotes around a text "
            "that starts with a special character, such as @, %, >, ` or a tab",
        ),
        (
            "a.yaml",
            "ratio: > 10%\n",
            "1:10: found a mistake in the YAML (did not find expected comment or line break), "
            'expected quotes around a comparison, such as "> 10%"',
        ),
        ("a.yaml", "[" * 900, "1:66: found more than 64 levels of nesting, expected at most 64"),
        (
            "a.yaml",
            BOMB,
            "6:8: found more than 100000 values once aliases are written out, expected at most 100000",
        ),
        ("a.yaml", "a" * 10_000_000, "1:1: found a file larger than 1 MiB, expected at most 1 MiB"),
        ("a.json", "", "1:1: found the end of the file, expected a JSON value"),
        ("a.json", '{"a": 1,}', "1:9: found `}`, expected a key in double quotes"),
        ("a.json", '{"a": [1,]}', "1:10: found `]`, expected a JSON value"),
        ("a.json", '{"a": 1 "b": 2}', '1:9: found `"`, expected `,` or `}`'),
        ("a.json", "{'a': 1}", "1:2: found `'a'`, expected a key in double quotes"),
        ("a.json", '{"a" 1}', "1:6: found `1`, expected `:`"),
        ("a.json", '{"a": 1} x', "1:10: found `x`, expected the end of the file"),
        ("a.json", '{"a": True}', "1:7: found `True`, expected a JSON value"),
        ("a.json", '{"a": NaN}', "1:7: found `NaN`, expected a JSON value"),
        ("a.json", '{"a": "b', "1:7: found a broken JSON text (Unterminated string starting at), expected valid JSON"),
        ("a.json", '{"a": "\\ud800"}', "1:7: found half of a surrogate pair, expected whole Unicode characters"),
        ("a.json", '{"a": 1e999}', "1:7: found `1e999`, expected a number of at most 64 bits"),
        ("a.json", "[" * 100_000, "1:66: found more than 64 levels of nesting, expected at most 64"),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) > 40 else repr(value)[:40],
)
def test_what_is_no_document(write: Write, name: str, content: str | bytes, mistake: str) -> None:
    path = write(name, content)
    tracemalloc.start()
    began = time.monotonic()
    found = mistakes_of(lambda: read_document(path))
    took_s, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [mistake]
    assert took_s < 20  # never quadratic
    assert peak < 50 << 20


def test_files_that_are_none(tmp_path: Path) -> None:
    assert mistakes_of(lambda: read_document(tmp_path)) == ["1:1: found a directory, expected a file"]
    (missing,) = mistakes_of(lambda: read_document(tmp_path / "no.yaml"))
    assert missing == ("1:1: found a file that cannot be read (No such file or directory), expected a readable file")
    os.mkfifo(tmp_path / "pipe.yaml")  # would keep whoever opens it waiting
    assert mistakes_of(lambda: read_document(tmp_path / "pipe.yaml")) == [
        "1:1: found something that is no file, expected a file"
    ]
    assert mistakes_of(lambda: read_document(Path("a\0b"))) != []
    assert mistakes_of(lambda: read_document(tmp_path / ("a" * 5000))) != []
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    assert mistakes_of(lambda: read_document(loop)) != []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(write: Write) -> None:
    path = write("a.yaml", "a: b\n")
    path.chmod(0)
    assert mistakes_of(lambda: read_document(path)) == [
        "1:1: found a file that cannot be read (Permission denied), expected a readable file"
    ]


def test_a_large_number_of_keys_is_read_quickly(write: Write) -> None:
    path = write("a.json", "{" + ",".join(f'"k{i}": 1' for i in range(60_000)) + "}")
    began = time.process_time()
    assert len(read_document(path).entries) == 60_000
    assert time.process_time() - began < 5


SAME = """
plain: text
quoted: "3"
int: 3
hex: 0x1f
octal: 010
float: 1.5
exponent: 1e3
yes: yes
off: off
none: ~
nothing:
empty: ""
literal: |
  a
   b
folded: >-
  a
  b
flow: {a: [1, 2, {b: c}]}
base: &base {a: 1, b: 2}
merged: {<<: *base, b: 3}
many: {<<: [*base, {c: 4}]}
alias: *base
tagged: !!str 5
explicit: !!int "7"
sexagesimal: 1:30
unicode: "\\u00e9 é 😀"
"""


def test_yaml_means_what_it_means_to_the_chaos_toolkit(write: Write) -> None:
    read = to_json(read_document(write("a.yaml", SAME)))
    expected = yaml.safe_load(SAME)
    # JSON's keys are texts; YAML's `yes` and `off` as keys are not.
    expected["yes"], expected["off"] = expected.pop(True), expected.pop(False)
    assert read == expected


def test_json_is_read_by_its_own_rules(write: Write) -> None:
    content = '{\n\t"a": 1e3,\r\n\t"b": "\\ud83d\\ude00\\/",\n\t"c": [true, null, -0.5, {}], "d": "x: y"}\n'
    document = read_document(write("a.json", content))
    assert to_json(document) == {"a": 1000.0, "b": "😀/", "c": [True, None, -0.5, {}], "d": "x: y"}
    key, value = document.entries["b"]
    assert (key.line, key.column, value.line, value.column) == (3, 2, 3, 7)


def test_byte_order_mark_and_dates(write: Write) -> None:
    assert to_json(read_document(write("a.yaml", b"\xef\xbb\xbfa: 2025-01-31\n"))) == {"a": "2025-01-31"}


def test_columns_count_characters(write: Write) -> None:
    document = read_document(write("a.yaml", '"é😀": {b: c}\n'))
    _, value = document.entries["é😀"]
    assert (value.line, value.column) == (1, 7)


def test_nesting_without_end(write: Write) -> None:
    """The parser, which reads ahead, may be the one that gives up."""
    (found,) = mistakes_of(lambda: read_document(write("a.yaml", "[" * 100_000)))
    assert found.endswith(": found more than 64 levels of nesting, expected at most 64")
