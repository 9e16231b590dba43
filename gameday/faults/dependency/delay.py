"""dependency/delay: calls to a service wait before they are made, as over a slow network."""

from collections.abc import Mapping
from typing import ClassVar

from gameday.faults.base import Parameter, ParameterKind, Value
from gameday.faults.dependency.runtime import RuntimeFault, RuntimePlan, Setting


class Delay(RuntimeFault):
    """Envoy holds a call for `delay` before it forwards it; the caller's timeouts run meanwhile."""

    name = "dependency/delay"
    kind = "delay"
    summary = "make calls to the service wait before they are made"
    parameters: ClassVar = {
        "delay": Parameter(ParameterKind.DURATION, "how long each call waits", minimum=0.001, maximum=3600)
    }

    def settings(self, arguments: Mapping[str, Value]) -> tuple[Setting, ...]:
        return (Setting("delay.ms", str(max(1, round(float(arguments["delay"]) * 1000)))),)

    def effect(self, plan: RuntimePlan) -> str:
        return f"delay by {plan.settings[0].value} ms"
