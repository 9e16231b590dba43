"""Experiments: what they mean, and every mistake with its place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.spec.experiment import load_experiment
from gameday.spec.location import SpecError
from gameday.spec.model import (
    Activity,
    BlastRadius,
    Comparator,
    FaultStep,
    HypothesisStrategy,
    Project,
    RollbackStrategy,
    Runbook,
    Service,
    SignalId,
    SignalKind,
    Timing,
    Unit,
)
from tests.spec.conftest import mistakes_of

Write = Callable[..., Path]

# As it stands in the design.
DESIGN = """\
title: Checkout survives the loss of payments pods
service: checkout
steady-state-hypothesis:
  title: Customers can pay
  signals:                               # native: judged before, during and after
    latency:    {p99: "< 300ms"}
    traffic:    {change: "< 30%"}        # against the baseline recorded just before
    errors:     {ratio: "< 1%"}
    saturation: {cpu: "< 85%"}
  probes: []                             # any Chaos Toolkit probes
method:
  - fault: pods/kill                     # native
    target: {service: payments}
    blast-radius: [1, 25%, 50%]
    hold: 60s
  - type: action                         # or any Chaos Toolkit activity, unchanged
    name: scale-down
    provider: {type: python, module: chaosk8s.deployment.actions, func: scale_deployment, \
arguments: {name: payments, replicas: 1, ns: shop}}
expect:
  alerts:
    - {name: PaymentsDown, within: 60s, severity: page, runbook: payments-down}
  recovers-within: 2m
abort-when:
  errors: {ratio: "> 10%", for: 5s}
"""


def test_the_design(write: Write) -> None:
    path = write("a.yaml", DESIGN)
    experiment = load_experiment(path)
    assert (experiment.title, experiment.service) == ("Checkout survives the loss of payments pods", "checkout")
    latency, traffic, errors, saturation = experiment.hypothesis.conditions
    assert latency.signal == SignalId("checkout", SignalKind.LATENCY, "p99")
    assert (latency.comparator, latency.threshold, latency.unit) == (Comparator.LESS, 0.3, Unit.SECONDS)
    assert (latency.for_s, latency.text, latency.relative) == (3.0, "< 300ms", False)
    assert (latency.location.line, latency.location.column) == (6, 23)
    assert traffic.signal == SignalId("checkout", SignalKind.TRAFFIC, "rate")
    assert (traffic.relative, traffic.threshold, traffic.unit) == (True, 0.3, Unit.RATIO)
    assert (errors.signal.measure, errors.threshold) == ("ratio", 0.01)
    assert (saturation.signal.measure, saturation.threshold) == ("cpu", 0.85)
    fault, action = experiment.method
    assert isinstance(fault, FaultStep)
    assert fault.ladder == (BlastRadius(count=1), BlastRadius(share=0.25), BlastRadius(share=0.5))
    assert (fault.fault, fault.target.service, fault.target.caller) == ("pods/kill", "payments", None)
    assert (fault.hold_s, fault.name, fault.arguments) == (60, "pods/kill on payments", ())
    assert isinstance(action, Activity)
    provider = action.definition["provider"]
    assert isinstance(provider, dict)
    assert provider["arguments"] == {"name": "payments", "replicas": 1, "ns": "shop"}
    (alert,) = experiment.alerts
    assert (alert.name, alert.within_s, alert.severity, alert.runbook) == ("PaymentsDown", 60, "page", "payments-down")
    assert experiment.recovers_within_s == 120
    (abort,) = experiment.abort_when
    assert (abort.comparator, abort.threshold, abort.for_s) == (Comparator.GREATER, 0.1, 5)
    assert experiment.timing == Timing()
    assert not experiment.plain


PLAIN = {
    "version": "1.0.0",
    "title": "Plain",
    "description": "Only the Chaos Toolkit's own keys, and one of nobody's",
    "tags": ["a", "b"],
    "contributions": {"reliability": "high"},
    "runtime": {"hypothesis": {"strategy": "default"}},
    "extensions": [{"name": "x", "data": {}}],
    "controls": [{"name": "trace", "provider": {"type": "python", "module": "chaostracing"}}],
    "configuration": {"delay": 7, "from_env": {"type": "env", "key": "NO_SUCH_VARIABLE", "default": "2.5"}},
    "secrets": {"k8s": {"token": {"type": "env", "key": "TOKEN"}}},
    "something-else": [1, 2, 3],
    "steady-state-hypothesis": {
        "title": "Well",
        "probes": [
            {
                "type": "probe",
                "name": "answers",
                "tolerance": 200,
                "provider": {"type": "http", "url": "http://localhost", "timeout": [1, 2]},
            }
        ],
    },
    "method": [
        {"ref": "answers", "background": True},
        {
            "type": "action",
            "name": "act",
            "provider": {"type": "process", "path": "true"},
            "pauses": {"before": "${delay}", "after": "${from_env}"},
            "unknown": "tolerated",
        },
    ],
    "rollbacks": [{"type": "action", "name": "back", "provider": {"type": "process", "path": "true"}}],
}


@pytest.mark.parametrize("name", ["plain.json", "plain.yaml"])
def test_a_plain_experiment(write: Write, name: str) -> None:
    experiment = load_experiment(write(name, json.dumps(PLAIN, indent="\t" if name.endswith("json") else 2)))
    assert experiment.plain
    assert experiment.service is None
    assert experiment.configuration == PLAIN["configuration"]
    assert experiment.secrets == PLAIN["secrets"]
    assert (experiment.controls, experiment.tags) == (("trace",), ("a", "b"))
    (probe,) = experiment.hypothesis.probes
    reference, action = experiment.method
    assert isinstance(reference, Activity)
    assert isinstance(action, Activity)
    assert (reference.definition, reference.background) == (probe.definition, True)
    assert not probe.background
    assert (action.pause_before_s, action.pause_after_s) == (7, 2.5)
    assert [rollback.name for rollback in experiment.rollbacks] == ["back"]


def test_what_is_only_to_be_pretended_is_known(write: Write) -> None:
    for dry, pretended in (("actions", [False, True]), ("activities", [True, True]), ("probes", [True, False])):
        experiment = load_experiment(write("a.json", json.dumps(PLAIN | {"dry": dry})))
        steps = [step for step in experiment.method if isinstance(step, Activity)]
        assert [experiment.pretends(step) for step in steps] == pretended
        assert [experiment.pauses(step) != (0, 0) for step in steps] == [False, dry == "probes"]
    paused = load_experiment(write("a.json", json.dumps(PLAIN | {"dry": "pause"})))
    action = paused.method[1]
    assert isinstance(action, Activity)
    assert (paused.pretends(action), paused.pauses(action)) == (False, (0, 0))


def test_the_strategies_of_a_plain_experiment(write: Write) -> None:
    runtime = {"hypothesis": {"strategy": "continously"}, "rollbacks": {"strategy": "deviated"}, "python": {}}
    experiment = load_experiment(write("a.json", json.dumps(PLAIN | {"runtime": runtime})))
    assert experiment.runtime.hypothesis is HypothesisStrategy.CONTINUOUSLY  # spelt as the Toolkit forgives it
    assert experiment.runtime.rollbacks is RollbackStrategy.DEVIATED
    with pytest.raises(SpecError, match="found `sometimes`"):
        load_experiment(write("a.json", json.dumps(PLAIN | {"runtime": {"rollbacks": {"strategy": "sometimes"}}})))


def test_everything_else_a_user_may_write(write: Write) -> None:
    text = """
x-shared: &shared {hold: 5s, blast-radius: 1}
title: All of it
service: a
steady-state-hypothesis:
  signals:
    latency: {p50: "< 1ms", p99.9: "<= 2s", for: 1s}
    traffic: {rate: "> 10/s"}
    saturation: {disk_queue: "< 0.5"}
method:
  - {fault: x/y, name: it, target: {service: b, from: c}, delay: 300ms, count: 3, <<: *shared}
abort-when: {latency: {p99: "> 1s"}}
timing: {interval: 500ms, baseline: 0s, steady: 1s, recovery: 1m, blind-after: 3s}
"""
    experiment = load_experiment(write("a.yaml", text))
    assert experiment.hypothesis.title == "All of it"
    assert [(str(c.signal), c.threshold, c.for_s) for c in experiment.hypothesis.conditions] == [
        ("a.latency.p50", 0.001, 1),
        ("a.latency.p99.9", 2, 1),
        ("a.traffic.rate", 10, 3),
        ("a.saturation.disk_queue", 0.5, 3),
    ]
    (step,) = experiment.method
    assert isinstance(step, FaultStep)
    assert (step.name, step.target.caller, step.hold_s) == ("it", "c", 5)
    assert [(argument.name, argument.text) for argument in step.arguments] == [("delay", "300ms"), ("count", "3")]
    assert experiment.abort_when[0].for_s == 5
    assert experiment.timing == Timing(0.5, 0, 1, 60, 3)


HEAD = "title: T\nservice: s\n"
FAULT = "method:\n  - fault: a/b\n    target: {service: s}\n"
STEP = FAULT + "    hold: 5s\n    blast-radius: "
EMPTY = HEAD + "method: []\n"
SIGNALS = EMPTY + "steady-state-hypothesis:\n  signals:\n    "
ACTIVITY = "title: T\nmethod:\n  - "


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "method: []\n",
            ["1:1: found an experiment without `title`, expected the experiment's title"],
        ),
        (
            "title: T\n",
            [
                "1:1: found an experiment without `method`, "
                "expected a list of faults and activities; `method: []` only checks the steady state"
            ],
        ),
        ("title: T\nmethod:\n", ["2:8: found nothing, expected a list of faults and activities; `[]` for none"]),
        ("title: T\nmethod: 3\n", ["2:9: found `3`, expected a list of faults and activities"]),
        ("title: [T]\nmethod: []\n", ["1:8: found a list, expected a text"]),
        ("title: ' '\nmethod: []\n", ["1:8: found an empty text, expected a text"]),
        ("title:\nmethod: []\n", ["1:7: found nothing, expected a text"]),
        (
            "title: T\nservice: a\nmethod: []\nmethod: []\n",
            ["4:1: found the key `method` a second time, expected each key once"],
        ),
        # A misspelt key is one mistake, in a plain experiment too; a key of one's own there is none.
        (
            "title: T\nmethod: []\nabort-wen: {}\nblast_radius: 3\nrollbaks: []\nmy-own: 3\n",
            [
                "3:1: found the key `abort-wen`, expected a key of an experiment; did you mean `abort-when`?",
                "5:1: found the key `rollbaks`, expected a key of an experiment; did you mean `rollbacks`?",
            ],
        ),
        (
            "titel: T\nmethod: []\n",
            ["1:1: found the key `titel`, expected a key of an experiment; did you mean `title`?"],
        ),
        (
            EMPTY + "my-own: 3\nx-my-own: 3\n",
            ["4:1: found the key `my-own`, expected a key of an experiment"],
        ),
        (
            "title: T\nmethod: []\nabort-when: {errors: {ratio: '> 1%'}}\n",
            ["1:1: found signals without a `service`, expected `service:` says whose signals they are"],
        ),
        # Signals.
        (
            SIGNALS + "latency: {p99: 300}\n",
            ['6:20: found `300`, expected a comparison with a duration, such as "< 300ms"'],
        ),
        (
            SIGNALS + "latency: {p99: '< 300%'}\n",
            ['6:20: found `< 300%`, expected a comparison with a duration, such as "< 300ms"'],
        ),
        (
            SIGNALS + "errors: {ratio: '< 1s'}\n",
            ['6:21: found `< 1s`, expected a comparison with a percentage or ratio, such as "< 1%"'],
        ),
        (SIGNALS + "errors: {ratio: '< 101%'}\n", ["6:21: found `< 101%`, expected an errors ratio of at most 100%"]),
        (
            SIGNALS + "errors: {ratio: '< 0%'}\n",
            ["6:21: found `< 0%`, expected a comparison that says something: it is never true"],
        ),
        (
            SIGNALS + "traffic: {rate: '> 20'}\n",
            ['6:21: found `> 20`, expected a comparison with a rate, such as "> 20/s"'],
        ),
        (
            SIGNALS + "traffic: {change: '> 20/s'}\n",
            ['6:23: found `> 20/s`, expected a comparison with a percentage or ratio, such as "< 1%"'],
        ),
        (
            SIGNALS + "latency: {p99x: '< 1s'}\n",
            ["6:15: found the key `p99x`, expected a key of conditions on latency; did you mean `p99`?"],
        ),
        (
            SIGNALS + "latency: {p0: '< 1s'}\n",
            ["6:15: found the key `p0`, expected a key of conditions on latency; did you mean `p90`?"],
        ),
        (
            SIGNALS + "latancy: {p99: '< 1s'}\n",
            ["6:5: found the key `latancy`, expected a key of golden signals; did you mean `latency`?"],
        ),
        (
            SIGNALS + "errors: {for: 3s}\n",
            ['6:13: found errors without a measure, expected a measure, such as {ratio: "< 1%"}'],
        ),
        (SIGNALS + "errors: {ratio: '< 1%', for: 0s}\n", ["6:34: found `0s`, expected a duration longer than 0s"]),
        (
            SIGNALS + "errors: '< 1%'\n",
            ['6:13: found `< 1%`, expected conditions on errors, such as {ratio: "< 1%"} (a mapping)'],
        ),
        (
            EMPTY + "steady-state-hypothesis:\n  singals: {}\n",
            ["5:3: found the key `singals`, expected a key of a steady-state hypothesis; did you mean `signals`?"],
        ),
        # Faults.
        (
            HEAD + FAULT,
            [
                "4:5: found a fault without `blast-radius`, "
                "expected how much it may touch, such as `blast-radius: 1` or `[1, 25%, 50%]`",
                "4:5: found a fault without `hold`, "
                "expected how long each stage is held and judged, such as `hold: 60s`",
            ],
        ),
        (HEAD + STEP + "0\n", ["7:19: found `0`, expected a count of at least 1, or a percentage above 0%"]),
        (HEAD + STEP + "101%\n", ["7:19: found `101%`, expected a percentage above 0% and up to 100%"]),
        (HEAD + STEP + "0.5\n", ["7:19: found `0.5`, expected a count such as 1, or a percentage such as 25%"]),
        (
            HEAD + STEP + "[]\n",
            [
                "7:5: found an empty `blast-radius`, "
                "expected a count such as 1, a percentage such as 25%, or a list of them"
            ],
        ),
        (HEAD + STEP + "[3, 50%, 25%, 2]\n", ["7:28: found `25%` after `50%`, expected stages that grow"]),
        (HEAD + STEP + "[3, 2]\n", ["7:23: found `2` after `3`, expected stages that grow"]),
        (
            HEAD + FAULT + "    hold: 5s\n    blast_radius: 1\n",
            ["7:5: found the key `blast_radius`, expected a key of a fault; did you mean `blast-radius`?"],
        ),
        (
            HEAD + FAULT + "    blast-radius: 1\n    hold: 60\n",
            ["7:11: found `60`, expected a duration such as 300ms, 90s or 1h30m"],
        ),
        (
            HEAD + STEP + "1\n    delay: {a: b}\n",
            ["8:12: found a mapping, expected a value for the fault's parameter `delay`"],
        ),
        (
            HEAD + "method:\n  - {fault: a/b, target: {servise: s, form: s}, blast-radius: 1, hold: 5s}\n",
            [
                "4:27: found the key `servise`, expected a key of a target; did you mean `service`?",
                "4:39: found the key `form`, expected a key of a target; did you mean `from`?",
            ],
        ),
        (
            HEAD + "method:\n  - {fault: a/b, target: s, blast-radius: 1, hold: 5s}\n",
            ["4:26: found `s`, expected a target, such as {service: payments} (a mapping)"],
        ),
        (
            HEAD + "method:\n  - {falt: a/b}\n",
            [
                "4:5: found a step of neither kind, "
                "expected `fault:`, or `type: action` or `probe`; did you mean `fault`?"
            ],
        ),
        (HEAD + "method: [kill]\n", ["3:10: found `kill`, expected a fault or an activity (a mapping)"]),
        # Expectations and timing.
        (
            EMPTY + "expect: {alerts: [{name: A}], recover-within: 2m}\n",
            [
                "4:19: found an alert without `within`, "
                "expected how soon it must fire after the first injection, such as `within: 60s`",
                "4:31: found the key `recover-within`, expected a key of expectations; did you mean `recovers-within`?",
            ],
        ),
        (EMPTY + "timing: {interval: 1ms}\n", ["4:20: found `1ms`, expected an interval of at least 10ms"]),
        (EMPTY + "timing: {interval: 10s}\n", ["4:10: found blind-after 10s, expected more than the interval of 10s"]),
        # Activities.
        (
            ACTIVITY + "{type: acton, name: n, provider: {type: process, path: ls}}\n",
            ["3:12: found `acton`, expected one of probe, action; did you mean `action`?"],
        ),
        (
            ACTIVITY + "{type: action}\n",
            [
                "3:5: found an activity without `name`, expected the activity's name",
                "3:5: found an activity without `provider`, expected a provider of type python, process or http",
            ],
        ),
        (
            ACTIVITY + "{type: action, name: n, provider: {type: pyton}}\n",
            ["3:46: found `pyton`, expected one of python, process, http; did you mean `python`?"],
        ),
        (
            ACTIVITY + "{type: action, name: n, provider: {type: python, module: m}}\n",
            ["3:39: found a provider without `func`, expected what a provider of type python needs"],
        ),
        (
            ACTIVITY
            + "{type: action, name: n, provider: {type: process, path: ls}, pauses: {before: soon, after: -1}}\n",
            [
                "3:83: found `soon`, expected seconds as a number, or a variable of `configuration` that is one",
                "3:96: found `-1`, expected seconds as a number, or a variable of `configuration` that is one",
            ],
        ),
        (
            ACTIVITY + "{type: action, name: n, provider: {type: process, path: ls}, background: maybe}\n",
            [
                "3:78: found `maybe`, expected true or false",
            ],
        ),
        (ACTIVITY + "ref: nope\n", ["3:5: found the activity `nope`, expected the name of a known activity"]),
        (
            "title: T\nmethod: []\nsteady-state-hypothesis:\n  probes:\n"
            "  - {type: probe, name: n, provider: {type: process, path: ls}}\n",
            [
                "5:5: found a probe without `tolerance`, "
                "expected what the probe's output must be, such as `tolerance: 200`"
            ],
        ),
        (
            "title: T\nmethod: []\ndry: maybe\n",
            ["3:6: found `maybe`, expected one of probes, actions, activities, pause"],
        ),
    ],
)
def test_mistakes(write: Write, text: str, mistakes: list[str]) -> None:
    path = write("a.yaml", text)
    assert mistakes_of(lambda: load_experiment(path)) == mistakes


def test_what_an_experiment_refers_to_must_be_there(write: Write, tmp_path: Path) -> None:
    project_file = write("gameday.yaml", "project: shop\n")
    runbook = Runbook(tmp_path / "runbooks/payments-down.md", "payments-down", "Payments is down")
    project = Project(project_file, "shop", (), (Service("checkout"), Service("payments")), "", (runbook,))
    path = write("a.yaml", DESIGN)
    assert mistakes_of(lambda: load_experiment(path, project)) == []
    wrong = write("b.yaml", DESIGN.replace("service: payments", "service: payment").replace("-down}", "-downn}"))
    assert mistakes_of(lambda: load_experiment(wrong, project)) == [
        "13:23: found the service `payment`, expected one of checkout, payments; did you mean `payments`?",
        "21:66: found the runbook `payments-downn`, expected a file runbooks/payments-downn.md; "
        "did you mean `payments-down`?",
    ]
    without = Project(tmp_path / "elsewhere/gameday.yaml", "x", (), (), "")
    assert mistakes_of(lambda: load_experiment(wrong, without)) == []


def test_a_file_full_of_mistakes_is_not_read_to_its_end(write: Write) -> None:
    path = write("a.yaml", HEAD + STEP + f"[{', '.join(['no'] * 900)}]\n")
    found = mistakes_of(lambda: load_experiment(path))
    assert len(found) == 201
    assert found[-1].endswith("found 200 mistakes so far, expected fewer; the rest has not been read")


def test_references_cannot_grow_beyond_all_bounds(write: Write) -> None:
    large = ", ".join(map(str, range(30_000)))
    steps = f"  - {{type: action, name: n, provider: {{type: process, path: ls, arguments: [{large}]}}}}\n"
    path = write("a.yaml", "title: T\nmethod:\n" + steps + "  - ref: n\n" * 900)
    assert mistakes_of(lambda: load_experiment(path))[0].endswith(
        "found more than can be held once every `ref` is filled in, expected less"
    )
