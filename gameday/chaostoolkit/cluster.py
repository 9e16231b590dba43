"""Points extensions and programs at the cluster of the environment: left alone, each takes the current context of a
kubeconfig, which is whatever somebody's shell did last."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gameday.common.files import write_atomically
from gameday.common.json import JsonObject
from gameday.kubernetes.reference import ClusterRef

# chaosk8s reads these, from an activity's secrets before the process's environment:
# https://chaostoolkit.org/drivers/kubernetes/
CONTEXT = "KUBERNETES_CONTEXT"
_KUBECONFIG, _IN_POD = "KUBECONFIG", "CHAOSTOOLKIT_IN_POD"


class ActivityCluster(msgspec.Struct, frozen=True):
    """Which cluster activities mean, and a directory for what says so to a program."""

    reference: ClusterRef
    directory: Path


def point_at(cluster: ActivityCluster) -> dict[str, str]:
    """Let this process mean this cluster. The variables are for programs that it starts. Raises OSError."""
    reference = cluster.reference
    if reference.in_cluster:
        os.environ.pop(CONTEXT, None)
        os.environ[_IN_POD] = "true"
        os.environ[_KUBECONFIG] = str(cluster.directory / "no-kubeconfig")  # either would take one that is there
        return {}
    os.environ[CONTEXT] = reference.context or ""
    if reference.kubeconfig:
        os.environ[_KUBECONFIG] = reference.kubeconfig
    # kubectl knows no variable for the context, but the first of several files decides. chaosk8s takes one file alone.
    # https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files
    first = cluster.directory / "context.yaml"
    if not first.exists():
        content = {"apiVersion": "v1", "kind": "Config", "current-context": reference.context}
        write_atomically(first, json.dumps(content))
    rest = os.environ.get(_KUBECONFIG) or str(Path("~/.kube/config").expanduser())
    return {_KUBECONFIG: f"{first}{os.pathsep}{rest}"}


def contexts_of(secrets: JsonObject) -> Iterator[str]:
    """The contexts that an experiment's secrets name."""
    for group in secrets.values():
        value = group.get(CONTEXT) if isinstance(group, dict) else None
        if isinstance(value, dict) and value.get("type") == "env":
            value = os.environ.get(str(value.get("key")), value.get("default"))
        if isinstance(value, str):
            yield value
