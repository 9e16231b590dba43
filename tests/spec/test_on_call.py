"""A file that says who is on call: what it means, every mistake with its place, and that nothing gives a traceback."""

import contextlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.spec.location import SpecError
from gameday.spec.model import Hours
from gameday.spec.on_call import Layer, Override, load_on_call_file
from tests.fuzzing.mutations import SPICE, paths
from tests.spec.conftest import mistakes_of

Write = Callable[..., Path]

FILE = """\
x-team: &team ["@ada", "@grace"]
schedules:
  checkout-primary:
    timezone: Europe/Berlin
    layers:
      - people: *team
        every: 1w
        from: 2026-01-05 09:00
        to: "2027-01-04T09:00"
        hours: ["Mon-Fri 09:00-17:00", "Sat 10:00-24:00"]
    overrides: [{who: "@lin", from: "2026-03-07 09:00", to: "2026-03-07 17:00"}]
    escalation: [checkout-secondary, "@lead"]
  checkout-secondary:
    layers: [{people: "@joan"}]
"""


def test_what_it_means(write: Write) -> None:
    file = load_on_call_file(write("on-call.yaml", FILE))
    primary, secondary = file.schedules
    weekdays, saturday = "Mon-Fri 09:00-17:00 Europe/Berlin", "Sat 10:00-24:00 Europe/Berlin"
    assert primary.layers == (
        Layer(
            ("@ada", "@grace"),
            7 * 86400.0,
            datetime(2026, 1, 5, 9),
            datetime(2027, 1, 4, 9),
            (
                Hours(frozenset(range(5)), 9 * 60, 17 * 60, "Europe/Berlin", weekdays),
                Hours(frozenset({5}), 10 * 60, 24 * 60, "Europe/Berlin", saturday),
            ),
        ),
    )
    assert primary.overrides == (Override("@lin", datetime(2026, 3, 7, 9), datetime(2026, 3, 7, 17)),)
    assert (primary.timezone, primary.escalation) == ("Europe/Berlin", ("checkout-secondary", "@lead"))
    assert (secondary.timezone, secondary.layers) == ("UTC", (Layer(("@joan",)),))
    assert file.schedule("checkout-secondary") == secondary
    assert file.schedule("checkout") is None
    assert primary.location.line == 4


@pytest.mark.parametrize(
    ("found", "written", "mistake"),
    [
        ("every: 1w", "every: 30m", "7:16: found `30m`, expected a duration of at least 1h"),
        ("every: 1w", "every: 3601s", "7:16: found `3601s`, expected a duration of at least 1h"),
        ("        every: 1w\n", "", "6:9: found a layer without `every`, expected how long a turn is"),
        ("        from: 2026-01-05 09:00\n", "", "6:9: found a layer without `from`, expected when the first turn"),
        ("2026-01-05 09:00", "2026-02-30 09:00", "8:15: found `2026-02-30 09:00`, expected a date and a time, such as"),
        ("2026-01-05 09:00", "2026-01-05", "8:15: found `2026-01-05`, expected a date and a time"),
        ("2026-01-05 09:00", "9999-12-31 09:00", "8:15: found `9999-12-31 09:00`, expected a date and a time"),
        (
            "2027-01-04T09",
            "2025-01-04T09",
            "9:13: found 2025-01-04 09:00, not after `from`, expected a time after 2026",
        ),
        (
            "Sat 10:00-24:00",
            "Sat 10:00-24:00 UTC",
            '10:40: found `Sat 10:00-24:00 UTC`, expected hours such as "Mon-Fri',
        ),
        ("Europe/Berlin", "Europe/Berlln", "4:15: found the time zone `Europe/Berlln`, expected an IANA name"),
        ('who: "@lin", ', "", "11:17: found an override without `who`, expected a person"),
        (
            "[checkout-secondary,",
            "[checkout-secondry,",
            "12:18: found the schedule (a person begins with `@`) `checkout",
        ),
        ("[checkout-secondary,", "[checkout-primary,", "12:18: found the schedule itself, which is the first level"),
        ('people: "@joan"', "people: []", "14:23: found nobody, expected at least one"),
        ('people: "@joan"', 'people: ""', "14:23: found an empty text, expected a person"),
        ('{people: "@joan"}', "{}", "14:14: found a layer without `people`, expected a list of people"),
        (
            "overrides:",
            "override:",
            "11:5: found the key `override`, expected a key of a schedule; did you mean `overr",
        ),
        ("    layers: [{people", "    layer: [{people", "14:5: found the key `layer`, expected a key of a schedule"),
    ],
)
def test_every_mistake_has_its_place(write: Write, found: str, written: str, mistake: str) -> None:
    assert found in FILE
    path = write("on-call.yaml", FILE.replace(found, written, 1))
    said = mistakes_of(lambda: load_on_call_file(path))
    assert [line for line in said if line.startswith(mistake)], said
    assert len(said) == 1


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{}", "1:1: found a file that says who is on call without `schedules`"),
        ("schedules: {}", "1:1: found no schedules, expected at least one"),
        ("schedules: [a]", "1:12: found a list, expected schedules by name"),
        ("schedules: {a: b}", "1:16: found `b`, expected a schedule"),
        ("schedules: {a: {layers: [b]}}", "1:26: found `b`, expected a layer"),
        (
            f"schedules: {{a: {{layers: [{', '.join(['{people: [b]}'] * 21)}]}}}}",
            "1:17: found 21 layers, expected at most",
        ),
    ],
)
def test_what_is_no_such_file(write: Write, text: str, mistake: str) -> None:
    path = write("on-call.yaml", text)
    [said] = mistakes_of(lambda: load_on_call_file(path))
    assert said.startswith(mistake)


def test_all_mistakes_at_once(write: Write) -> None:
    text = FILE.replace("1w", "1x").replace("who:", "whom:").replace("Berlin", "Bern")
    path = write("on-call.yaml", text)
    assert [line.split(":")[0] for line in mistakes_of(lambda: load_on_call_file(path))] == ["4", "7", "11"]


def test_the_example_of_the_page_is_such_a_file(write: Write) -> None:
    page = (Path(__file__).parents[2] / "docs/on-call.md").read_text()
    [example] = [block.split("```")[0] for block in page.split("```yaml\n")[1:] if block.startswith("schedules:")]
    primary, secondary = load_on_call_file(write("on-call.yaml", example)).schedules
    assert (len(primary.layers), len(primary.overrides), primary.escalation) == (2, 1, (secondary.name, "@lead"))


quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, content: bytes) -> None:
    for name in ("on-call.yaml", "on-call.json"):
        (path / name).write_bytes(content)
        with contextlib.suppress(SpecError):
            load_on_call_file(path / name)


@quick
@given(
    content=st.binary(max_size=300) | st.lists(st.sampled_from(SPICE), max_size=40).map(lambda s: "".join(s).encode())
)
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    read(tmp_path, content)


@settings(quick, max_examples=400)
@given(data=st.data())
def test_valid_files_with_changes(tmp_path: Path, data: st.DataObject) -> None:
    text = FILE
    for _ in range(data.draw(st.integers(1, 4))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 8))
        text = text[:at] + data.draw(st.sampled_from(SPICE) | st.text(max_size=5) | st.just("")) + text[at + cut :]
    read(tmp_path, text.encode("utf-8", "replace"))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1w", "@a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(quick, max_examples=400)
@given(data=st.data())
def test_valid_files_with_a_value_of_another_kind(tmp_path: Path, data: st.DataObject) -> None:
    document = json.loads(json.dumps(yaml.safe_load(FILE), default=str))
    *way, last = data.draw(st.sampled_from(paths(document)[1:]))
    holder = document
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(values)
    read(tmp_path, json.dumps(document).encode())
