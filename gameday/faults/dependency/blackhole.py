"""dependency/blackhole: calls to a service are swallowed, as behind a firewall that drops packets."""

from collections.abc import Mapping

from gameday.faults.base import Value
from gameday.faults.dependency.runtime import RuntimeFault, RuntimePlan, Setting


class Blackhole(RuntimeFault):
    """Envoy routes a call to where nobody answers: it ends with the caller's or the route's timeout."""

    name = "dependency/blackhole"
    kind = "blackhole"
    summary = "swallow calls to the service: no answer, until somebody's timeout ends them"

    def settings(self, arguments: Mapping[str, Value]) -> tuple[Setting, ...]:
        return ()

    def effect(self, plan: RuntimePlan) -> str:
        return "swallow"
