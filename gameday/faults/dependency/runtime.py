"""What the dependency faults share: overrides in Envoy's runtime on the links that lead to a service.

Formats: https://www.envoyproxy.io/docs/envoy/latest/operations/admin (POST /runtime_modify, GET /runtime?format=json).
The keys of a link are `<runtime>.<kind>.percent` and, beside it, `.ms` or `.status`; percentages are whole numbers.

A key that somebody else has overridden is refused. So what was there before the first stage is always the same, no
override, and to undo any stage is to remove the overrides: in whatever order the stages are undone, and even after
Envoy has restarted and forgotten them, the end is the same. Restoring an earlier stage's value would
leave a fault behind whenever the later stage's undo succeeds last.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from itertools import batched
from math import gcd
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import msgspec

from gameday.common.blocking_http import HttpError, request
from gameday.common.codec import decode
from gameday.common.inventory import InventoryError, Link, load_inventory
from gameday.faults.base import Fault, FaultError, FaultRequest, Radius, Reach, System, Value, allowed, choose

_TIMEOUT_S = 3.0
_KEYS_A_CALL = 100  # some 6 KB of Envoy's 60 KB limit on a request's head
_KINDS = ("delay", "abort", "blackhole")


class Setting(msgspec.Struct, frozen=True):
    """A runtime key of a link, without the link's prefix, and its value."""

    key: str
    value: str


class Hit(msgspec.Struct, frozen=True):
    """A link, and how many percent of its calls meet the fault: 0 when only an earlier stage has hit it."""

    link: Link
    percent: int


class RuntimePlan(msgspec.Struct, frozen=True):
    """One stage, whole: what an earlier stage has set is set anew. `scope` is all the links that it might hit.

    `already` names the targets on which an earlier stage has set the same keys.
    """

    admin: str
    service: str
    kind: str
    hits: tuple[Hit, ...]
    scope: tuple[Link, ...]
    settings: tuple[Setting, ...]
    already: tuple[str, ...] = ()

    def overrides(self) -> dict[str, str]:
        """Every key that is set, and its value."""
        values: dict[str, str] = {}
        for hit in self.hits:
            values |= {f"{hit.link.runtime}.{setting.key}": setting.value for setting in self.settings}
            values[f"{hit.link.runtime}.{self.kind}.percent"] = str(hit.percent)
        return values


class _Entry(msgspec.Struct, frozen=True):
    layer_values: tuple[str, ...]
    final_value: str


class Runtime(msgspec.Struct, frozen=True):
    """Envoy's answer to GET /runtime?format=json: each key's value in each layer, of which the last one wins."""

    layers: tuple[str, ...] = ()
    entries: dict[str, _Entry] = {}

    def override(self, key: str) -> str | None:
        """The value set over the admin interface, or None."""
        entry = self.entries.get(key)
        if entry is None or not self.layers:
            return None
        # The admin layer has the name that the configuration gives it: `admin` by Envoy's default, mostly the last.
        index = self.layers.index("admin") if "admin" in self.layers else len(self.layers) - 1
        return entry.layer_values[index] or None

    def effective(self, key: str) -> str | None:
        """The value that Envoy goes by, or None."""
        entry = self.entries.get(key)
        return entry.final_value if entry else None

    def percent(self, key: str) -> int:
        """A percentage that Envoy goes by; what cannot be read as one counts as all."""
        value = self.effective(key)
        if value is None:
            return 0
        return min(int(value), 100) if value.isdecimal() else 100


def target_name(link: Link) -> str:
    """How a link is called as a target: "checkout-1→payments"."""
    return f"{link.instance}→{link.callee}"


def read_runtime(admin: str) -> Runtime:
    """Ask Envoy for its runtime. Raises FaultError."""
    body = _ask("GET", f"{admin}/runtime?format=json")
    try:
        return decode(body, Runtime)
    except msgspec.MsgspecError as error:
        raise FaultError(f"{admin}/runtime does not answer like Envoy's admin interface: {error}") from error


def modify_runtime(admin: str, values: Mapping[str, str]) -> None:
    """Set overrides; an empty value removes one, and to remove none is harmless. Raises FaultError."""
    for some in batched(values.items(), _KEYS_A_CALL):
        _ask("POST", f"{admin}/runtime_modify?{_query(some)}")


def _query(values: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in values)


def _ask(method: str, url: str) -> bytes:
    try:
        response = request(method, url, _TIMEOUT_S)
    except HttpError as error:
        raise FaultError(f"Envoy's admin interface: {error}") from error
    if response.status != 200:
        said = " ".join(response.body[:200].decode(errors="replace").split())
        raise FaultError(f"Envoy's admin interface: {method} {url.partition('?')[0]}: {response.status} {said}")
    return response.body


class RuntimeFault(Fault[RuntimePlan]):
    """A fault on the calls to a service. A share of the radius is that share of the calls on every link; a count is so
    many instances of the callers, all of whose calls to the service meet the fault."""

    kind: ClassVar[str]  # the runtime keys' middle: delay, abort or blackhole
    plan_type = RuntimePlan

    @abstractmethod
    def settings(self, arguments: Mapping[str, Value]) -> tuple[Setting, ...]:
        """What is set on each link before the percentage."""

    def plan(self, request: FaultRequest, system: System) -> RuntimePlan:
        admin, scope = _scope(system, request.service, request.caller)
        already = tuple(name for name in map(target_name, scope) if name in request.already)
        if request.radius.count is None:
            percent = _whole_percent(request.radius)
            percents = {target_name(link): percent for link in scope}
        else:
            chosen = choose(scope, [target_name(link) for link in scope], request)
            percents = dict.fromkeys(already, 0) | {target_name(link): 100 for link in chosen}
        plan = RuntimePlan(
            admin=admin,
            service=request.service,
            kind=self.kind,
            hits=tuple(Hit(link, percents[target_name(link)]) for link in scope if target_name(link) in percents),
            scope=scope,
            settings=self.settings(request.arguments),
            already=already,
        )
        _refuse_strangers(plan, read_runtime(admin))
        return plan

    def targets(self, plan: RuntimePlan) -> tuple[str, ...]:
        return tuple(target_name(hit.link) for hit in plan.hits)

    def reach(self, plan: RuntimePlan, system: System) -> Reach:
        """The share of the calls that would meet this fault or another that is set: at most, as if none met two."""
        admin, everything = _scope(system, plan.service, None)
        if admin != plan.admin or not set(plan.scope) <= set(everything):
            raise FaultError(f"the calls to `{plan.service}` have been routed anew since this was planned")
        runtime = read_runtime(plan.admin)
        ours = {hit.link.runtime: hit.percent for hit in plan.hits}
        percents = []
        for link in plan.scope:
            current = {kind: runtime.percent(f"{link.runtime}.{kind}.percent") for kind in _KINDS}
            current[self.kind] = ours.get(link.runtime, current[self.kind])
            percents.append(min(sum(current.values()), 100))
        affected, total = sum(percents), 100 * len(percents)
        return Reach(affected // gcd(affected, total), total // gcd(affected, total), "calls")

    def inject(self, plan: RuntimePlan) -> None:
        _refuse_strangers(plan, read_runtime(plan.admin))
        modify_runtime(plan.admin, plan.overrides())
        runtime = read_runtime(plan.admin)
        for key, value in plan.overrides().items():
            if runtime.effective(key) != value:
                raise FaultError(f"Envoy goes by {key} = {runtime.effective(key)}, though {value} has been set")

    def undo(self, plan: RuntimePlan) -> None:
        modify_runtime(plan.admin, dict.fromkeys(plan.overrides(), ""))

    def verify(self, plan: RuntimePlan) -> tuple[str, ...]:
        runtime = read_runtime(plan.admin)
        values = {key: runtime.override(key) for key in plan.overrides()}
        return tuple(f"{key} is still {value}" for key, value in values.items() if value is not None)

    def by_hand(self, plan: RuntimePlan) -> str:
        return _curl(plan.admin, plan.overrides())

    def describe(self, plan: RuntimePlan) -> str:
        groups: dict[int, list[str]] = {}
        for hit in plan.hits:
            groups.setdefault(hit.percent, []).append(target_name(hit.link))
        calls = [f"{percent}% of the calls {', '.join(names)}" for percent, names in groups.items()]
        return f"{self.effect(plan)} {' and '.join(calls)}"

    @abstractmethod
    def effect(self, plan: RuntimePlan) -> str:
        """What happens to the calls, so that "<effect> 25% of the calls …" reads well."""


def _curl(admin: str, keys: Iterable[str]) -> str:
    return f"curl -fsS -X POST '{admin}/runtime_modify?{_query((key, '') for key in keys)}'"


def _whole_percent(radius: Radius) -> int:
    try:
        return allowed(radius, 100)
    except FaultError:
        raise FaultError(
            f"a blast radius of {(radius.share or 0) * 100:g}% is less than one percent; Envoy knows only whole ones"
        ) from None


def _scope(system: System, service: str, caller: str | None) -> tuple[str, tuple[Link, ...]]:
    """Envoy's admin interface, and the links to the service (from one caller). Raises FaultError."""
    if system.inventory is None:
        raise FaultError("this environment has no inventory of links; dependency faults need one")
    try:
        inventory = load_inventory(Path(system.inventory))
    except InventoryError as error:
        raise FaultError(str(error)) from error
    if inventory.envoy_admin is None:
        raise FaultError(f"the inventory {system.inventory} names no Envoy admin interface (envoy_admin)")
    to_service = [link for link in inventory.links if link.callee == service]
    links = tuple(link for link in to_service if caller in (None, link.caller))
    if not links:
        callers = ", ".join(sorted({link.caller for link in to_service}))
        services = ", ".join(sorted({link.callee for link in inventory.links}))
        known = f"its callers are {callers}" if callers else f"there are calls to {services or 'no service at all'}"
        raise FaultError(f"no calls to `{service}`{f' from `{caller}`' if caller else ''} go through the mesh; {known}")
    return inventory.envoy_admin.rstrip("/"), links


def _refuse_strangers(plan: RuntimePlan, runtime: Runtime) -> None:
    """Raises FaultError when a key is overridden that no earlier stage has set: it is not ours to change or remove."""
    strangers = tuple(hit for hit in plan.hits if target_name(hit.link) not in plan.already)
    for key in msgspec.structs.replace(plan, hits=strangers).overrides():
        value = runtime.override(key)
        if value is not None:
            raise FaultError(
                f"Envoy's runtime already has an override {key} = {value}, set by somebody else or by another step; "
                f"if it is a leftover, remove it with: {_curl(plan.admin, [key])}"
            )
