"""Whole runs through the command line while the way to the API server, or what is behind it, has a bad day."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from backing import FIXTURE
from cluster import Cluster
from projects import Project, Running, hastily
from proxy import Proxy

from gameday.journal.events import FaultInjected, PreflightChecked, UndoEnded, UndoStarted

BROKEN = "gameday.dev/broken"
HELD = 0
NOT_STARTED, ABORTED, UNDO_FAILED = 3, 4, 5
IMPATIENT = {"ready-within": "1s"}  # of an undo: one attempt, and no more after a second
IS_THERE = {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "gameday.yaml"}}
HYPOTHESIS = {
    "title": "The project is there",
    "probes": [{"type": "probe", "name": "it-is-there", "tolerance": True, "provider": IS_THERE}],
}


class BadDay:
    """A project whose way to the cluster is the proxy, and the Service that its experiment breaks."""

    def __init__(self, cluster: Cluster, namespace: str, proxy: Proxy, root: Path) -> None:
        self.cluster, self.namespace, self.proxy = cluster, namespace, proxy
        self.kubeconfig = root / "kubeconfig"
        self.kubeconfig.write_text(proxy.kubeconfig.read_text())
        self.project = Project(
            root / "project", cluster, namespace, kubeconfig=self.kubeconfig, ceiling="100%", hasty=True
        )

    def experiment(self, hold: str = "300ms", arguments: dict[str, str] | None = None) -> str:
        """One stage of service/break-selector."""
        hypothesis = {"steady-state-hypothesis": HYPOTHESIS}
        return self.project.experiment("service/break-selector", ["100%"], hold, arguments, **hypothesis)

    @contextlib.contextmanager
    def injected(self, hold: str = "300ms", arguments: dict[str, str] | None = None) -> Iterator[Running]:
        """A run, from the moment that its fault is in place."""
        with self.project.run(self.experiment(hold, arguments)) as run:
            run.until(FaultInjected)
            assert self.is_broken
            yield run

    @property
    def is_broken(self) -> bool:
        return BROKEN in self.service["spec"]["selector"]

    @property
    def is_unmarked(self) -> bool:
        return "gameday.dev" not in str(self.service["metadata"] | self.service["spec"]["selector"])

    @property
    def service(self) -> dict[str, Any]:
        found = self.cluster.get("services", self.namespace, "payments")
        assert found is not None
        # Who has set which field is kept by a real server, for fields that are gone too.
        found["metadata"].pop("managedFields", None)
        return found

    def give_user(self, user: dict[str, Any]) -> None:
        """Other credentials, in the same place."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        document["users"][0]["user"] = user
        self.kubeconfig.write_text(yaml.safe_dump(document))


@pytest.fixture
def day(cluster: Cluster, namespace: str, proxy: Proxy, tmp_path: Path) -> BadDay:
    cluster.deploy(namespace, "payments", 2)
    return BadDay(cluster, namespace, proxy, tmp_path)


def check_well(day: BadDay, ended: tuple[int, str]) -> None:
    """The run held, and nothing of it is left."""
    status, said = ended
    assert status == HELD, said
    assert "Traceback" not in said
    assert "undone in" in said
    assert day.is_unmarked


def check_left(day: BadDay, ended: tuple[int, str], why: str) -> None:
    """The run says what is left and why, and last of all what a person can do."""
    status, said = ended
    assert status == UNDO_FAILED, said
    assert "Traceback" not in said
    before, _, last = said.rpartition("LEFT BEHIND")
    assert "UNDO FAILED" in before
    assert why in last
    assert f"kubectl --kubeconfig {day.kubeconfig} --context admin -n {day.namespace} patch service payments" in last
    assert "Try again with `gameday recover" in last.splitlines()[-1]


def check_recovers(day: BadDay) -> None:
    code, _, said = day.project.call("recover")
    assert code == 0, said
    assert "Nothing is left." in said
    assert day.is_unmarked


def spare_dry_runs(day: BadDay) -> None:
    """What befalls changes from now on leaves preflight's rehearsal alone: the oldest rule that matches counts."""
    day.proxy.delay(0, times=None, path="dryRun=All")


# -- slow


def test_a_plan_on_a_slow_server_takes_its_time(day: BadDay) -> None:
    day.proxy.delay(hastily(1.5), times=None)
    code, said, error = day.project.call("plan", day.experiment(), "--env", "test")
    assert code == 0, said + error


def test_a_run_on_a_server_that_becomes_slow(day: BadDay) -> None:
    with day.injected() as run:
        day.proxy.delay(hastily(1.0), times=None)
        check_well(day, run.end())


# -- refusals that pass


def refuse(proxy: Proxy, method: str) -> None:
    """Too many requests; then it fails; then it is not there."""
    proxy.answer(429, method=method, retry_after_s=1)
    proxy.answer(500, method=method)
    proxy.answer(503, method=method)


def cut(proxy: Proxy, method: str) -> None:
    """The line is cut: in the middle of an answer, and before one to what has been done."""
    proxy.cut(method=method)
    proxy.lose(method=method)


@pytest.mark.parametrize("befall", [refuse, cut])
def test_what_fails_for_a_while_is_asked_again(day: BadDay, befall: Callable[[Proxy, str], None]) -> None:
    spare_dry_runs(day)
    befall(day.proxy, "PATCH")
    with day.injected() as run:
        befall(day.proxy, "GET")
        befall(day.proxy, "PATCH")
        check_well(day, run.end())


# -- gone


def test_a_server_that_is_not_there_is_said_so(day: BadDay) -> None:
    path = day.experiment()
    day.proxy.gone()
    code, _, said = day.project.call("run", path, "--env", "test", "--yes")
    assert code == NOT_STARTED, said
    assert "cannot be reached" in said
    assert "Traceback" not in said


def test_an_abort_does_not_wait_for_a_server_that_hangs(day: BadDay) -> None:
    path = day.experiment()
    day.proxy.hang(times=None)
    with day.project.run(path) as run:
        run.until(PreflightChecked)
        run.interrupt()
        status, said = run.end()
    assert status == ABORTED, said
    assert "no answer in time" not in said, "its plan was waited for"


def test_a_server_that_is_gone_and_comes_back(day: BadDay) -> None:
    with day.injected() as run:
        day.proxy.gone()
        run.until(UndoStarted)
        assert day.is_broken
        day.proxy.back()
        check_well(day, run.end())


def test_a_server_that_is_gone_for_good(day: BadDay) -> None:
    with day.injected("60s", IMPATIENT) as run:
        day.proxy.gone()
        assert day.project.call("abort")[0] == UNDO_FAILED
        check_left(day, run.end(), "cannot be reached")
    assert day.is_broken
    code, _, said = day.project.call("recover")
    assert (code, day.is_broken) == (UNDO_FAILED, True)
    assert "cannot be reached" in said
    day.proxy.back()
    check_recovers(day)


# -- credentials


def test_a_program_is_asked_for_new_credentials(cluster: Cluster, day: BadDay, tmp_path: Path) -> None:
    program, token, stale = (tmp_path / name for name in ("program", "token", "stale"))
    # What it has kept for too long it hands out once more, before it notices.
    program.write_text(f"""#!/bin/sh
if [ -e {stale} ]; then token=$(cat {stale}); rm {stale}; else token=$(cat {token}); fi
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "'$token'"}}}}'
""")
    program.chmod(0o700)
    token.write_text(cluster.token("admin"))
    day.give_user({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}})
    with day.injected() as run:
        stale.write_text(cluster.token("admin"))
        token.write_text(cluster.token(FIXTURE))
        day.proxy.expire(cluster.token("admin"))
        check_well(day, run.end())
    assert not stale.exists(), "nobody was refused"


def test_a_token_that_expires(cluster: Cluster, day: BadDay) -> None:
    with day.injected(arguments=IMPATIENT) as run:
        day.proxy.expire(cluster.token("admin"))
        check_left(day, run.end(), "the credentials of the context `admin` are refused: they may have expired")
    assert day.is_broken
    day.give_user({"token": cluster.token(FIXTURE)})
    check_recovers(day)


# -- what it was in goes


def test_a_namespace_that_is_deleted_meanwhile(cluster: Cluster, namespace: str, day: BadDay) -> None:
    with day.injected("60s", IMPATIENT) as run:
        cluster.delete("namespaces", "", namespace)
        cluster.wait(lambda: cluster.get("namespaces", "", namespace) is None, "the namespace is gone")
        day.project.call("abort")
        # Whether this is still the cluster that was meant cannot be known, so that it is not said to be undone.
        check_left(day, run.end(), f"there is no namespace `{namespace}` (any more)")
        (ended,) = run.events(UndoEnded)
    name = next((day.project.root / ".gameday/runs").iterdir()).name
    assert day.project.call("recover", name, "--write-off", "the namespace is gone")[0] == 0
    assert "Nothing to recover" in day.project.call("recover")[2]
    assert ended.took_s < 60


# -- somebody says no


@contextlib.contextmanager
def refusing(day: BadDay, status: int = 403, *, dry_runs: bool = False) -> Iterator[str]:
    """Nobody may change a Service, and with `dry_runs` not even try to. What the refusal must name."""
    name, reason = "no-changes.gameday.test", "Forbidden" if status == 403 else "Invalid"
    if day.cluster.kind.startswith("stand-in"):
        if not dry_runs:
            spare_dry_runs(day)
        message = f'admission webhook "{name}" denied the request: no'
        day.proxy.answer(status, times=None, method="PATCH", message=message)
        yield name
        day.proxy.mend()
        return
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]}
    allowed = "false" if dry_runs else "has(request.dryRun) && request.dryRun"
    policy = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}}
    policy |= {"validations": [{"expression": allowed, "message": "no", "reason": reason}]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": day.namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
    group = "admissionregistration.k8s.io/v1"
    made = {
        f"/apis/{group}/validatingadmissionpolicies": ("ValidatingAdmissionPolicy", policy),
        f"/apis/{group}/validatingadmissionpolicybindings": ("ValidatingAdmissionPolicyBinding", binding),
    }

    def answer() -> int:
        path = f"/api/v1/namespaces/{day.namespace}/services/payments"
        patch = {"metadata": {"labels": {"tried": "yes"}}}
        return day.cluster.request("PATCH", path, patch, "application/merge-patch+json")[0]

    try:
        for path, (kind, spec) in made.items():
            item = {"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec}
            assert day.cluster.request("POST", path, item)[0] == 201
        day.cluster.wait(lambda: answer() == status, "the policy is in force")
        yield name
    finally:
        for path in reversed(made):
            day.cluster.request("DELETE", f"{path}/{name}")
        day.cluster.wait(lambda: answer() == 200, "the policy is out of force")


@pytest.mark.parametrize(("dry_runs", "where"), [(True, "preflight failure"), (False, "not injected")])
def test_a_webhook_that_refuses_the_injection(day: BadDay, dry_runs: bool, where: str) -> None:
    path, since = day.experiment(), day.cluster.mark()
    with refusing(day, dry_runs=dry_runs) as name:
        code, _, said = day.project.call("run", path, "--env", "test", "--yes")
    assert code == NOT_STARTED, said
    assert "Traceback" not in said
    assert "LEFT BEHIND" not in said
    (refused,) = [line for line in said.splitlines() if where in line]
    assert name in refused
    assert "denied" in refused
    assert day.is_unmarked
    assert day.cluster.changes(since) == []


@pytest.mark.parametrize("status", [403, 422])
def test_a_webhook_that_refuses_the_undo(day: BadDay, status: int) -> None:
    with day.injected(arguments=IMPATIENT) as run, refusing(day, status) as name:
        check_left(day, run.end(), name)
    assert day.is_broken
    check_recovers(day)
