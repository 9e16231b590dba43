"""What config/patch is asked to change, of which kind of object, and the plan for it."""

import time
from base64 import b64encode
from typing import Any

import msgspec

from gameday.common.json import Json, JsonObject
from gameday.faults.base import FaultError, FaultRequest, Radius, Where
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.change import annotation_of, read_fields
from gameday.faults.cluster.changing import ChangePlan, ready_within_s
from gameday.faults.cluster.pointers import escaped, named
from gameday.faults.cluster.targets import Group, Pods, find_pods, uids
from gameday.faults.config.readers import Entry, readers_of, rolled_of
from gameday.faults.config.secret import SecretKey, backup_of
from gameday.faults.deployment.rollout import check_rollout, container_of
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Anything, Meta, path_of

_KINDS = {"configmap": "ConfigMap", "secret": "Secret", "deployment": "Deployment"}
_LONGEST_SHOWN = 60


class Wanted(msgspec.Struct, frozen=True):
    """One value of one object. `value` is None when the key is to go."""

    kind: str
    name: str
    key: str
    value: str | None = None
    container: str | None = None
    restart: bool = False

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


class PatchPlan(ChangePlan, frozen=True):
    """`secret` has what a plan may know of a Secret's key, of which `changes` say nothing.

    `since`: when it was planned, in seconds since the Unix epoch. `entry`: what pods may have read since; None for a
    Deployment. `rolled`: what an injection rolls; `readers`: all workloads that an undo may have to.
    """

    wanted: Wanted = Wanted("", "", "")
    request: FaultRequest = FaultRequest("", Radius())
    selector: str = ""
    since: float = 0.0
    entry: Entry | None = None
    secret: SecretKey | None = None
    readers: tuple[Group, ...] = ()
    rolled: tuple[Group, ...] = ()


class _Stored(msgspec.Struct, frozen=True, rename="camel"):
    """A ConfigMap or a Secret."""

    metadata: Meta
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None
    immutable: bool = False


def read_wanted(request: FaultRequest) -> Wanted:
    """What the settings ask for. Raises FaultError when they contradict each other."""
    arguments = request.arguments
    kind, _, name = str(arguments.get("object", "")).partition("/")
    if kind not in _KINDS or not name:
        raise FaultError(f"`object: {kind}/{name}` is none of configmap/NAME, secret/NAME and deployment/NAME")
    value, container = arguments.get("value"), arguments.get("container")
    if (value is None) is not (arguments.get("absent") is True):
        raise FaultError("either `value` says what it becomes, or `absent: true` that it goes")
    restart = arguments.get("restart") is True
    if kind != "deployment" and container is not None:
        raise FaultError("`container` is for a variable of a Deployment")
    if kind == "deployment" and restart:
        raise FaultError("a Deployment whose environment changes rolls its pods by itself: leave out `restart`")
    return Wanted(
        _KINDS[kind],
        name,
        str(arguments.get("key", "")),
        None if value is None else str(value),
        None if container is None else str(container),
        restart,
    )


def by_kind(client: Client, place: Place, request: FaultRequest, wanted: Wanted, pods: Pods) -> PatchPlan:
    """The plan. Raises FaultError, ClusterError."""
    plan = PatchPlan(
        place,
        ready_within_s=ready_within_s(request),
        wanted=wanted,
        request=msgspec.structs.replace(request, arguments={}),
        selector=pods.selector,
        since=time.time(),
    )
    if wanted.kind == "Deployment":
        return _of_environment(client, plan, request, pods)
    stored = client.find(path_of(wanted.kind, place.namespace, wanted.name), _Stored)
    if stored is None:
        raise FaultError(f"there is no {wanted.kind} `{wanted.name}` in {place.namespace}")
    if stored.immutable:
        raise FaultError(f"{wanted} is immutable: no value of it can be changed")
    entry = Entry(wanted.kind, wanted.name, wanted.key)
    readers = readers_of(client, place.namespace, entry)
    there = uids(pods.live)
    blind = [pod for pod in readers if pod.metadata.uid in there and not all(way.is_renewed for way in pod.ways(entry))]
    plan = msgspec.structs.replace(
        plan,
        entry=entry,
        readers=rolled_of(client, place.namespace, readers),
        rolled=rolled_of(client, place.namespace, blind) if wanted.restart else (),
    )
    return _of_secret(client, plan, stored) if wanted.kind == "Secret" else _of_map(client, plan, stored)


def _of_map(client: Client, plan: PatchPlan, stored: _Stored) -> PatchPlan:
    wanted = plan.wanted
    if wanted.key in (stored.binary_data or {}):
        raise FaultError(f"`{wanted.key}` of {wanted} is in its binaryData: only text can be changed")
    pointer = f"/data/{escaped(wanted.key)}"
    change = read_fields(client, plan.place, "ConfigMap", wanted.name, {pointer: wanted.value})
    _ensure_changes(wanted, change.fields[0].before, change.fields[0].after)
    return msgspec.structs.replace(plan, changes=(change,))


def _of_secret(client: Client, plan: PatchPlan, stored: _Stored) -> PatchPlan:
    wanted, before = plan.wanted, (stored.data or {}).get(plan.wanted.key)
    after = None if wanted.value is None else b64encode(wanted.value.encode()).decode()
    _ensure_changes(wanted, before, after)
    change = read_fields(client, plan.place, "Secret", wanted.name, {})
    secret = SecretKey(wanted.name, change.uid, wanted.key, after, before is not None)
    return msgspec.structs.replace(plan, changes=(change,), created=(backup_of(plan.place),), secret=secret)


def _of_environment(client: Client, plan: PatchPlan, request: FaultRequest, pods: Pods) -> PatchPlan:
    wanted, place = plan.wanted, plan.place
    whole = Where(owner=f"deployment/{wanted.name}", namespace=request.where.namespace)
    found = check_rollout(client, place, msgspec.structs.replace(request, where=whole))
    own = find_pods(client, place.namespace, msgspec.structs.replace(request, service="", where=whole)).live
    others = [pod.metadata.name for pod in own if pod.metadata.uid not in uids(pods.live)]
    if others:
        raise FaultError(f"{wanted} has pods that are not of the target: {', '.join(sorted(others))}")
    index, container = container_of(found, wanted.container)
    document: Any = client.get(path_of("Deployment", place.namespace, wanted.name), Anything).spec
    variables = document["template"]["spec"]["containers"][index].get("env") or []
    if sum(item["name"] == wanted.key for item in variables) > 1:
        raise FaultError(f"the container `{container}` of {wanted} has `{wanted.key}` more than once")
    pointer = f"/spec/template/spec/containers/{named(container)}/env/{named(wanted.key)}"
    after = None if wanted.value is None else {"name": wanted.key, "value": wanted.value}
    change = read_fields(client, place, "Deployment", wanted.name, {pointer: after})
    _ensure_changes(wanted, change.fields[0].before, after)
    wanted = msgspec.structs.replace(wanted, container=container)
    return msgspec.structs.replace(plan, wanted=wanted, changes=(change,))


def _ensure_changes(wanted: Wanted, before: Json, after: Json) -> None:
    if before == after:
        what = f"has no `{wanted.key}`" if after is None else f"has this value in `{wanted.key}`"
        raise FaultError(f"{wanted} {what} already: nothing would change")


# -- in words


def in_words(plan: PatchPlan) -> str:
    """One line; of a Secret no values."""
    wanted = plan.wanted
    where = f"{wanted.key} of {wanted} in {plan.place.namespace}"
    if wanted.container:
        where = f"{wanted.key} in the container {wanted.container} of {wanted} in {plan.place.namespace}"
    if plan.secret is not None:
        text = f"take away {where}" if wanted.value is None else f"set {where} to another value"
    else:
        before, after = plan.change.fields[0].before, plan.change.fields[0].after
        text = f"take away {where}" if after is None else f"set {where} from {_short(before)} to {_short(after)}"
    return text + (f", and roll {', '.join(map(str, plan.rolled))}" if plan.rolled else "")


def _short(value: Json) -> str:
    """A value, or that of a variable."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        value = value.get("value", value.get("valueFrom", ""))
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def undone_by_kubectl(plan: PatchPlan) -> str:
    """The command that puts a ConfigMap's or a Deployment's value back: a patch that finds its place by names."""
    from shlex import quote

    wanted, field = plan.wanted, plan.change.fields[0]
    patch: JsonObject = {"metadata": {"annotations": {annotation_of(plan.place.stamp): None}}}
    if plan.entry is not None:
        patch["data"] = {wanted.key: field.before}
    else:
        variable = {"value": None, **field.before} if field.before else {"name": wanted.key, "$patch": "delete"}
        container = {"name": wanted.container, "env": [variable]}
        patch["spec"] = {"template": {"spec": {"containers": [container]}}}
    text = quote(msgspec.json.encode(patch).decode())
    return f"{plan.place.kubectl} patch {wanted.kind.lower()} {quote(wanted.name)} -p {text}"
