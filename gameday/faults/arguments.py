"""Reads the settings of a fault step as its fault declares them."""

from typing import Any

from gameday.common.texts import most_similar
from gameday.faults.base import Fault, Parameter, ParameterKind, Value
from gameday.spec.experiment import STEP_KEYS
from gameday.spec.location import Mistake, SpecError
from gameday.spec.model import FaultStep
from gameday.spec.units import UnitError, excerpt, format_duration, parse_duration

_DIGITS = 15  # more cannot be meant


def read_arguments(step: FaultStep, fault: Fault[Any]) -> dict[str, Value]:
    """Every parameter of the fault with its value: the step's, else the default (none without either).

    Raises SpecError with all mistakes: an unknown setting, a wrong kind, out of bounds, or one that is missing.
    """
    values: dict[str, Value] = {}
    mistakes: list[Mistake] = []
    missing = {
        name: parameter
        for name, parameter in fault.parameters.items()
        if parameter.default is None and not parameter.optional
    }
    for name, parameter in fault.parameters.items():
        if parameter.default is not None:
            values[name] = _parse(parameter.default, parameter)
    for argument in step.arguments:
        known = fault.parameters.get(argument.name)
        if known is None:
            near = _nearest(argument.name, fault)
            missing.pop(near or "", None)
            settings = ", ".join(fault.parameters) or "none"
            expected = f"a setting of {fault.name} ({settings}) or a key of a fault"
            mistakes.append(Mistake(argument.location, f"the key {excerpt(argument.name)}", expected, near))
            continue
        missing.pop(argument.name, None)
        try:
            values[argument.name] = _parse(argument.text, known)
        except UnitError as error:
            near = most_similar(argument.text, known.choices)
            found = f"`{argument.name}: {argument.text[:60]}`"
            mistakes.append(Mistake(argument.location, found, error.expected, near))
    for name, parameter in missing.items():
        mistakes.append(Mistake(step.location, f"{fault.name} without `{name}`", parameter.help))
    if mistakes:
        raise SpecError(tuple(mistakes))
    return values


def _nearest(name: str, fault: Fault[Any]) -> str | None:
    normal = name.lower().replace("_", "-")
    known = {key.lower().replace("_", "-"): key for key in (*STEP_KEYS, *fault.parameters)}
    near = most_similar(normal, known)
    return known[near] if near else None


def _parse(text: str, parameter: Parameter) -> Value:
    """The text as the parameter's kind. Raises UnitError."""
    match parameter.kind:
        case ParameterKind.DURATION:
            return _within(parse_duration(text), text, parameter)
        case ParameterKind.INTEGER:
            digits = text.strip()
            if not digits.removeprefix("-").isdecimal() or len(digits) > _DIGITS:
                raise UnitError(excerpt(text), "a whole number")
            return _within(int(digits), text, parameter)
        case ParameterKind.CHOICE:
            if text not in parameter.choices:
                raise UnitError(excerpt(text), f"one of {', '.join(parameter.choices)}")
            return text
        case ParameterKind.BOOLEAN:
            if text not in ("true", "false"):
                raise UnitError(excerpt(text), "true or false")
            return text == "true"
        case ParameterKind.TEXT:
            return text


def _within[N: (int, float)](value: N, text: str, parameter: Parameter) -> N:
    """The value, if it lies within the parameter's bounds. Raises UnitError."""
    low, high = parameter.minimum, parameter.maximum
    if (low is None or value >= low) and (high is None or value <= high):
        return value
    show = format_duration if parameter.kind is ParameterKind.DURATION else "{:g}".format
    bounds = [f"at least {show(low)}" if low is not None else "", f"at most {show(high)}" if high is not None else ""]
    raise UnitError(excerpt(text), " and ".join(filter(None, bounds)))
