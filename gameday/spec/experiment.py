"""Reads an experiment: the Chaos Toolkit's own, or one with our keys."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from gameday.spec.activities import Activities, read_dry
from gameday.spec.conditions import ABORT_FOR_S, HYPOTHESIS_FOR_S, read_conditions
from gameday.spec.environment import parse_namespace
from gameday.spec.location import Mistake, SpecError
from gameday.spec.model import (
    Activity,
    Argument,
    BlastRadius,
    Condition,
    ExpectedAlert,
    Experiment,
    FaultStep,
    Hypothesis,
    HypothesisStrategy,
    Project,
    RollbackStrategy,
    Runtime,
    Target,
    Timing,
)
from gameday.spec.nodes import Mapping, Node, Scalar, to_json
from gameday.spec.reader import Fields, File, describe, nearest, read_document
from gameday.spec.runbook import check_runbook
from gameday.spec.units import UnitError, excerpt, format_duration, parse_blast_radius, parse_duration
from gameday.spec.units import parse_positive_duration as parse_positive

OWN_KEYS = ("service", "expect", "abort-when", "timing")
# https://chaostoolkit.org/reference/api/experiment/; the Toolkit ignores what it does not know.
TOOLKIT_KEYS = ("version", "contributions", "runtime", "controls", "extensions", "configuration", "secrets", "dry")
OWN_CONTROL = "gameday.chaostoolkit.control"
# Any one of these says whom a fault hits.
_WHOM = ("service", "selector", "owner", "name", "node", "zone")
_PICKS = ("random", "oldest", "newest", "one-per-node")
_OWNERS = ("deployment", "statefulset", "daemonset", "replicaset", "job")
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
_LABEL = r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:{_LABEL}\s*(?:==?|!=)\s*{_VALUE}|{_LABEL}\s+(?:not)?in\s*\(\s*{_VALUE}(?:\s*,\s*{_VALUE})*\s*\)|!?{_LABEL})\s*"
)
STEP_KEYS = ("fault", "name", "target", "blast-radius", "hold")
_SHORTEST_INTERVAL_S = 0.01


# Says what is wrong with a step (or a hypothesis' probe) beyond what can be seen here: faults and modules are not known
# on this floor.
type StepCheck = Callable[[FaultStep | Activity], Iterable[Mistake]]


def load_experiment(path: Path, project: Project | None = None, check_step: StepCheck | None = None) -> Experiment:
    """Read an experiment. Raises SpecError with all its mistakes.

    With `project`, what it refers to must be there; `check_step` is asked about every step that can be read.
    """
    return parse_experiment(path, read_document(path), project, check_step)


def parse_experiment(
    path: Path, document: Mapping, project: Project | None = None, check_step: StepCheck | None = None
) -> Experiment:
    """An experiment from a document that has been read already. Raises SpecError with all its mistakes."""
    file = File(path, forgiving=_is_plain(document))
    experiment = _Reader(file, Fields(file, document, "an experiment"), project, check_step).read()
    file.check()
    return experiment


class _Reader:
    def __init__(self, file: File, root: Fields, project: Project | None, check_step: StepCheck | None) -> None:
        self._file = file
        self._root = root
        self._project = project
        self._check_step = check_step
        self._configuration = root.opaque("configuration", "configuration")
        self._plain = file.forgiving
        self._activities = Activities(root, self._configuration)

    def read(self) -> Experiment:
        root = self._root
        title = root.text("title") or ""
        root.require("title", "the experiment's title")
        root.require("method", "a list of faults and activities; `method: []` only checks the steady state")
        service = self._service("service", root)
        hypothesis = self._hypothesis(title, service)
        method = self._method()
        abort_when = self._abort_when(service)
        alerts, recovers_within_s, dashboards = self._expect()
        timing = self._timing()
        if service is None and not root.has("service") and (hypothesis.conditions or abort_when):
            self._file.mistake(root.node, "signals without a `service`", "`service:` says whose signals they are")
        experiment = Experiment(
            path=self._file.path,
            title=title,
            description=root.text("description") or "",
            service=service,
            hypothesis=hypothesis,
            method=method,
            rollbacks=self._rollbacks(),
            alerts=alerts,
            recovers_within_s=recovers_within_s,
            abort_when=abort_when,
            timing=timing,
            plain=self._plain,
            location=self._file.location(root.node),
            tags=tuple(text for text, _ in root.texts("tags")),
            configuration=self._configuration,
            secrets=root.opaque("secrets", "secrets"),
            document=root.json(),
            controls=self._controls(),
            runtime=self._runtime(),
            dashboards=dashboards,
        )
        root.close(also=TOOLKIT_KEYS, tolerant=self._plain)
        return msgspec.structs.replace(experiment, warnings=self._file.warnings())

    def _service(self, key: str, fields: Fields) -> str | None:
        """The name of a service, which the project must know if it lists any."""
        name = fields.text(key, "the name of a service")
        node = fields.get(key)
        if name and node and self._project and self._project.services and self._project.service(name) is None:
            self._file.unknown(node, "service", name, (service.name for service in self._project.services))
        return name

    def _hypothesis(self, title: str, service: str | None) -> Hypothesis:
        fields = self._root.mapping("steady-state-hypothesis", "a steady-state hypothesis")
        if fields is None:
            return Hypothesis(title)
        own = fields.text("title")
        signals = fields.mapping("signals", 'golden signals, such as errors: {ratio: "< 1%"}')
        conditions = read_conditions(signals, service, HYPOTHESIS_FOR_S) if signals else ()
        probes: list[Activity] = []
        for node in fields.items("probes", "a list of probes"):
            probe = fields.as_mapping(node, "a probe")
            probes += self._activity(probe, probe=True) if probe else ()
        fields.close(also=("controls",), tolerant=signals is None)
        return Hypothesis(own or title, conditions, tuple(probes))

    def _method(self) -> tuple[FaultStep | Activity, ...]:
        root = self._root
        steps: list[FaultStep | Activity] = []
        node = root.get("method")
        if isinstance(node, Scalar) and node.value is None:  # most likely forgotten
            self._file.mistake(node, "nothing", "a list of faults and activities; `[]` for none")
        for item in root.items("method", "a list of faults and activities"):
            fields = root.as_mapping(item, "a fault or an activity")
            if fields is None:
                continue
            fields.what = "a fault" if fields.has("fault") else "an activity"
            if fields.has("fault"):
                steps.append(self._fault(fields))
            elif any(map(fields.has, ("type", "ref", "provider"))):
                steps += self._activity(fields)
            else:
                near = next(filter(None, (nearest(key, ("fault", "type", "ref")) for key in fields.node.entries)), None)
                self._file.mistake(item, "a step of neither kind", "`fault:`, or `type: action` or `probe`", near)
        return tuple(steps)

    def _activity(self, fields: Fields, *, probe: bool = False) -> tuple[Activity, ...]:
        """The activity; none when it cannot be read, which is noted."""
        activity = self._activities.read(fields, probe=probe)
        if activity is None:
            return ()
        definition = activity.definition
        if not probe:  # the Toolkit looks at a tolerance in a hypothesis only
            definition = {key: value for key, value in definition.items() if key != "tolerance"}
        self._check(msgspec.structs.replace(activity, definition=definition))
        return (activity,)

    def _check(self, step: FaultStep | Activity) -> None:
        if self._check_step:
            self._file.include(SpecError(tuple(self._check_step(step))))

    def _fault(self, fields: Fields) -> FaultStep:
        """The step; what is wrong is noted, and something stands in its place, so that the rest can be checked too."""
        fault = fields.text("fault", "the name of a fault, such as process/kill")
        at = fields.get("fault") or fields.node
        name = fields.text("name")
        target = self._target(fields)
        ladder = _ladder(fields)
        hold_s = fields.scalar("hold", parse_positive, "a duration such as 60s")
        fields.require("target", "whom it hits, such as `target: {service: payments}`")
        fields.require("blast-radius", "how much it may touch, such as `blast-radius: 1` or `[1, 25%, 50%]`")
        fields.require("hold", "how long each stage is held and judged, such as `hold: 60s`")
        arguments = []
        for key, where, node in fields.rest():
            meant = key.lower().replace("_", "-")
            if meant in STEP_KEYS:
                self._file.mistake(where, f"the key {excerpt(key)}", "a key of a fault", meant)
                fields.forgive(meant)
            elif not isinstance(node, Scalar) or node.value is None:
                self._file.mistake(node, describe(node), f"a value for the fault's parameter {excerpt(key)}")
            else:
                arguments.append(Argument(key, node.text, self._file.location(where)))
        fields.close()
        step = FaultStep(
            fault=fault or "",
            target=target,
            ladder=ladder,
            hold_s=hold_s or 0.0,
            arguments=tuple(arguments),
            location=self._file.location(at),
            name=name or f"{fault} on {target}",
        )
        if fault:
            self._check(step)
        return step

    def _target(self, fields: Fields) -> Target:
        target = fields.mapping("target", "a target, such as {service: payments}")
        if target is None:
            return Target(None, self._file.location(fields.node))
        read = Target(
            service=self._service("service", target),
            location=self._file.location(target.node),
            caller=self._service("from", target),
            selector=target.scalar("selector", _parse_selector, "a label selector such as app=payments"),
            owner=target.scalar("owner", _parse_owner, "a workload such as deployment/payments"),
            name=target.text("name", "a name, or a pattern such as payments-*"),
            node=target.text("node", "the name of a node, or a pattern"),
            zone=target.text("zone", "the name of a zone"),
            namespace=target.scalar("namespace", parse_namespace, "the name of a namespace"),
            cluster=target.text("cluster", "the name of one of the environment's `clusters`"),
            pick=target.choice("pick", _PICKS),
            keys=tuple((key, self._file.location(name)) for key, (name, _) in target.node.entries.items()),
        )
        if not any(map(target.has, _WHOM)):
            target.require("service", "the service that is hit")
        target.close()
        return read

    def _rollbacks(self) -> tuple[Activity, ...]:
        rollbacks: list[Activity] = []
        for node in self._root.items("rollbacks", "a list of activities"):
            fields = self._root.as_mapping(node, "an activity")
            rollbacks += self._activity(fields) if fields else ()
        return tuple(rollbacks)

    def _abort_when(self, service: str | None) -> tuple[Condition, ...]:
        fields = self._root.mapping("abort-when", 'golden signals, such as errors: {ratio: "> 10%"}')
        if fields is None:
            return ()
        return read_conditions(fields, service, ABORT_FOR_S)

    def _expect(self) -> tuple[tuple[ExpectedAlert, ...], float | None, tuple[str, ...]]:
        fields = self._root.mapping("expect", "expectations, such as recovers-within: 2m")
        if fields is None:
            return (), None, ()
        alerts: list[ExpectedAlert] = []
        for node in fields.items("alerts", "a list of alerts"):
            alert = fields.as_mapping(node, "an alert, such as {name: PaymentsDown, within: 60s}")
            read = self._alert(alert) if alert else None
            alerts += [read] if read else []
        recovers = fields.scalar("recovers-within", parse_positive, "a duration such as 2m")
        dashboards = fields.texts("dashboards", "a list of dashboards")
        fields.close()
        return tuple(alerts), recovers, tuple(text for text, _ in dashboards)

    def _alert(self, fields: Fields) -> ExpectedAlert | None:
        name = fields.text("name", "the name of an alert")
        within_s = fields.scalar("within", parse_positive, "a duration such as 60s")
        severity, runbook = fields.text("severity"), fields.text("runbook", "the name or the URL of a runbook")
        fields.require("name", "the name of an alert")
        fields.require("within", "how soon it must fire after the first injection, such as `within: 60s`")
        fields.close()
        node = fields.get("runbook")
        if runbook and node:
            check_runbook(self._file, self._project, node, runbook)
        if name is None or within_s is None:
            return None
        return ExpectedAlert(name, within_s, severity, runbook, self._file.location(fields.node))

    def _timing(self) -> Timing:
        fields = self._root.mapping("timing", "timing, such as {interval: 1s, baseline: 10s}")
        default = Timing()
        if fields is None:
            return default

        def interval(text: str) -> float:
            seconds = parse_positive(text)
            if seconds < _SHORTEST_INTERVAL_S:
                raise UnitError(excerpt(text), f"an interval of at least {format_duration(_SHORTEST_INTERVAL_S)}")
            return seconds

        read = {
            "interval": fields.scalar("interval", interval, "a duration such as 1s"),
            "baseline": fields.scalar("baseline", parse_duration, "a duration such as 10s"),
            "steady": fields.scalar("steady", parse_duration, "a duration such as 5s"),
            "recovery": fields.scalar("recovery", parse_duration, "a duration such as 60s"),
            "blind-after": fields.scalar("blind-after", parse_positive, "a duration such as 10s"),
        }
        given = {f"{key.replace('-', '_')}_s": seconds for key, seconds in read.items() if seconds is not None}
        timing = Timing(**given)
        if timing.blind_after_s <= timing.interval_s:
            node = fields.key("blind-after" if fields.has("blind-after") else "interval")
            found = f"blind-after {format_duration(timing.blind_after_s)}"
            self._file.mistake(node, found, f"more than the interval of {format_duration(timing.interval_s)}")
        fields.close()
        return timing

    def _runtime(self) -> Runtime:
        """The strategies that `chaos run` takes from the file, and what is only to be pretended."""
        chosen: dict[str, str] = {}
        runtime = self._root.mapping("runtime", "strategies, such as {rollbacks: {strategy: always}}")
        if runtime and runtime.has("python"):
            found = "the packages of `runtime.python`, which are not installed by gameday"
            self._file.warn(runtime.key("python"), found, "them beside gameday, in its environment")
        for section, strategies in (("hypothesis", HypothesisStrategy), ("rollbacks", RollbackStrategy)):
            fields = runtime.mapping(section, "a strategy") if runtime else None
            if fields and fields.has("strategy"):
                # The Toolkit forgives this spelling, which its own documentation once had.
                names = [strategy.value for strategy in strategies]
                forgiven = ["continously"] if strategies is HypothesisStrategy else []
                name = fields.choice("strategy", [*names, *forgiven]) or names[0]
                chosen[section] = HypothesisStrategy.CONTINUOUSLY if name in forgiven else name
        return Runtime(
            hypothesis=HypothesisStrategy(chosen.get("hypothesis", HypothesisStrategy.DEFAULT)),
            rollbacks=RollbackStrategy(chosen.get("rollbacks", RollbackStrategy.DEFAULT)),
            dry=read_dry(self._root),
        )

    def _controls(self) -> tuple[str, ...]:
        """The names of controls at any level, each once."""
        for node in self._root.items("controls"):
            self._root.as_mapping(node, "a control")
        return tuple(dict.fromkeys(_control_names(self._root.node)))


def _parse_selector(text: str) -> str:
    """A label selector, as `kubectl -l` takes it. Raises UnitError."""
    end = 0
    while match := _REQUIREMENT.match(text, end):
        end = match.end()
        if end == len(text):
            return text.strip()
        if text[end] != ",":
            break
        end += 1
    raise UnitError(excerpt(text), "a label selector such as app=payments,tier in (a,b)")


def _parse_owner(text: str) -> str:
    """A kind of workload and a name: "deployment/payments". Raises UnitError."""
    kind, slash, name = text.partition("/")
    if not slash or not name or kind.lower() not in _OWNERS:
        raise UnitError(excerpt(text), f"a kind ({', '.join(_OWNERS)}), a slash and a name")
    return f"{kind.lower()}/{name}"


def _control_names(root: Mapping) -> Iterator[str]:
    hypothesis = root.entries.get("steady-state-hypothesis")
    levels: list[Node] = [root, *([hypothesis[1]] if hypothesis else [])]
    for level, key in ((levels[-1], "probes"), (root, "method"), (root, "rollbacks")):
        section = level.entries.get(key) if isinstance(level, Mapping) else None
        levels += getattr(section[1], "items", []) if section else []
    for level in levels:
        controls = level.entries.get("controls") if isinstance(level, Mapping) else None
        for control in getattr(controls[1], "items", []) if controls else []:
            if isinstance(control, Mapping):
                written = {key: to_json(value) for key, (_, value) in control.entries.items()}
                provider = written.get("provider")
                if isinstance(provider, dict) and provider.get("module") == OWN_CONTROL:
                    continue  # what it does, `gameday run` does anyway
                yield str(written.get("name") or written.get("ref") or "a control")


def _is_plain(root: Mapping) -> bool:
    """Whether a document uses nothing of ours: what the Toolkit would run is then no mistake."""
    hypothesis = root.entries.get("steady-state-hypothesis")
    own = hypothesis and isinstance(hypothesis[1], Mapping) and "signals" in hypothesis[1].entries
    method = root.entries.get("method")
    steps: list[Node] = getattr(method[1], "items", []) if method else []
    faults = any(isinstance(step, Mapping) and "fault" in step.entries for step in steps)
    return not own and not faults and root.entries.keys().isdisjoint(OWN_KEYS)


def _ladder(fields: Fields) -> tuple[BlastRadius, ...]:
    """The stages, which must not shrink where two that follow one another can be compared."""
    expected = "a count such as 1, a percentage such as 25%, or a list of them"
    ladder: list[BlastRadius] = []
    nodes = fields.items("blast-radius", expected, single=True)
    if not nodes and fields.has("blast-radius"):
        fields.file.mistake(fields.key("blast-radius"), "an empty `blast-radius`", expected)
    for node in nodes:
        radius = fields.parse(node, parse_blast_radius, expected)
        if radius is None:
            continue
        before = ladder[-1] if ladder else None
        if before and _shrinks(before, radius):
            fields.file.mistake(node, f"`{radius}` after `{before}`", "stages that grow")
        ladder.append(radius)
    return tuple(ladder)


def _shrinks(before: BlastRadius, after: BlastRadius) -> bool:
    if before.count is not None and after.count is not None:
        return after.count < before.count
    return before.share is not None and after.share is not None and after.share < before.share
