"""Faults of a cluster, planned, injected and undone in this process, as the engine's children do."""

import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
from cluster import Cluster

from gameday.common.codec import decode, encode
from gameday.engine.jobs import Job, JobKind, perform
from gameday.faults.base import Examination, Fault, FaultRequest, Radius, Reach, Stamp, System, Value, Where
from gameday.faults.registry import load_fault
from gameday.kubernetes.client import Client
from gameday.kubernetes.reference import ClusterRef

RUN = "20261125-100000-a-run-0001"


class Trial:
    """A fault in one namespace."""

    def __init__(
        self, cluster: Cluster, namespace: str, fault: str, *, user: str = "admin", url: str = "", allowed: str = ""
    ) -> None:
        kubeconfig = cluster.kubeconfig_for(user, namespace, url=url)
        self.system = System(
            cluster=ClusterRef(user, namespace, str(kubeconfig)), namespaces=tuple(filter(None, [allowed]))
        )
        self.fault: Fault[Any] = load_fault(fault)

    def request(
        self, radius: int | float, *, service: str = "", stage: int = 0, run: str = RUN, seed: int = 7, **rest: Any
    ) -> FaultRequest:
        """`radius`: a count, or a share as a float. What is no field of a request or of Where is a fault's argument."""
        named = {key: rest.pop(key) for key in ("caller", "already") if key in rest}
        where = {key: rest.pop(key) for key in tuple(rest) if key in Where.__struct_fields__}
        arguments: dict[str, Value] = {key.replace("_", "-"): value for key, value in rest.items()}
        size = Radius(share=radius) if isinstance(radius, float) else Radius(count=radius)
        stamp = Stamp(run, f"0.0.{stage}", 0.0)
        return FaultRequest(
            service=service, radius=size, arguments=arguments, where=Where(**where), stamp=stamp, seed=seed, **named
        )

    def plan(self, radius: int | float, **rest: Any) -> Any:
        """As it comes back from the journal."""
        plan = self.fault.plan(self.request(radius, **rest), self.system)
        return decode(encode(plan), self.fault.plan_type)

    def inject(self, radius: int | float, **rest: Any) -> Any:
        """Plan and inject."""
        plan = self.plan(radius, **rest)
        self.fault.inject(plan)
        return plan

    def reach(self, plan: Any) -> Reach:
        """How much it would touch now."""
        return self.fault.reach(plan, self.system)

    def undo(self, plan: Any) -> tuple[str, ...]:
        """Undo; what is left."""
        result = perform(Job(kind=JobKind.UNDO, fault=self.fault.name, plan=encode_raw(plan)))
        return (*filter(None, [result.error]), *result.left)

    def examine(self, radius: int | float, plan: Any = None, **rest: Any) -> Examination:
        """What preflight hears."""
        return self.fault.examine(self.request(radius, **rest), plan, self.system)


def die_after(writes: int, patching: pytest.MonkeyPatch) -> None:
    """End the process, as it were, right after so many requests that change something: by a ZeroDivisionError."""
    count, request = [0], Client.request

    def dying(self: Client, method: str, path: str, **rest: Any) -> bytes:
        answer = request(self, method, path, **rest)
        count[0] += method != "GET"
        if count[0] == writes and method != "GET":
            raise ZeroDivisionError
        return answer

    patching.setattr(Client, "request", dying)


def run_by_hand(trial: Trial, plan: Any) -> None:
    """Do what a person would."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    done = subprocess.run(["sh", "-ec", trial.fault.by_hand(plan)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{trial.fault.by_hand(plan)}\n{done.stderr}"


def encode_raw(plan: Any) -> Any:
    """The plan as the journal has it."""
    import msgspec

    return msgspec.Raw(encode(plan))


def details(examination: Examination) -> Iterable[str]:
    """What was remarked."""
    return [remark.detail for remark in examination.remarks]
