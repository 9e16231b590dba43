"""Wrong input ends with status 2 and one clear message, soon, and before anything is begun."""

import time

import pytest
from e2etools import TWO_FAULTS, Desk, Program

BOMB = "title: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"k{number}: &{chr(98 + number)} [{', '.join([f'*{chr(97 + number)}'] * 10)}]" for number in range(9)
)


def refuse(desk: Desk, *arguments: str) -> Program:
    """The program, that must have refused within a few seconds without having begun anything."""
    began = time.monotonic()
    program = desk.run(*arguments, seconds=20)
    assert time.monotonic() - began < 10
    assert program.process.returncode == 2, program.said
    assert program.printed == ""
    assert not (desk.root / ".gameday").exists()
    return program


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        pytest.param("blast-radius: 1", "blast-radios: 1", ("blast-radios", "blast-radius"), id="unknown-key"),
        pytest.param("hold: 100ms", "hold: 100 parsecs", ("parsecs", "duration"), id="unknown-unit"),
        pytest.param('"> 99%"', '"> 99ms"', ("99ms",), id="wrong-unit"),
        pytest.param("blast-radius: 30%", "blast-radius: 130%", ("130%",), id="too-large"),
        pytest.param("process/pause", "process/pawse", ("process/pawse", "process/pause"), id="unknown-fault"),
        pytest.param("service: checkout\n", "service: chekout\n", ("chekout", "checkout"), id="unknown-service"),
    ],
)
def test_mistake_in_an_experiment(somewhere: Desk, right: str, wrong: str, words: tuple[str, ...]) -> None:
    text = TWO_FAULTS.lstrip()
    assert right in text
    somewhere.write("wrong.yaml", text.replace(right, wrong, 1))
    line = next(number for number, line in enumerate(text.splitlines(), 1) if right.strip() in line)
    said = refuse(somewhere, "run", "wrong.yaml").said
    assert f"wrong.yaml:{line}:" in said
    for word in words:
        assert word in said


def test_all_mistakes_are_said_at_once(somewhere: Desk) -> None:
    text = TWO_FAULTS.replace("blast-radius: 1", "blast-radios: 1").replace("60s", "60 parsecs")
    somewhere.write("wrong.yaml", text)
    said = refuse(somewhere, "plan", "wrong.yaml").said
    assert "blast-radios" in said
    assert "parsecs" in said


def test_no_such_file(somewhere: Desk) -> None:
    assert "nowhere.yaml" in refuse(somewhere, "run", "nowhere.yaml").said


def test_no_such_environment(somewhere: Desk) -> None:
    somewhere.write("right.yaml", TWO_FAULTS)
    said = refuse(somewhere, "run", "right.yaml", "--env", "stagin").said
    assert "stagin" in said


def test_game_day_that_names_a_file_that_is_not_there(somewhere: Desk) -> None:
    somewhere.write("day.yaml", "title: A day\nenvironment: lab\nexperiments: [missing.yaml]\n")
    assert "missing.yaml" in refuse(somewhere, "run", "day.yaml").said


def test_yaml_bomb(somewhere: Desk) -> None:
    somewhere.write("bomb.yaml", BOMB)
    assert "bomb.yaml" in refuse(somewhere, "run", "bomb.yaml").said


def test_ten_megabytes(somewhere: Desk) -> None:
    somewhere.write("big.yaml", "title: big\ndescription: >-\n" + "  all work and no play\n" * 440_000)
    said = refuse(somewhere, "run", "big.yaml").said
    assert "big.yaml" in said
    assert len(said) < 2000


def test_binary_file(somewhere: Desk) -> None:
    (somewhere.root / "noise.yaml").write_bytes(bytes(range(256)) * 100)
    assert "noise.yaml" in refuse(somewhere, "run", "noise.yaml").said
