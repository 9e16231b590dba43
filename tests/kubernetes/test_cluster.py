"""The fixture itself: what it promises holds on a stand-in as on a real API server."""

import subprocess
import time
from http.client import HTTPException
from typing import Any

import manifests
import pytest
from audit import FIXTURE_AGENT
from cluster import Cluster
from kinds import BY_PLURAL
from loops import client_tls
from patching import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from plain_client import PlainClient
from proxy import Proxy

PODS, DEPLOYMENTS, CONFIGMAPS = (BY_PLURAL[plural] for plural in ("pods", "deployments", "configmaps"))


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"name": name}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


# -- who


def test_without_a_token_nobody_is_let_in(cluster: Cluster) -> None:
    for user in ("", "nobody"):
        status, said = cluster.request("GET", "/version", user=user)
        assert status == (200 if user else 401)
    assert cluster.request("GET", "/api/v1/pods", user="")[1] == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }
    assert said["major"] == "1"


def test_a_user_may_do_what_a_role_says_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    user = cluster.fresh_user()
    where = {"namespace": namespace, "resource": "pods"}
    assert not cluster.may(user, verb="list", **where)
    status, said = cluster.request("GET", PODS.path(namespace), user=user)
    assert status == 403
    assert said["message"] == (
        f'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" in the namespace "{namespace}"'
    )
    assert (said["reason"], said["details"]) == ("Forbidden", {"kind": "pods"})
    cluster.allow(namespace, user, "get,list pods", "create pods/eviction")
    assert cluster.request("GET", PODS.path(namespace), user=user)[0] == 200
    assert cluster.may(user, verb="create", subresource="eviction", **where)
    assert not cluster.may(user, verb="delete", **where)
    assert not cluster.may(user, verb="list", namespace="default", resource="pods")
    assert cluster.may("admin", verb="delete", **where)


def test_a_role_for_the_cluster_holds_everywhere(cluster: Cluster, namespace: str) -> None:
    user = cluster.fresh_user()
    cluster.allow("", user, "list nodes", "patch deployments")
    assert cluster.request("GET", "/api/v1/nodes", user=user)[0] == 200
    assert cluster.may(user, verb="patch", group="apps", resource="deployments", namespace=namespace)


def test_the_kubeconfig_serves_kubectl(cluster: Cluster, namespace: str) -> None:
    cluster.create(config_map(namespace, "one"))
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--context", "admin"]
    try:
        done = subprocess.run(
            [*command, "get", "configmaps", "-n", namespace, "-l", "name=one", "-o", "name"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={"HOME": str(cluster.directory), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        )
    except FileNotFoundError:
        pytest.skip("no kubectl")
    assert done.stdout == "configmap/one\n", done.stderr


# -- objects


def test_what_is_not_there_is_said_in_kubernetes_words(cluster: Cluster, namespace: str) -> None:
    status, said = cluster.request("GET", DEPLOYMENTS.path(namespace, "none"))
    assert (status, said) == (
        404,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": 'deployments.apps "none" not found',
            "reason": "NotFound",
            "details": {"name": "none", "group": "apps", "kind": "deployments"},
            "code": 404,
        },
    )
    status, said = cluster.request("POST", CONFIGMAPS.path("nowhere-at-all"), config_map("nowhere-at-all", "a"))
    assert (status, said["message"]) == (404, 'namespaces "nowhere-at-all" not found')
    assert cluster.request("GET", PODS.path("nowhere-at-all"))[1]["items"] == []


def test_an_object_has_a_version_and_an_identity(cluster: Cluster, namespace: str) -> None:
    made = cluster.create(config_map(namespace, "a", x="1"))
    path = CONFIGMAPS.path(namespace, "a")
    status, said = cluster.request("POST", CONFIGMAPS.path(namespace), config_map(namespace, "a"))
    assert (status, said["reason"], said["message"]) == (409, "AlreadyExists", 'configmaps "a" already exists')
    status, changed = cluster.request("PUT", path, made | {"data": {"x": "2"}})
    assert status == 200
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    status, said = cluster.request("PUT", path, made | {"data": {"x": "3"}})
    assert (status, said["reason"], said["details"]) == (409, "Conflict", {"name": "a", "kind": "configmaps"})
    assert said["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_a_json_patch_is_applied_wholly_or_not_at_all(cluster: Cluster, namespace: str) -> None:
    made = cluster.create(config_map(namespace, "a", x="1"))
    path = CONFIGMAPS.path(namespace, "a")
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]}
    patch = [version, {"op": "replace", "path": "/data/x", "value": "2"}]
    status, found = cluster.request("PATCH", path, patch, JSON_PATCH)
    assert (status, found["data"]) == (200, {"x": "2"})
    patch = [{"op": "replace", "path": "/data/x", "value": "3"}, {"op": "test", "path": "/data/x", "value": "9"}]
    status, said = cluster.request("PATCH", path, patch, JSON_PATCH)
    assert (status, said["reason"]) == (422, "Invalid")
    assert said["message"] == "the server rejected our request due to an error in our request"
    status, _ = cluster.request("PATCH", path, [{"op": "remove", "path": "/data/none"}], JSON_PATCH)
    assert status == 422
    assert cluster.request("GET", path)[1]["data"] == {"x": "2"}


def test_other_patches_merge(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 0, wait=False, service=False)
    path = DEPLOYMENTS.path(namespace, "web")
    status, found = cluster.request("PATCH", path, {"metadata": {"labels": {"a": "1", "app": None}}}, MERGE_PATCH)
    assert (status, found["metadata"]["labels"]) == (200, {"a": "1"})
    container = {"name": "main", "env": [{"name": "A", "value": "1"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    status, found = cluster.request("PATCH", path, patch, STRATEGIC_PATCH)
    (main,) = found["spec"]["template"]["spec"]["containers"]
    assert (status, main["image"], main["env"]) == (200, manifests.IMAGE, container["env"])
    assert found["metadata"]["generation"] == 2
    status, said = cluster.request("PATCH", path, {}, "application/json")
    assert (status, said["reason"]) == (415, "UnsupportedMediaType")


def test_selectors_choose(cluster: Cluster, namespace: str) -> None:
    for name, tier in (("a", "1"), ("b", "2"), ("c", "")):
        item = config_map(namespace, name)
        item["metadata"]["labels"] |= {"tier": tier} if tier else {}
        cluster.create(item)

    def chosen(**query: str) -> list[str]:
        text = "&".join(f"{key}={value}" for key, value in query.items())
        document = cluster.request("GET", f"{CONFIGMAPS.path(namespace)}?{text.replace(' ', '%20')}")[1]
        return [item["metadata"]["name"] for item in document["items"]]

    assert chosen(labelSelector="tier%3D1") == ["a"]
    assert chosen(labelSelector="tier in (1,2),name!%3Da") == ["b"]
    assert chosen(labelSelector="!tier,name") == ["c"]
    assert chosen(labelSelector="tier") == ["a", "b"]
    assert chosen(labelSelector="name notin (a, b),name") == ["c"]
    assert chosen(fieldSelector="metadata.name%3Db") == ["b"]
    status, said = cluster.request("GET", f"{PODS.path(namespace)}?fieldSelector=spec.no%3D1")
    assert (status, said["reason"]) == (400, "BadRequest")
    assert cluster.request("GET", f"{PODS.path(namespace)}?labelSelector=a%20b")[0] == 400


def test_a_list_comes_in_pages_of_one_moment(cluster: Cluster, namespace: str) -> None:
    for number in range(7):
        cluster.create(config_map(namespace, f"p{number}"))
    path = f"{CONFIGMAPS.path(namespace)}?labelSelector=name&limit=3"
    page = cluster.request("GET", path)[1]
    names = [item["metadata"]["name"] for item in page["items"]]
    cluster.create(config_map(namespace, "p5a"))
    cluster.delete("configmaps", namespace, "p4")
    while token := page["metadata"].get("continue"):
        page = cluster.request("GET", f"{path}&continue={token}")[1]
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == [f"p{number}" for number in range(7)]
    whole = cluster.request("GET", f"{CONFIGMAPS.path(namespace)}?limit=2")[1]
    assert whole["metadata"]["remainingItemCount"] >= 5
    assert cluster.request("GET", f"{CONFIGMAPS.path(namespace)}?limit=2&continue=bad")[0] == 400


def test_a_uid_protects_from_deleting_another(cluster: Cluster, namespace: str) -> None:
    cluster.create(config_map(namespace, "a"))
    path = CONFIGMAPS.path(namespace, "a")
    status, said = cluster.request("DELETE", path, {"preconditions": {"uid": "another"}})
    assert (status, said["reason"]) == (409, "Conflict")
    assert "the UID in the precondition (another) does not match the UID in record" in said["message"]
    uid = cluster.request("GET", path)[1]["metadata"]["uid"]
    status, said = cluster.request("DELETE", path, {"preconditions": {"uid": uid}})
    assert (status, said["status"]) == (200, "Success")
    assert said["details"] == {"name": "a", "kind": "configmaps", "uid": uid}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"replicas": -1}}, "spec.replicas"),
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, "spec.template.metadata.labels"),
        ({"metadata": {"labels": {"a": "not valid"}}}, "metadata.labels"),
    ],
)
def test_what_is_not_valid_is_refused(cluster: Cluster, namespace: str, change: dict[str, Any], field: str) -> None:
    cluster.deploy(namespace, "web", 0, wait=False, service=False)
    path = f"{DEPLOYMENTS.path(namespace, 'web')}?dryRun=All"
    status, said = cluster.request("PATCH", path, change, MERGE_PATCH)
    assert (status, said["reason"]) == (422, "Invalid")
    assert field in [cause["field"] for cause in said["details"]["causes"]]


# -- dry runs, and the proof that nothing was changed


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 1, min_available=0)
    (pod,) = cluster.pod_names(namespace)
    mark = cluster.mark()
    dry = "?dryRun=All"

    def ask(method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        return cluster.request(method, path, body, kind, agent="test")

    status, made = ask("POST", CONFIGMAPS.path(namespace) + dry, config_map(namespace, "a"))
    assert (status, bool(made["metadata"]["uid"])) == (201, True)
    status, scale = ask(
        "PATCH", DEPLOYMENTS.path(namespace, "web", "scale") + dry, {"spec": {"replicas": 5}}, MERGE_PATCH
    )
    assert (status, scale["spec"]["replicas"]) == (200, 5)
    assert ask("POST", PODS.path(namespace, pod, "eviction") + dry, manifests.eviction(namespace, pod))[0] == 201
    assert ask("DELETE", PODS.path(namespace, pod) + dry)[0] == 200
    assert ask("DELETE", PODS.path(namespace, pod), {"dryRun": ["All"]})[0] == 200
    assert ask("DELETE", DEPLOYMENTS.path(namespace, "web") + dry)[0] == 200
    assert cluster.changes(mark) == []
    assert [call.dry_run for call in cluster.audit(mark)] == [True] * 6
    assert cluster.pod_names(namespace) == [pod]
    assert cluster.get("configmaps", namespace, "a") is None
    assert cluster.get("deployments", namespace, "web")["spec"]["replicas"] == 1  # type: ignore[index]


def test_a_deletion_with_a_body_does_not_heed_the_query(cluster: Cluster, namespace: str) -> None:
    """A trap of the real server's: dryRun=All beside DeleteOptions deletes."""
    cluster.create(config_map(namespace, "a"))
    mark = cluster.mark()
    path = f"{CONFIGMAPS.path(namespace, 'a')}?dryRun=All"
    assert cluster.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"}, agent="test")[0] == 200
    assert cluster.get("configmaps", namespace, "a") is None
    assert [call.verb for call in cluster.changes(mark)] == ["delete"]


def test_the_audit_tells_who_did_what(cluster: Cluster, namespace: str) -> None:
    user = cluster.fresh_user()
    mark = cluster.mark()
    cluster.request("GET", PODS.path(namespace), user=user, agent="test")
    cluster.request("POST", CONFIGMAPS.path(namespace), config_map(namespace, "a"), agent="test")
    cluster.request("POST", CONFIGMAPS.path(namespace), config_map(namespace, "b"))
    calls = cluster.audit(mark)
    assert [(call.verb, call.path, call.user, call.code) for call in calls] == [
        ("list", PODS.path(namespace), user, 403),
        ("create", CONFIGMAPS.path(namespace), "admin", 201),
    ]
    assert [call.user for call in cluster.changes(mark)] == ["admin"]
    assert FIXTURE_AGENT not in {call.agent for call in calls}


# -- bad days


def test_a_proxy_passes_on_and_has_bad_days(cluster: Cluster, namespace: str, proxy: Proxy) -> None:
    client = PlainClient(proxy.url, client_tls(cluster.directory / "server.crt"), keep=False)
    path, token = CONFIGMAPS.path(namespace), cluster.token("admin")

    def ask(method: str = "GET", name: str = "", body: object = None) -> int:
        where = f"{path}/{name}" if name else path
        return client.request(method, where, body, token=token, timeout_s=2)[0]

    assert ask() == 200
    proxy.answer(503, times=2)
    proxy.answer(429, path="/configmaps", method="GET", retry_after_s=1)
    assert [ask(), ask(), ask(), ask()] == [503, 503, 429, 200]
    proxy.cut()
    with pytest.raises(HTTPException):
        ask()
    proxy.lose(method="POST")
    with pytest.raises((OSError, HTTPException)):
        ask("POST", body=config_map(namespace, "a"))
    assert ask(name="a") == 200, "it was done, and nobody knew"
    proxy.drop(method="DELETE")
    with pytest.raises((OSError, HTTPException)):
        ask("DELETE", "a")
    assert ask(name="a") == 200
    proxy.gone()
    with pytest.raises(ConnectionError):
        ask()
    proxy.back()
    assert ask() == 200
    proxy.hang()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        client.request("GET", path, token=token, timeout_s=0.2)
    assert time.monotonic() - began < 10
    proxy.mend()
    assert {call.user for call in proxy.calls} == {"admin"}
