"""Actions for `chaos run`: every fault that is installed, how stages are held and judged, and the undo.

They are steps of one session, which the probe `gameday.chaostoolkit.probes.ready` begins. `gameday export` writes whole
experiments of them.
"""

import inspect
from collections.abc import Callable
from typing import Any

from gameday.chaostoolkit import current
from gameday.chaostoolkit.adapter import interruption
from gameday.chaostoolkit.export import action_of, argument_of
from gameday.cli.output import say
from gameday.common.json import JsonObject
from gameday.engine.driven import DrivenError
from gameday.faults.base import Fault, FaultError, Parameter, ParameterKind
from gameday.faults.registry import fault_names, load_fault
from gameday.journal.events import Verdict
from gameday.spec.units import UnitError, parse_positive_duration

__all__ = [
    "count_as_injected",
    "hold_and_judge",
    "inject",
    "judge_method",
    "make_sure_all_is_undone",
    "say_how_it_ended",
    "undo_all",
    "wait_until_recovered",
]


@current.activity
def inject(
    fault: str,
    radius: str,
    service: str = "",
    caller: str = "",
    arguments: dict[str, Any] | None = None,
    environment: str = "",
    target: dict[str, Any] | None = None,
) -> str:
    """Inject one stage of a fault, such as `process/kill`.

    service: the service that is hit. radius: how much of it, a count ("2") or a percentage ("50%"). caller: of
    dependency faults, the service whose calls are hit (default: all). target: in a cluster, whom else `target` in
    gameday's files may name, such as {"owner": "deployment/payments"}. arguments: the fault's own settings, as a person
    writes them ("300ms"). A second stage of the same fault grows from the first. Returns what was done.

    When the probe `ready` has begun a session, the stage must be one that was announced to it. Without it, and only
    with an `environment` of gameday.yaml, this begins one with this stage alone: no signal is watched then.
    """
    aim: JsonObject = {"service": service} if service else {}
    aim |= ({"from": caller} if caller else {}) | (target or {})
    step: JsonObject = {"fault": fault, "target": aim, "blast-radius": radius, "hold": "1s", **(arguments or {})}
    document: JsonObject = {"title": f"{fault} on {service or aim}", "method": [step]}
    if environment and not current.is_open():
        current.open_session(document, "chaos run", environment, "", {}, {})
    driver = current.driver()
    return driver.inject(current.read_step(document))


@current.activity
def hold_and_judge(hold: str = "") -> JsonObject:
    """Hold the stage that was injected last, and judge the steady state meanwhile.

    hold: how long, such as "60s" (default: as announced). A stage that does not hold ends the method: everything is
    undone at once, and later stages are passed over. Ends the experiment when an abort condition of `ready` comes true,
    or a guarding signal cannot be read. Returns {"held": true or false}.
    """
    try:
        hold_s = parse_positive_duration(hold) if hold else None
    except UnitError as error:
        raise DrivenError(str(error)) from None
    return {"held": current.driver().hold(hold_s)}


@current.activity
def judge_method() -> None:
    """Judge the steady state over all the time since the method began: what other actions did to it."""
    current.driver().judge()


@current.activity
def count_as_injected() -> None:
    """Say that another action is about to break something: expected alerts are timed from here."""
    current.driver().touch()


@current.activity
def undo_all() -> None:
    """End the method and undo every fault, the last first, each retried and verified. Fails when something is left."""
    driver = current.driver()
    driver.finish()
    current.ensure_clean(driver.run)


@current.activity
def wait_until_recovered() -> str:
    """Wait until the steady state is back and alerts are silent, at most as long as `ready` was told. The verdict."""
    return str(current.driver().result().verdict)


@current.activity
def make_sure_all_is_undone() -> None:
    """For rollbacks: undo everything now, unless the experiment went its way. Fails when something is left."""
    current.end("`chaos run` ended the experiment before its method was over")


@current.activity
def say_how_it_ended() -> str:
    """For the end of the rollbacks: the verdict. Marks the experiment as interrupted when it says less than was asked.

    That is when it did not begin, was aborted, or an undo failed: the Toolkit might call it completed.
    """
    if not current.is_open():
        return "nothing was begun"
    result = current.driver().result()
    say(f"`gameday report {result.run.name}` writes the report of this run")
    if result.verdict is Verdict.UNDO_FAILED:
        raise interruption(f"gameday: {result.reason}")
    return str(result.verdict)


_TYPES = {ParameterKind.INTEGER: int}


def _action(fault: Fault[Any]) -> Callable[..., str]:
    """The fault as an action with its own arguments."""
    names = {argument_of(name): name for name in fault.parameters}

    def action(**given: Any) -> str:
        arguments = {names[key]: str(value) for key, value in given.items() if key in names and value is not None}
        rest = {key: value for key, value in given.items() if key not in names}
        return inject(fault=fault.name, arguments=arguments, **rest)

    action.__name__ = action.__qualname__ = action_of(fault.name)
    action.__module__ = __name__
    action.__doc__ = _document(fault)
    action.__signature__ = _signature(fault)  # type: ignore[attr-defined]
    return action


def _document(fault: Fault[Any]) -> str:
    lines = [f"{fault.summary[:1].upper()}{fault.summary[1:].rstrip('.')}.", ""]
    lines += ["service: the service that is hit. radius: how much of it, a count or a percentage.", ""]
    for name, parameter in fault.parameters.items():
        choices = f", one of {', '.join(parameter.choices)}" if parameter.choices else ""
        lines.append(f"{argument_of(name)}: {parameter.help} ({parameter.kind}{choices}).")
    return "\n".join(lines).rstrip()


def _signature(fault: Fault[Any]) -> inspect.Signature:
    """Parameters without a default first, as Python wants them."""

    def parameter(name: str, kind: type, default: object = inspect.Parameter.empty) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)

    def own(name: str, setting: Parameter) -> inspect.Parameter:
        default = inspect.Parameter.empty if setting.default is None and not setting.optional else setting.default
        return parameter(argument_of(name), _TYPES.get(setting.kind, str), default)

    settings = [own(name, setting) for name, setting in fault.parameters.items()]
    parameters = [parameter("radius", str), *settings, parameter("service", str, "")]
    parameters += [parameter("caller", str, ""), parameter("environment", str, ""), parameter("target", dict, None)]
    parameters.sort(key=lambda item: item.default is not inspect.Parameter.empty)
    return inspect.Signature(parameters, return_annotation=str)


def _add_faults() -> None:
    for name in fault_names():
        try:
            function = _action(load_fault(name))
        except FaultError:
            continue  # a third party's that cannot be loaded; `inject` says why when it is asked for
        globals().setdefault(function.__name__, function)
        if function.__name__ not in __all__:
            __all__.append(function.__name__)


_add_faults()
