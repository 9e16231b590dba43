"""Kubeconfig files and the service account of a pod, down to one server and one user."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.kubernetes import kubeconfig
from gameday.kubernetes.client import Client
from gameday.kubernetes.kubeconfig import Access, load_access
from gameday.kubernetes.reference import ClusterError, ClusterRef

SECRET = "hunter2-hunter2"


def config(
    context: str = "staging",
    cluster: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    namespace: str | None = None,
) -> dict[str, Any]:
    return {
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://one.example:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
    }


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def load(path: Path, context: str | None = "staging", namespace: str | None = None) -> Access:
    return load_access(ClusterRef(context, namespace, str(path)), {})


def refusal(path: Path, context: str | None = "staging") -> str:
    with pytest.raises(ClusterError) as raised:
        load(path, context)
    assert SECRET not in str(raised.value)
    return str(raised.value)


def test_one_file(tmp_path: Path) -> None:
    access = load(write(tmp_path / "config", config(cluster={"server": "https://one.example:6443/k8s/"})))
    assert access.server == "https://one.example:6443/k8s"
    assert access.user.token == SECRET
    assert SECRET not in repr(access)


def test_no_secret_is_shown_by_any_part(tmp_path: Path) -> None:
    plugin = {"apiVersion": "v1", "command": "x", "env": [{"name": "PASSWORD", "value": SECRET}]}
    proxy = {"proxy-url": f"http://me:{SECRET}@proxy.example:3128"}
    access = load(write(tmp_path / "config", config(cluster=proxy, user={"exec": plugin})))
    assert SECRET not in repr((access, access.cluster, access.user, access.user.exec))


def test_of_several_files_the_first_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"contexts": config(namespace="first")["contexts"]})
    empty = write(tmp_path / "b", "")
    second = write(tmp_path / "c", config(namespace="second"))
    third = write(tmp_path / "d", config(cluster={"server": "https://other.example"}, user={"token": "other"}))
    listed = os.pathsep.join(map(str, [first, empty, tmp_path / "missing", second, "", third]))
    access = load_access(ClusterRef("staging"), {"KUBECONFIG": listed})
    assert (access.namespace, access.server, access.user.token) == ("first", "https://one.example:6443", SECRET)


def test_the_files_of_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="there is no kubeconfig"):
        load_access(ClusterRef("staging"), {})
    write(tmp_path / ".kube/config", config(namespace="home"))
    assert load_access(ClusterRef("staging"), {}).namespace == "home"
    assert load_access(ClusterRef("staging", kubeconfig="~/.kube/config"), {}).namespace == "home"


def test_a_named_file_is_the_only_one(tmp_path: Path) -> None:
    other = write(tmp_path / "other", config())
    with pytest.raises(ClusterError, match=r"cannot read the kubeconfig .*missing: No such file"):
        load_access(ClusterRef("staging", kubeconfig=str(tmp_path / "missing")), {"KUBECONFIG": str(other)})


@pytest.mark.parametrize("name", ["~nobody-of-that-name/config", "a\0b"])
def test_a_path_that_is_none(name: str) -> None:
    with pytest.raises(ClusterError, match="cannot read the kubeconfig"):
        load_access(ClusterRef("staging", kubeconfig=name), {})


def test_paths_are_relative_to_the_file_that_has_them(tmp_path: Path) -> None:
    contexts = write(tmp_path / "a/config", {"contexts": config()["contexts"]})
    clusters = write(
        tmp_path / "b/config", {"clusters": config(cluster={"certificate-authority": "ca.crt"})["clusters"]}
    )
    user = {"tokenFile": "../token", "client-certificate": "me.crt", "client-key": "/keys/me.key"}
    users = write(tmp_path / "c/config", {"users": config(user=user)["users"]})
    access = load_access(ClusterRef("staging"), {"KUBECONFIG": os.pathsep.join(map(str, [contexts, clusters, users]))})
    assert access.cluster.certificate_authority == str(tmp_path / "b/ca.crt")
    assert access.user.token_file == str(tmp_path / "c/../token")
    assert access.user.client_certificate == str(tmp_path / "c/me.crt")
    assert access.user.client_key == "/keys/me.key"
    assert access.directory == tmp_path / "c"


def test_the_directory_of_a_relative_file_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config", config())
    monkeypatch.chdir(tmp_path)
    assert load(Path("config")).directory == tmp_path


def test_a_missing_context_with_the_nearest_name(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config())
    assert "there is no context `stagging`" in refusal(path, "stagging")
    assert "did you mean `staging`?" in refusal(path, "stagging")
    assert "there are staging" in refusal(path, "zzz")


@pytest.mark.parametrize(("section", "key"), [("clusters", "cluster"), ("users", "user")])
@pytest.mark.parametrize("entries", [None, [], "text", [7, {"name": "other"}]])
def test_a_missing_cluster_or_user(tmp_path: Path, section: str, key: str, entries: object) -> None:
    text = refusal(write(tmp_path / "config", config() | {section: entries}))
    assert f"there is no {key} `{key[0]}`, which would be the {key} of the context `staging`" in text


@pytest.mark.parametrize("context", [None, ""])
def test_the_current_context_is_never_taken(tmp_path: Path, context: str | None) -> None:
    assert "no context is named" in refusal(write(tmp_path / "config", config()), context)


@pytest.mark.parametrize(
    "text",
    [
        f"token: {SECRET}\n  {SECRET}: [",
        f"{SECRET}: !!python/object:os.system {SECRET}",
        f"? [{SECRET}]\n: {{{SECRET}",
        f"{{[{SECRET}]: 1}}",
        f"{SECRET}: !!int ''",
        f"{SECRET}: !!bool {SECRET}",
        f"{SECRET}: !!timestamp {SECRET}",
        f"{SECRET}: 2024-13-45",
        f"{SECRET}: *{SECRET}",
        f"{SECRET}: \x07",
        "[" * 5000,
    ],
)
def test_what_is_no_yaml_is_not_quoted(tmp_path: Path, text: str) -> None:
    assert "is not YAML" in refusal(write(tmp_path / "config", text))


def test_what_is_yaml_but_no_kubeconfig(tmp_path: Path) -> None:
    assert "is not a mapping" in refusal(write(tmp_path / "config", f"- {SECRET}"))
    assert "there is no context" in refusal(write(tmp_path / "config", ""))
    assert "larger than 4 MiB" in refusal(write(tmp_path / "config", "#" * (4 * 1024 * 1024 + 1)))
    text = refusal(write(tmp_path / "config", config(user={"token": SECRET, "password": 7})))
    assert "the user `u` is not valid" in text
    assert "$.password" in text


@pytest.mark.parametrize(
    "server",
    [
        "one.example:6443",
        "ftp://one.example",
        "https://",
        "https://:6443",
        "https://one.example:port",
        "https://one.example:99999",
        "https://[::1",
        "https://one example",
        f"https://me:{SECRET}@one.example",
        f"https://one.example/?token={SECRET}",
    ],
)
def test_a_server_that_is_no_url(tmp_path: Path, server: str) -> None:
    assert "the server of the cluster `c` is no http(s) URL" in refusal(
        write(tmp_path / "config", config(cluster={"server": server}))
    )


@pytest.mark.parametrize("proxy", [f"socks5://me:{SECRET}@proxy.example", "proxy.example:3128", "http://"])
def test_a_proxy_that_cannot_be_used(tmp_path: Path, proxy: str) -> None:
    text = refusal(write(tmp_path / "config", config(cluster={"proxy-url": proxy})))
    assert "the proxy-url of the cluster `c` is no http(s) URL" in text


def test_whose_namespace(tmp_path: Path) -> None:
    path = write(tmp_path / "config", config(namespace="of-the-context"))
    assert load(path, namespace="named").namespace == "named"
    assert load(path).namespace == "of-the-context"
    assert load(write(tmp_path / "config", config())).namespace == "default"


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    write(tmp_path / "token", SECRET)
    write(tmp_path / "namespace", "own\n")
    return tmp_path


def in_cluster(namespace: str | None = None, **environ: str) -> Access:
    return load_access(ClusterRef(namespace=namespace, in_cluster=True), environ)


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("10.96.0.1", "6443", "https://10.96.0.1:6443"),
        ("10.96.0.1", None, "https://10.96.0.1:443"),
        ("fd00::1", "443", "https://[fd00::1]:443"),
    ],
)
def test_a_service_account(service_account: Path, host: str, port: str | None, server: str) -> None:
    access = in_cluster(KUBERNETES_SERVICE_HOST=host, **({"KUBERNETES_SERVICE_PORT": port} if port else {}))
    assert access.server == server
    assert access.user.token_file == str(service_account / "token")
    assert access.cluster.certificate_authority == str(service_account / "ca.crt")


def test_the_namespace_of_a_service_account(service_account: Path) -> None:
    assert in_cluster(KUBERNETES_SERVICE_HOST="h").namespace == "own"
    assert in_cluster("named", KUBERNETES_SERVICE_HOST="h").namespace == "named"
    (service_account / "namespace").unlink()
    assert in_cluster(KUBERNETES_SERVICE_HOST="h").namespace == "default"


def test_outside_of_a_pod(service_account: Path) -> None:
    with pytest.raises(ClusterError, match="KUBERNETES_SERVICE_HOST is not set"):
        in_cluster()
    (service_account / "token").unlink()
    with pytest.raises(ClusterError, match="token is not there"):
        in_cluster(KUBERNETES_SERVICE_HOST="h")


def test_a_service_account_without_its_authority(service_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "h")
    with pytest.raises(ClusterError, match="the certificates of the cluster that we run in cannot be used: No such"):
        Client(ClusterRef(in_cluster=True))
