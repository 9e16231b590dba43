"""nodes/cordon: nodes take no new pods, as when somebody forgot to uncordon them, or a pool is full."""

from collections.abc import Iterator

from gameday.faults.base import FaultRequest, Permission, Remark, Table
from gameday.faults.cluster.base import Place
from gameday.faults.nodes.targets import (
    NodeFault,
    NodePlan,
    choose_nodes,
    find_nodes,
    left_schedulable,
    node_needs,
    node_table,
)
from gameday.kubernetes.client import Client


class Cordon(NodeFault[NodePlan]):
    """Cordons nodes: the pods there stay. The undo uncordons exactly those that it has cordoned."""

    name = "nodes/cordon"
    summary = "let nodes take no new pods; those that are there stay"
    plan_type = NodePlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> NodePlan:
        _, changes = choose_nodes(client, place, request)
        return NodePlan(place, changes, request=request)

    def describe(self, plan: NodePlan) -> str:
        return f"cordon {', '.join(plan.nodes)}"

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        return node_needs(namespace, request, namespace)

    def look(self, client: Client, plan: NodePlan) -> tuple[Table, list[Remark]]:
        found = find_nodes(client, plan.place.namespace, plan.request, plan.nodes)
        return node_table(found, plan.nodes), [left_schedulable(found, plan.nodes)]
