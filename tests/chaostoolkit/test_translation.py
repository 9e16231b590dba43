"""A run that was heard and a journal that is read tell the same, in our events."""

import itertools
import time
from typing import Any

import chaoslib.experiment
import msgspec
import pytest
from chaoslib.types import Schedule, Strategy

from gameday.chaostoolkit.output import Masker, failure_of
from gameday.chaostoolkit.translation import Listener, Translator
from gameday.journal.events import ActivityEnded, ActivityStarted, AnyEvent, HypothesisJudged, Outcome, PhaseEntered


def python(name: str, func: str, kind: str = "action", module: str = "chaos_activities", **more: Any) -> dict[str, Any]:
    arguments = more.pop("arguments", {})
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": kind, "name": name, "provider": provider, **more}


PROBE = python("is one", "echo", kind="probe", arguments={"value": 1}, tolerance=1)
EXPERIMENT: dict[str, Any] = {
    "title": "t",
    "description": "-",
    "secrets": {"shop": {"password": "hunter22"}},
    "steady-state-hypothesis": {"title": "One", "probes": [PROBE]},
    "method": [
        python("says", "echo", arguments={"value": "hunter22"}),
        python("fails", "fail", arguments={"message": "with hunter22"}),
        python("waits", "sleep", module="time", arguments={"secs": 0.3}),
    ],
    "rollbacks": [
        {"type": "action", "name": "exits", "provider": {"type": "process", "path": "false"}},
    ],
}
EXPERIMENT["method"][2]["provider"]["module"] = "chaos_waits"


def listen(experiment: dict[str, Any], strategy: Any = Strategy.DEFAULT) -> tuple[list[AnyEvent], dict[str, Any]]:
    told: list[AnyEvent] = []
    translator = Translator(Masker(), experiment=0, strict=True)
    listener = Listener(lambda telling: told.append(telling()), translator, calls_off=True, now=time.time)
    schedule = Schedule(continuous_hypothesis_frequency=0.1, fail_fast=False)
    journal = chaoslib.experiment.run_experiment(
        experiment, settings={}, strategy=strategy, schedule=schedule, event_handlers=[listener]
    )
    assert listener.journal == journal
    return told, journal


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "chaos_waits.py").write_text("import time\ndef sleep(secs: float) -> None:\n    time.sleep(secs)\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def told_of(events: list[AnyEvent]) -> list[AnyEvent]:
    """In the order of time, without what only the one or the other can know."""
    kept = [event for event in events if not isinstance(event, PhaseEntered)]
    return [
        msgspec.structs.replace(event, at=0.0, **({"tolerance_met": None} if isinstance(event, ActivityEnded) else {}))
        for event in kept
    ]


def test_what_is_heard_and_what_is_read_are_the_same() -> None:
    heard, journal = listen(EXPERIMENT)
    translator = Translator(Masker(["hunter22"]), experiment=0, strict=True)
    read = list(translator.journal(journal))
    assert told_of(read) == told_of(heard)
    names = [event.name for event in heard if isinstance(event, ActivityStarted)]
    assert names == ["is one", "says", "fails", "waits", "is one", "exits"]
    says, fails, _, _, exits = [event for event in heard if isinstance(event, ActivityEnded)][1:]
    assert (says.status, says.output) == ("succeeded", '"\\u2022\\u2022\\u2022"')
    assert (fails.status, fails.error) == ("failed", "with •••")
    assert (exits.status, exits.error) == ("failed", "it exited with status 1")
    for one, other in itertools.pairwise(read):
        assert one.at <= other.at


def test_a_hypothesis_that_is_judged_beside_the_method_is_told_apart_from_it() -> None:
    heard, _ = listen(EXPERIMENT, Strategy.CONTINUOUS)
    sections = [(event.section, event.name) for event in heard if isinstance(event, ActivityStarted)]
    assert [name for section, name in sections if section == "method"] == ["says", "fails", "waits"]
    assert {name for section, name in sections if section == "hypothesis"} == {"is one"}
    judged = [(event.when, event.ended) for event in heard if isinstance(event, HypothesisJudged)]
    assert judged[0] == ("before", False)
    assert judged[-1] == ("during", True)
    assert judged.count(("during", False)) >= 2


def test_outcomes_of_probes() -> None:
    hypothesis = {"title": "-", "probes": [{**PROBE, "tolerance": 2}]}
    heard, _ = listen({**EXPERIMENT, "steady-state-hypothesis": hypothesis})
    (judged,) = (event for event in heard if isinstance(event, HypothesisJudged))
    assert [(item.outcome, item.detail) for item in judged.judgements] == [(Outcome.BROKEN, "1")]
    assert not [event for event in heard if isinstance(event, ActivityStarted) and event.section == "rollback"]
    probe = python("fails", "fail", kind="probe", arguments={"message": "no"}, tolerance=1)
    heard, _ = listen({**EXPERIMENT, "steady-state-hypothesis": {"title": "-", "probes": [probe, PROBE]}})
    (judged,) = (event for event in heard if isinstance(event, HypothesisJudged))
    assert [(item.outcome, item.detail) for item in judged.judgements] == [(Outcome.UNREADABLE, "no")]


def test_an_interruption() -> None:
    heard, journal = listen({**EXPERIMENT, "method": [python("stops", "interrupt"), PROBE]})
    assert journal["status"] == "interrupted"
    (stops,) = (event for event in heard if isinstance(event, ActivityEnded) and event.interrupted)
    assert (stops.status, stops.error) == ("failed", "enough of it")


def test_failures_in_outputs() -> None:
    def of(kind: str, status: object) -> str | None:
        return failure_of({"provider": {"type": kind}}, {"status": status, "stderr": "no\n"})

    assert of("process", 0) is None
    assert of("process", 2) == "it exited with status 2: no"
    assert (of("http", 399), of("http", 400)) == (None, "it was answered with HTTP status 400")
    assert of("python", 500) is None
