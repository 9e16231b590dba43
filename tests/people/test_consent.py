"""Consent: whose counts, for how long, and for exactly which files."""

from pathlib import Path

import pytest

from gameday.people.consent import Consent, add_consent, find_consent, fingerprint, read_consent
from gameday.spec.experiment import load_experiment
from gameday.spec.model import Approval, Project, RollbackStrategy, Runtime

PROJECT = Project(Path("gameday.yaml"), "shop", (), (), "", groups=(("leads", ("@ada", "@lin")),))
NOW = 1_000_000.0


def given(author: str, *, at: float = NOW - 60, login: str = "elsewhere", sha256: str = "x", **more: bool) -> Consent:
    return Consent(at, author, login, sha256, **more)


@pytest.mark.parametrize(
    ("by", "consents", "runner", "reason"),
    [
        ((), [given("@ada")], "bo", ""),
        ((), [], "bo", "nobody has consented"),
        ((), [given("@Bo")], "bo", "it takes a second person"),
        ((), [given("@ada", login="bo")], "bo", "it takes a second person"),
        (("@leads",), [given("ada")], "bo", ""),
        (("@leads",), [given("@eve")], "bo", "whom the policy does not name"),
        (("@leads",), [given("@eve"), given("@lin")], "bo", ""),
        ((), [given("@ada", at=NOW - 3601)], "bo", "has run out"),
        ((), [given("@ada", at=NOW + 60)], "bo", "has run out"),  # a clock that is wrong gives nothing
    ],
)
def test_whose_counts(by: tuple[str, ...], consents: list[Consent], runner: str, reason: str) -> None:
    found, why = find_consent(Approval(by, within_s=3600), PROJECT, consents, runner, NOW)
    assert (found is not None) == (reason == "")
    assert reason in why


def test_the_last_word_counts_and_damage_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "approvals.jsonl"
    add_consent(path, given("@ada"))
    add_consent(path, given("@lin"))
    with path.open("ab") as file:
        file.write(b'{"at": 1, "author": "@to')  # torn
    add_consent(path, given("@ADA", is_withdrawn=True))
    add_consent(path, given("@eve", sha256="other"))
    assert [consent.author for consent in read_consent(path, "x")] == ["@lin"]
    assert read_consent(tmp_path / "none", "x") == ()


def test_the_fingerprint_is_of_what_would_be_run(tmp_path: Path) -> None:
    path, game_day = tmp_path / "experiment.yaml", tmp_path / "day.yaml"
    text = "title: t\nservice: s\nmethod: [{fault: pods/kill, target: {service: s}, hold: 1s, blast-radius: 1}]\n"
    seen = set()

    def note(
        environment: str = "prod", day: Path | None = game_day, rate: int = 1, runtime: Runtime = Runtime()
    ) -> None:
        from msgspec.structs import replace

        experiment = replace(load_experiment(path), configuration={"rate": rate}, runtime=runtime)
        seen.add(fingerprint(environment, day, [experiment]))

    path.write_text(text)
    game_day.write_text("a")
    note()
    note()
    assert len(seen) == 1
    note("staging")
    note(day=None)
    note(rate=2)
    note(runtime=Runtime(rollbacks=RollbackStrategy.NEVER))
    game_day.write_text("b")
    note()
    path.write_text(text + "# a word\n")
    note()
    assert len(seen) == 7
