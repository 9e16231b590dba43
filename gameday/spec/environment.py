"""Reads one environment of gameday.yaml: where signals and alerts come from, and what a run may do there."""

import re
from pathlib import Path

from gameday.kubernetes.reference import ClusterRef
from gameday.spec.channels import read_channels, read_slack
from gameday.spec.model import Environment, EnvironmentKind
from gameday.spec.policy import read_policy
from gameday.spec.reader import Fields
from gameday.spec.sources import read_alerts, read_dashboards, read_on_call, read_signals
from gameday.spec.units import UnitError, excerpt
from gameday.spec.variables import VARIABLE

LAB = Environment("lab", EnvironmentKind.LAB)

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_A_CLUSTER = "a cluster, such as {context: staging, namespace: shop}"


def read_environment(fields: Fields, name: str, root: Path, secrets: tuple[str, ...] = ()) -> Environment:
    """The environment; mistakes are noted. `root` is what paths in it are relative to."""
    kind = EnvironmentKind(fields.choice("kind", tuple(EnvironmentKind)) or EnvironmentKind.DECLARED)
    if kind is EnvironmentKind.LAB:
        policy = read_policy(fields, root)
        for key in ("signals", "alerts", "processes", "kubernetes", "clusters"):
            if fields.has(key):
                fields.get(key)
                fields.file.mistake(fields.key(key), f"{key} of the lab", "none: the lab brings its own")
        environment = Environment(
            name=name,
            kind=kind,
            policy=policy,
            dashboards=read_dashboards(fields),
            on_call=read_on_call(fields, root),
            slack=read_slack(fields, root),
            channels=read_channels(fields),
            secrets=secrets,
        )
        fields.close()
        return environment
    environment = Environment(
        name=name,
        kind=kind,
        signals=read_signals(fields),
        alerts=read_alerts(fields),
        inventory=_inventory(fields, root),
        policy=read_policy(fields, root),
        cluster=_cluster(fields, root),
        clusters=_clusters(fields, root),
        dashboards=read_dashboards(fields),
        on_call=read_on_call(fields, root),
        slack=read_slack(fields, root),
        channels=read_channels(fields),
        secrets=secrets,
    )
    fields.close()
    return environment


def _inventory(fields: Fields, root: Path) -> Path | None:
    processes = fields.mapping("processes", "processes, such as {inventory: run/inventory.json}")
    if processes is None:
        return None
    inventory = processes.text("inventory", "the path of an inventory")
    processes.require("inventory", "the path of an inventory, such as run/inventory.json")
    processes.close()
    return root / inventory if inventory else None


def _cluster(fields: Fields, root: Path) -> ClusterRef | None:
    cluster = fields.mapping("kubernetes", _A_CLUSTER)
    return _reference(cluster, root) if cluster else None


def _clusters(fields: Fields, root: Path) -> tuple[tuple[str, ClusterRef], ...]:
    clusters = fields.mapping("clusters", "further clusters by name, such as {eu: {context: staging-eu}}")
    read = []
    for name, _, node in clusters.rest() if clusters else ():
        cluster = fields.as_mapping(node, _A_CLUSTER)
        read += [(name, _reference(cluster, root))] if cluster else []
    return tuple(read)


def _reference(cluster: Fields, root: Path) -> ClusterRef:
    in_cluster = cluster.boolean("in-cluster")
    if in_cluster:
        for key in ("context", "kubeconfig"):
            if cluster.has(key):
                cluster.get(key)
                cluster.file.mistake(cluster.key(key), f"`{key}` beside `in-cluster: true`", "one of the two")
    else:
        # The current context of a shell is whatever its user did last: not what a fault should go by.
        cluster.require("context", "the name of a context, or `in-cluster: true`")
    kubeconfig = cluster.text("kubeconfig", "the path of a kubeconfig")
    read = ClusterRef(
        context=cluster.text("context", "the name of a context"),
        namespace=cluster.scalar("namespace", parse_namespace, "the name of a namespace"),
        kubeconfig=str(root / Path(kubeconfig).expanduser()) if kubeconfig else None,
        in_cluster=in_cluster,
    )
    cluster.close()
    return read


def parse_namespace(text: str) -> str:
    """The name of a namespace, which is a DNS label (RFC 1123), or `${VARIABLE}`. Raises UnitError."""
    if not VARIABLE.search(text) and not _NAMESPACE.fullmatch(text):
        raise UnitError(excerpt(text), "the name of a namespace: small letters, digits and dashes")
    return text
