"""A cluster that somebody names by a kubeconfig, such as kind's: asked through a proxy that plays the users."""

import base64
import ssl
from pathlib import Path
from typing import Any

import yaml
from audit import FIXTURE_AGENT, Call
from backing import FIXTURE, Backing, make_keys
from loops import LoopThread
from plain_client import PlainClient
from proxy import Proxy

type Section = dict[str, Any]


def start_external(directory: Path, path: Path, why: str) -> Backing:
    """Administrators' requests go on with the kubeconfig's credentials, all others as impersonated users.

    So tests can have users in a cluster where nobody can add any, and the proxy sees every request.
    """
    server, tls, own = _read(path, directory)
    keys, loop = make_keys(directory), LoopThread()

    def credentials(token: str) -> dict[str, str] | None:
        user = keys.users.get(token)
        if user is None:
            return None
        return own | ({} if user.groups else {"Impersonate-User": user.name})

    proxy = Proxy(loop, server, tls, keys.server, credentials, users=keys.name_of)

    def read_calls(since: int) -> tuple[list[Call], int]:
        return [call for call in proxy.calls[since:] if call.agent != FIXTURE_AGENT], len(proxy.calls)

    def close() -> None:
        proxy.close()
        loop.close()

    client = PlainClient(proxy.url, keys.client)
    status, version = client.request("GET", "/version", token=keys.tokens[FIXTURE])
    assert status == 200, f"{path}: {version}"
    kind = f"cluster of GAMEDAY_TEST_KUBECONFIG ({version['gitVersion']})"
    backing = Backing(kind, why, proxy.url, keys, loop, proxy.url, read_calls, close)
    backing.has_controllers = backing.has_nodes = True
    return backing


def _read(path: Path, directory: Path) -> tuple[str, ssl.SSLContext | None, dict[str, str]]:
    """Server, TLS, and headers of the current context. Exec plugins are not run."""
    document = yaml.safe_load(path.read_text())
    context = _named(document, "contexts", "context", document["current-context"])
    cluster = _named(document, "clusters", "cluster", context["cluster"])
    user = _named(document, "users", "user", context["user"])
    token = user.get("token") or ""
    if file := user.get("tokenFile"):
        token = (path.parent / file).read_text().strip()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if not cluster["server"].startswith("https:"):
        return cluster["server"].rstrip("/"), None, headers
    authority = _file(cluster, "certificate-authority", path, directory)
    tls = ssl.create_default_context(cafile=authority)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    certificate, key = (_file(user, f"client-{part}", path, directory) for part in ("certificate", "key"))
    if certificate:
        tls.load_cert_chain(certificate, key)
    return cluster["server"].rstrip("/"), tls, headers


def _named(document: Section, section: str, key: str, name: str) -> Section:
    found: Section = next(item[key] for item in document[section] if item["name"] == name)
    return found


def _file(section: Section, key: str, path: Path, directory: Path) -> Path | None:
    """A file that is named, or one made of what is written in the kubeconfig."""
    if section.get(key):
        return path.parent / str(section[key])
    if not section.get(f"{key}-data"):
        return None
    made = directory / key
    made.write_bytes(base64.b64decode(section[f"{key}-data"]))
    made.chmod(0o600)
    return made
