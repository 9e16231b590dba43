"""Who reads a ConfigMap or a Secret, and whether it notices a change: the kubelet renews mounted files, and nothing
renews what a container got when it was started.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/#mounted-configmaps-are-updated-automatically
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from gameday.faults.base import Permission
from gameday.faults.cluster.base import namespaced
from gameday.faults.cluster.targets import Group, groups_of
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Container, Pod, PodSpec, path_of

ROLLED = ("Deployment", "StatefulSet", "DaemonSet")  # whose pods can be rolled


class Way(StrEnum):
    """How a container reads it."""

    ENVIRONMENT = "reads it into its environment"
    SUBPATH = "mounts a single file of it (subPath)"
    FILES = "mounts it as files"

    @property
    def is_renewed(self) -> bool:
        """Whether a running container gets to see a change."""
        return self is Way.FILES


class Entry(msgspec.Struct, frozen=True):
    """What is read: a kind, a name, and the one key that is meant."""

    kind: str
    name: str
    key: str


class _Ref(msgspec.Struct, frozen=True):
    name: str = ""
    key: str = ""


class _ValueFrom(msgspec.Struct, frozen=True, rename="camel"):
    config_map_key_ref: _Ref | None = None
    secret_key_ref: _Ref | None = None


class _Env(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    value_from: _ValueFrom | None = None


class _EnvFrom(msgspec.Struct, frozen=True, rename="camel"):
    config_map_ref: _Ref | None = None
    secret_ref: _Ref | None = None


class _Mount(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    sub_path: str = ""
    sub_path_expr: str = ""


class _Item(msgspec.Struct, frozen=True):
    key: str
    path: str


class _Files(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    secret_name: str = ""
    items: tuple[_Item, ...] | None = None

    def path_of(self, entry: Entry) -> str | None:
        """Under which path the key is mounted; None when it is not, or when this is another object."""
        if entry.name != (self.name or self.secret_name):
            return None
        if self.items is None:
            return entry.key
        return next((item.path for item in self.items if item.key == entry.key), None)


class _Source(msgspec.Struct, frozen=True, rename="camel"):
    config_map: _Files | None = None
    secret: _Files | None = None

    def path_of(self, entry: Entry) -> str | None:
        files = self.config_map if entry.kind == "ConfigMap" else self.secret
        return files.path_of(entry) if files else None


class _Projected(msgspec.Struct, frozen=True):
    sources: tuple[_Source, ...] | None = None


class _Volume(_Source, frozen=True, kw_only=True):
    name: str
    projected: _Projected | None = None

    def paths(self, entry: Entry) -> list[str]:
        """Under which the key is mounted."""
        sources = (self, *((self.projected.sources or ()) if self.projected else ()))
        return [path for source in sources if (path := source.path_of(entry)) is not None]


class _Container(Container, frozen=True, rename="camel"):
    env: tuple[_Env, ...] | None = None
    env_from: tuple[_EnvFrom, ...] | None = None
    volume_mounts: tuple[_Mount, ...] | None = None

    def ways(self, entry: Entry, volumes: dict[str, _Volume]) -> Iterator[Way]:
        """How it reads the key."""
        is_map = entry.kind == "ConfigMap"
        for item in self.env_from or ():
            whole = item.config_map_ref if is_map else item.secret_ref
            if whole and whole.name == entry.name:
                yield Way.ENVIRONMENT
        for variable in self.env or ():
            source = variable.value_from or _ValueFrom()
            one = source.config_map_key_ref if is_map else source.secret_key_ref
            if one and (one.name, one.key) == (entry.name, entry.key):
                yield Way.ENVIRONMENT
        for mount in self.volume_mounts or ():
            volume, part = volumes.get(mount.name), mount.sub_path
            for path in volume.paths(entry) if volume else ():
                if not part and not mount.sub_path_expr:
                    yield Way.FILES
                elif mount.sub_path_expr or path == part or path.startswith(f"{part}/"):
                    yield Way.SUBPATH


class _Spec(PodSpec, frozen=True, rename="camel"):
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] | None = None
    volumes: tuple[_Volume, ...] | None = None


class Reader(Pod, frozen=True):
    """A pod, with what it reads."""

    spec: _Spec = _Spec()

    def ways(self, entry: Entry) -> frozenset[Way]:
        """How its containers read the object's key."""
        volumes = {volume.name: volume for volume in self.spec.volumes or ()}
        containers = (*self.spec.containers, *(self.spec.init_containers or ()))
        return frozenset(way for container in containers for way in container.ways(entry, volumes))

    def has_old(self, entry: Entry, since: float) -> bool:
        """Whether a container holds what it read when it was started, and was started since (seconds since the Unix
        epoch)."""
        volumes = {volume.name: volume for volume in self.spec.volumes or ()}
        running = {
            status.name: status.state.running.started_at
            for status in self.status.container_statuses or ()
            if status.state.running
        }
        for container in (*self.spec.containers, *(self.spec.init_containers or ())):
            if all(way.is_renewed for way in container.ways(entry, volumes)):
                continue
            # One that does not run, or has run before the others, may have read it ever since there is the pod.
            started = running.get(container.name) or self.metadata.creation_timestamp
            if started is None or started.timestamp() >= since:
                return True
        return False


def readers_of(client: Client, namespace: str, entry: Entry) -> list[Reader]:
    """The live pods that read it in any way."""
    pods = client.list(path_of("Pod", namespace), Reader)
    return [pod for pod in pods if pod.is_live and pod.ways(entry)]


def workloads_of(client: Client, namespace: str, pods: Iterable[Reader]) -> dict[Group | None, list[Reader]]:
    """The pods by what brings them: None for those that nothing brings."""
    found: dict[Group | None, list[Reader]] = {}
    by_owner: dict[str, list[Reader]] = {}
    for pod in pods:
        owner = pod.metadata.controller
        by_owner.setdefault(owner.uid if owner else "", []).append(pod)
    for uid, owned in by_owner.items():
        group = groups_of(client, namespace, owned)[0] if uid else None
        found.setdefault(group, []).extend(owned)
    return found


def reader_needs(namespace: str, purpose: str, *, rolls: bool) -> Iterator[Permission]:
    """What it takes to find the readers and their workloads, and to roll these."""
    verbs = "get patch" if rolls else "get"
    workloads = [(verbs, "apps", kind) for kind in ("deployments", "statefulsets", "daemonsets")]
    rules = [("list", "", "pods"), ("get", "apps", "replicasets"), *workloads]
    yield from namespaced(*rules, purpose=purpose, namespace=namespace)


def rolled_of(client: Client, namespace: str, pods: Iterable[Reader]) -> tuple[Group, ...]:
    """The workloads of these pods that can be rolled."""
    groups = workloads_of(client, namespace, pods)
    return tuple(sorted({group for group in groups if group and group.kind in ROLLED}, key=str))
