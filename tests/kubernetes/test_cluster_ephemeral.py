"""The fixture's own promises about ephemeral containers; must pass on every cluster."""

from typing import Any

import pytest
from cluster import Cluster
from inside import lone_pod, pod_of, run, statuses

JSON_PATCH = "application/json-patch+json"
FIRST: dict[str, Any] = {"name": "first", "image": "busybox:1.37", "command": ["sleep", "60"]}


class Adding:
    """Requests to change a pod's ephemeral containers."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.path = f"/api/v1/namespaces/{namespace}/pods/lone/ephemeralcontainers"
        lone_pod(cluster, namespace, "main")

    @property
    def pod(self) -> dict[str, Any]:
        return pod_of(self.cluster, self.namespace, "lone")

    @property
    def names(self) -> list[str]:
        return [item["name"] for item in self.pod["spec"].get("ephemeralContainers") or ()]

    def ask(self, *operations: dict[str, Any], query: str = "", user: str = "admin") -> tuple[int, Any]:
        path = f"{self.path}?{query}" if query else self.path
        status, document = self.cluster.request("PATCH", path, list(operations), JSON_PATCH, user)
        return status, document

    def add(self, item: dict[str, Any], **more: str) -> tuple[int, Any]:
        where, value = ("/-", item) if self.names else ("", [item])
        return self.ask({"op": "add", "path": f"/spec/ephemeralContainers{where}", "value": value}, **more)


@pytest.fixture
def adding(cluster: Cluster, namespace: str) -> Adding:
    return Adding(cluster, namespace)


def test_they_are_added_and_nothing_else_is_changed(adding: Adding) -> None:
    before = adding.pod
    label = {"op": "add", "path": "/metadata/labels/more", "value": "x"}
    image = {"op": "replace", "path": "/spec/containers/0/image", "value": "registry.test/app:2"}
    added = {"op": "add", "path": "/spec/ephemeralContainers", "value": [FIRST]}
    status, document = adding.ask(label, image, added)
    assert status == 200
    assert document["metadata"]["labels"] == before["metadata"]["labels"]
    assert document["spec"]["containers"] == before["spec"]["containers"]
    assert document["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert adding.add(FIRST | {"name": "second"})[0] == 200
    assert adding.names == ["first", "second"]
    assert adding.cluster.request("GET", adding.path)[0] == 200


def test_a_dry_run_stores_nothing(adding: Adding) -> None:
    status, document = adding.add(FIRST, query="dryRun=All")
    assert (status, document["spec"]["ephemeralContainers"][0]["name"]) == (200, "first")
    assert adding.names == []


def test_a_version_that_is_no_longer(adding: Adding) -> None:
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
    status, document = adding.ask(test, {"op": "add", "path": "/spec/ephemeralContainers", "value": [FIRST]})
    assert (status, document["reason"]) == (422, "Invalid")
    assert adding.names == []


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"name": "main"}, 'spec.ephemeralContainers[1].name: Duplicate value: "main"'),
        ({"name": "first"}, 'spec.ephemeralContainers[1].name: Duplicate value: "first"'),
        ({"name": ""}, "spec.ephemeralContainers[1].name: Required value"),
        ({"name": "Upper"}, 'spec.ephemeralContainers[1].name: Invalid value: "Upper": a lowercase RFC 1123 label'),
        ({"image": ""}, "spec.ephemeralContainers[1].image: Required value"),
        ({"targetContainerName": "side"}, 'spec.ephemeralContainers[1].targetContainerName: Not found: "side"'),
        (
            {"resources": {"limits": {"cpu": "1"}}},
            "spec.ephemeralContainers[1].resources: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nonsense"}}}]},
            "spec.ephemeralContainers[1].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "
            '"metadata.nonsense": error converting fieldPath: field label not supported: metadata.nonsense',
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_one_that_is_not_valid(adding: Adding, item: dict[str, Any], problem: str) -> None:
    assert adding.add(FIRST)[0] == 200
    status, document = adding.add(FIRST | {"name": "second"} | item)
    assert (status, problem in document["message"]) == (422, True), document
    assert adding.names == ["first"]


def test_those_that_are_there_stay_as_they_are(cluster: Cluster, adding: Adding) -> None:
    assert adding.add(FIRST)[0] == 200
    status, document = adding.ask({"op": "remove", "path": "/spec/ephemeralContainers/0"})
    assert status == 422
    assert (
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "first" may not be removed'
        in (document["message"])
    )
    status, document = adding.ask({"op": "add", "path": "/spec/ephemeralContainers/0/image", "value": "other:1"})
    assert (status, 'containers "first" may not be changed' in document["message"]) == (422, True)
    pod = adding.path.removesuffix("/ephemeralcontainers")
    status, document = cluster.request(
        "PATCH", pod, [{"op": "remove", "path": "/spec/ephemeralContainers"}], JSON_PATCH
    )
    assert (status, "pod updates may not change fields other than" in document["message"]) == (422, True)
    assert adding.names == ["first"]


def test_who_may(cluster: Cluster, namespace: str, adding: Adding) -> None:
    user = cluster.fresh_user()
    cluster.allow(namespace, user, "patch pods")
    status, document = adding.add(FIRST, user=user)
    assert (status, 'cannot patch resource "pods/ephemeralcontainers"' in document["message"]) == (403, True)
    cluster.allow(namespace, user, "patch pods/ephemeralcontainers")
    assert adding.add(FIRST, user=user)[0] == 200


def test_none_in_a_new_pod(cluster: Cluster, namespace: str) -> None:
    spec = {"containers": [{"name": "main", "image": "registry.test/app:1"}], "ephemeralContainers": [FIRST]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new", "namespace": namespace}, "spec": spec}
    status, document = cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert (status, "spec.ephemeralContainers: Forbidden: cannot be set on create" in document["message"]) == (
        422,
        True,
    )


def test_its_command_is_run_with_its_environment(cluster: Cluster, namespace: str, adding: Adding) -> None:
    cluster.need_commands()
    cluster.patch("pods", namespace, "lone", {"metadata": {"annotations": {"example.dev/a-b.1": "noted"}}})
    fields = {"POD": "metadata.name", "NOTE": "metadata.annotations['example.dev/a-b.1']"}
    fields["NONE"] = "metadata.annotations['example.dev/none']"
    environment = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    environment.append({"name": "WHO", "value": "me"})
    script = 'echo "$(WHO) $(NOBODY_SAYS) $$POD $NOTE $NONE." > "$TMPDIR/said" 2>&1; sleep 60'
    assert adding.add(FIRST | {"command": ["sh", "-c", script], "env": environment})[0] == 200

    def state() -> dict[str, Any]:
        found: dict[str, Any] = statuses(adding.pod, "ephemeralContainerStatuses").get("first", {}).get("state", {})
        return found

    cluster.wait(lambda: "running" in state(), "it runs")
    # $(WHO) is Kubernetes' own, and $$ its way to write a $; what it does not know stays for the shell.
    said = cluster.wait(lambda: run(cluster, namespace, "lone", 'cat "$TMPDIR/said"', "first"), "it has said so")
    assert said == "me  lone noted .\n"
    run(cluster, namespace, "lone", "(sleep 0.1; kill 1) >/dev/null 2>&1 &", "first")
    cluster.wait(lambda: "terminated" in state(), "it has ended")
    assert state()["terminated"]["exitCode"] == 143
    assert statuses(adding.pod)["main"]["restartCount"] == 0
