"""Compiles a native experiment into a plain one, which `chaos run` executes with our activities. Pure; no I/O.

Format: https://chaostoolkit.org/reference/api/experiment/.
"""

import json
from collections.abc import Iterator

import yaml

from gameday import __version__
from gameday.common.json import Json, JsonObject
from gameday.spec.conditions import CHANGE, HYPOTHESIS_FOR_S
from gameday.spec.model import Activity, ActivityKind, Condition, Experiment, FaultStep
from gameday.spec.nodes import Mapping, Node, Scalar, Sequence, to_json
from gameday.spec.units import format_duration

ENVIRONMENT_VARIABLE = "GAMEDAY_ENVIRONMENT"
CONFIRM_VARIABLE = "GAMEDAY_CONFIRMED"
ACTIONS, PROBES = "gameday.chaostoolkit.actions", "gameday.chaostoolkit.probes"
CONTROL = "gameday.chaostoolkit.method_control"
# Parameters that every fault's action has; a fault's own of the same name gets an underscore.
COMMON_PARAMETERS = ("service", "radius", "caller", "environment", "configuration", "secrets")
_VERBATIM = ("version", "contributions", "extensions", "secrets", "dry")
_WIDTH = 110
_COMMENT = (
    "# For `chaos run`, where gameday is installed. Written by `gameday export`: change what it was written from.\n"
)


def action_of(fault: str) -> str:
    """The name of the action for a fault: "process/kill" is `process_kill`."""
    return "".join(character if character.isalnum() else "_" for character in fault)


def argument_of(parameter: str) -> str:
    """The name of an action's argument for a fault's parameter."""
    name = action_of(parameter)
    return f"{name}_" if name in COMMON_PARAMETERS else name


def compile_experiment(experiment: Experiment, document: Mapping, source: str) -> JsonObject:
    """The plain experiment. `document` is what `experiment` was read from; `source` says where, to people."""
    return _Compiler(experiment, document, source).compile()


def write_yaml(document: JsonObject) -> str:
    """As YAML, in the order of its keys; its first line says what it is for."""
    return _COMMENT + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def write_json(document: JsonObject) -> str:
    """As JSON, in the order of its keys."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Dumper(yaml.SafeDumper):
    """Quotes comparisons, as people do, and writes out what stands there twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if text[:1] in ("<", ">", "$") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class _Compiler:
    def __init__(self, experiment: Experiment, document: Mapping, source: str) -> None:
        self._experiment = experiment
        self._document = document
        self._source = source
        self._raw: JsonObject = to_json(document)
        self._names = set(_names(self._raw))

    def compile(self) -> JsonObject:
        experiment, raw = self._experiment, self._raw
        return {
            "title": experiment.title,
            "description": experiment.description or experiment.title,
            "tags": list(dict.fromkeys([*experiment.tags, "gameday"])),
            **{key: raw[key] for key in _VERBATIM if raw.get(key) is not None},
            "x-gameday": {"exported-by": f"gameday {__version__}", "from": self._source},
            "configuration": self._configuration(),
            "runtime": self._runtime(),
            "controls": self._controls(),
            "steady-state-hypothesis": self._hypothesis(),
            "method": list(self._method()),
            "rollbacks": list(self._rollbacks()),
        }

    def _configuration(self) -> JsonObject:
        ours: JsonObject = {
            "gameday_environment": {"type": "env", "key": ENVIRONMENT_VARIABLE, "default": "lab"},
            "gameday_confirmed": {"type": "env", "key": CONFIRM_VARIABLE, "default": ""},
        }
        return ours | self._experiment.configuration

    def _runtime(self) -> JsonObject:
        # gameday runs rollbacks whatever happens; the Toolkit does not when the run failed or was interrupted.
        runtime = self._raw.get("runtime")
        return (runtime if isinstance(runtime, dict) else {}) | {"rollbacks": {"strategy": "always"}}

    def _controls(self) -> list[Json]:
        """The user's own; and one of ours that tells the session what becomes of the user's actions."""
        controls = list(self._raw.get("controls") or ())
        if self._has_activities:
            controls.append({"name": "gameday", "provider": {"type": "python", "module": CONTROL}})
        return controls

    @property
    def _has_activities(self) -> bool:
        return any(isinstance(step, Activity) for step in self._experiment.method)

    # -- the hypothesis

    def _hypothesis(self) -> JsonObject:
        experiment = self._experiment
        raw = self._raw.get("steady-state-hypothesis") or {}
        rest = {key: value for key, value in raw.items() if key not in ("title", "signals", "probes")}
        probes = [self._ready(), *map(self._signal, experiment.hypothesis.conditions), *(raw.get("probes") or ())]
        probes.append(self._probe("everything is undone", "everything_is_undone"))
        if experiment.method:
            probes.append(self._probe("the steady state held during the method", "stages_held"))
        for alert in experiment.alerts:
            name = f"alert {alert.name} fires within {format_duration(alert.within_s)}"
            probes.append(self._probe(name, "alert_fired", name=alert.name))
        if experiment.hypothesis.conditions:
            probes.append(self._probe("the steady state comes back", "recovered"))
        probes.append(self._probe("runbooks are whole", "runbooks_are_whole"))
        probes.append(self._probe("no other weakness was found", "no_weakness_found"))
        return {"title": experiment.hypothesis.title or experiment.title, **rest, "probes": probes}

    def _ready(self) -> JsonObject:
        experiment, native = self._experiment, _native(self._document)
        hypothesis, expect = native.get("steady-state-hypothesis") or {}, native.get("expect") or {}
        announced: JsonObject = {
            "title": experiment.title,
            "source": self._source,
            "service": experiment.service,
            "hypothesis": experiment.hypothesis.title,
            "signals": hypothesis.get("signals"),
            "abort_when": native.get("abort-when"),
            "faults": [step for step in native.get("method") or () if "fault" in step],
            "alerts": expect.get("alerts"),
            "recovers_within": expect.get("recovers-within"),
            "timing": native.get("timing"),
        }
        arguments: JsonObject = {"environment": "${gameday_environment}", "confirmed": "${gameday_confirmed}"}
        arguments |= {key: _escaped(value) for key, value in announced.items() if value}
        if probes := [probe.definition for probe in experiment.hypothesis.probes if not _needs_secrets(probe)]:
            arguments["probes"] = probes
        probe = self._probe("preflight passes and the steady state holds", "ready", **arguments)
        if experiment.secrets:
            probe["provider"]["secrets"] = list(experiment.secrets)  # for them to be masked
        return probe

    def _signal(self, condition: Condition) -> JsonObject:
        measure = CHANGE if condition.relative else condition.signal.measure
        signal = f"{condition.signal.kind}.{measure}"
        arguments: JsonObject = {"service": condition.signal.service, "signal": signal, "condition": condition.text}
        if condition.for_s != HYPOTHESIS_FOR_S:
            arguments["lasting"] = format_duration(condition.for_s)
        name = f"{condition.signal.service} {signal} {condition.text}"
        return self._probe(name, "signal_holds", **_escaped(arguments))

    # -- the method

    def _method(self) -> Iterator[JsonObject]:
        steps = self._experiment.method
        written = self._raw["method"] or []
        touched = False
        for step, raw in zip(steps, written, strict=True):
            if isinstance(step, FaultStep):
                touched = True
                yield from self._ladder(step)
                continue
            if step.kind is ActivityKind.ACTION and not touched:
                touched = True
                yield self._action("alerts are timed from here", "count_as_injected")
            yield raw
        if self._has_activities:
            yield self._action("judge what the actions did", "judge_method")
        yield self._action("undo everything", "undo_all")
        yield self._action("wait until the steady state is back", "wait_until_recovered")

    def _ladder(self, step: FaultStep) -> Iterator[JsonObject]:
        settings = {argument_of(argument.name): argument.text for argument in step.arguments}
        named = {key: getattr(step.target, key) for key, _ in step.target.keys if key not in ("service", "from")}
        aim = {"service": step.target.service, "caller": step.target.caller, "target": named}
        hold = format_duration(step.hold_s)
        for number, radius in enumerate(step.ladder, 1):
            stage = f"{step.name}, stage {number} of {len(step.ladder)} ({radius})"
            arguments = {**{key: value for key, value in aim.items() if value}, "radius": str(radius), **settings}
            yield self._action(stage, action_of(step.fault), **_escaped(arguments))
            yield self._action(f"{step.name}, stage {number}: hold for {hold} and judge", "hold_and_judge", hold=hold)

    def _rollbacks(self) -> Iterator[JsonObject]:
        yield self._action("make sure that everything is undone", "make_sure_all_is_undone")
        yield from self._raw.get("rollbacks") or ()
        # Last, for it ends the rollbacks when the run did not end as it should.
        yield self._action("say how the run ended", "say_how_it_ended")

    # -- activities

    def _probe(self, title: str, func: str, /, **arguments: Json) -> JsonObject:
        return {**self._activity("probe", PROBES, title, func, arguments), "tolerance": True}

    def _action(self, title: str, func: str, /, **arguments: Json) -> JsonObject:
        return self._activity("action", ACTIONS, title, func, arguments)

    def _activity(self, kind: str, module: str, title: str, func: str, arguments: JsonObject) -> JsonObject:
        name, number = title, 1
        while name in self._names:  # the Toolkit finds activities that are referred to by their names
            number += 1
            name = f"{title} [{number}]"
        self._names.add(name)
        provider: JsonObject = {"type": "python", "module": module, "func": func}
        if arguments:
            provider["arguments"] = arguments
        return {"type": kind, "name": name, "provider": provider}


def _names(raw: JsonObject) -> Iterator[str]:
    hypothesis = raw.get("steady-state-hypothesis") or {}
    for section in (hypothesis.get("probes"), raw.get("method"), raw.get("rollbacks")):
        for activity in section or ():
            yield str(activity.get("name", ""))


def _native(node: Node) -> Json:
    """The value with its numbers as they were written: the spec reads texts, and 0500 is not 320 to it."""
    match node:
        case Scalar():
            exact = node.value is None or isinstance(node.value, bool) or str(node.value) == node.text
            return node.value if exact else node.text
        case Sequence():
            return [_native(item) for item in node.items]
        case Mapping():
            return {key: _native(value) for key, (_, value) in node.entries.items()}


def _escaped(value: Json) -> Json:
    """The same to an activity, once the Toolkit has replaced what begins with a dollar sign."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return value


def _needs_secrets(probe: Activity) -> bool:
    """Whether the Toolkit hands it whole groups of secrets, which nobody else can."""
    provider = probe.definition.get("provider")
    return isinstance(provider, dict) and bool(provider.get("secrets"))
