"""People in a game day: groups, whoever is on call, and pairs that are named for an experiment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.spec.game_day import load_game_day
from gameday.spec.model import GameDay, GivenPair, People
from gameday.spec.project import load_project
from tests.spec.conftest import mistakes_of

PROJECT = """
services: {checkout: {}, payments: {}}
groups:
  checkout-dev: ["@ada", "@lin", "@ada"]
  "@leads": "@eve"
"""
EXPERIMENT = "title: t\nservice: checkout\nmethod: []\n"
type Write = Callable[..., Path]


def read(write: Write, people: str, experiments: str = "[a.yaml, b.yaml]", project: str = PROJECT) -> GameDay:
    root = write("gameday.yaml", project).parent
    for name in ("a.yaml", "b.yaml"):
        write(name, EXPERIMENT)
    path = write("day.yaml", f"title: d\npeople: {people}\nexperiments: {experiments}\n")
    return load_game_day(path, load_project(root))


def test_groups_stand_for_their_members(write: Write) -> None:
    people = (
        '{facilitator: leads, builders: [checkout-dev, "@bo", "@ada"], sres: "@checkout-dev", observers: ["@leads"]}'
    )
    assert read(write, people).people == People(
        facilitator="@eve", builders=("@ada", "@lin", "@bo"), sres=("@ada", "@lin"), observers=("@eve",)
    )


def test_without_groups_handles_are_handles(write: Write) -> None:
    assert read(write, '{builders: [checkout-dev, " @bo "]}', project="project: p\n").people == People(
        builders=("checkout-dev", "@bo")
    )
    assert load_game_day(write("day.yaml", "title: d\npeople: {sres: [leads]}\nexperiments: [a.yaml]\n")).people == (
        People(sres=("leads",))
    )


def test_whoever_is_on_call_stays_as_it_is_written(write: Write) -> None:
    people = read(write, '{sres: ["on-call:checkout", "@grace"]}').people
    assert people == People(sres=("on-call:checkout", "@grace"))


def test_pairs_that_are_named(write: Write) -> None:
    experiments = '[{file: a.yaml, builder: "@ada", sre: "on-call:payments"}, b.yaml, {file: b.yaml, sre: leads}]'
    game_day = read(write, "{builders: [checkout-dev]}", experiments)
    assert [experiment.path.name for experiment in game_day.experiments] == ["a.yaml", "b.yaml", "b.yaml"]
    assert game_day.people == People(
        builders=("@ada", "@lin"),
        pairs=(GivenPair("@ada", "on-call:payments"), GivenPair(), GivenPair(sre="@eve")),
    )
    assert read(write, "{}", "[{file: a.yaml}, b.yaml]").people == People()


@pytest.mark.parametrize(
    ("people", "experiments", "mistake"),
    [
        (
            '{builders: [""]}',
            "[a.yaml]",
            "2:21: found an empty text, "
            "expected a handle, or whoever is on call for a service, such as on-call:checkout",
        ),
        (
            '{sres: ["on-call:"]}',
            "[a.yaml]",
            "2:17: found `on-call:` without a service, "
            "expected a handle, or whoever is on call for a service, such as on-call:checkout",
        ),
        (
            '{sres: ["on-call:chekout"]}',
            "[a.yaml]",
            "2:17: found the service `chekout`, expected one of checkout, payments; did you mean `checkout`?",
        ),
        (
            "{scribe: checkout-dev}",
            "[a.yaml]",
            "2:18: found `checkout-dev`, a group of 2, expected one person",
        ),
        ("{builders: [{}]}", "[a.yaml]", "2:21: found a mapping, expected a handle"),
        (
            "{}",
            '[{file: a.yaml, builder: "@ada", sre: "@ada"}]',
            "3:52: found `@ada` as builder and as SRE, expected two people",
        ),
        (
            "{}",
            '[{builder: "@ada"}]',
            "3:15: found an experiment of a game day without `file`, expected the path of an experiment, "
            'such as {file: lost.yaml, builder: "@ada", sre: "@grace"}',
        ),
        (
            "{}",
            '[{file: a.yaml, builders: "@ada"}]',
            "3:30: found the key `builders`, expected a key of an experiment of a game day; did you mean `builder`?",
        ),
    ],
)
def test_mistakes(write: Write, people: str, experiments: str, mistake: str) -> None:
    assert mistakes_of(lambda: read(write, people, experiments)) == [mistake]


def test_a_file_that_is_not_there(write: Write) -> None:
    [found] = mistakes_of(lambda: read(write, "{}", "[{file: c.yaml}]"))
    assert found.startswith("3:22: found the experiment `c.yaml`, expected a file in ")


def test_too_many_to_meet_each_other(write: Write) -> None:
    handles = ", ".join(f"'@{number}'" for number in range(101))
    assert mistakes_of(lambda: read(write, f"{{observers: [{handles}], sres: [{handles}]}}")) == [
        "2:721: found 101 sres, expected at most 100"
    ]


@pytest.mark.parametrize(
    ("groups", "mistake"),
    [
        ("{a: []}", "1:10: found the group `a` without members, expected a list of handles"),
        ("{a: ['']}", "1:10: found the group `a` without members, expected a list of handles"),
        ("{a: ['@x', '@b'], b: '@y'}", "1:20: found the group `@b` in a group, expected people"),
        ("{a: ['@a']}", "1:14: found the group `@a` in a group, expected people"),
        ("{a: '@x', '@a': '@y'}", "1:19: found the group `a` a second time, expected each group once"),
        ("{a: {b: c}}", "1:13: found a mapping, expected a list of handles"),
        (
            "[a]",
            "1:9: found a list, "
            'expected groups of people by name, such as {checkout-dev: ["@ada", "@lin"]} (a mapping)',
        ),
    ],
)
def test_mistakes_in_groups(write: Write, groups: str, mistake: str) -> None:
    root = write("gameday.yaml", f"groups: {groups}\n").parent
    assert mistakes_of(lambda: load_project(root)) == [mistake]
