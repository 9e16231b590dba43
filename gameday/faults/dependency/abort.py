"""dependency/abort: calls to a service fail at once with an HTTP status."""

from collections.abc import Mapping
from typing import ClassVar

from gameday.faults.base import Parameter, ParameterKind, Value
from gameday.faults.dependency.runtime import RuntimeFault, RuntimePlan, Setting


class Abort(RuntimeFault):
    """Envoy answers a call itself with `status`; the service never sees it."""

    name = "dependency/abort"
    kind = "abort"
    summary = "make calls to the service fail at once with an HTTP status"
    parameters: ClassVar = {
        "status": Parameter(ParameterKind.INTEGER, "the HTTP status they get", default="503", minimum=200, maximum=599)
    }

    def settings(self, arguments: Mapping[str, Value]) -> tuple[Setting, ...]:
        return (Setting("abort.status", str(int(arguments.get("status", 503)))),)

    def effect(self, plan: RuntimePlan) -> str:
        return f"answer {plan.settings[0].value} to"
