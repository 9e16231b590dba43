"""The client against a server that answers exactly what each test scripts."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import POD, PODS, SECRET, Answer, Server, reference, refusal, says, serving, url_of

from gameday.kubernetes import client as module
from gameday.kubernetes.client import ApiError, Client, join
from gameday.kubernetes.objects import Object
from gameday.kubernetes.reference import ClusterError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    with serving() as own:
        yield own


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Iterator[Client]:
    with Client(reference(tmp_path, url_of(server)), deadline_s=2) as own:
        yield own


CUT: Answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
CUT_CHUNK: Answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"]
CUT_BETWEEN: Answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
NOTHING: Answer = []


def test_what_is_sent(server: Server, client: Client) -> None:
    server.script = [says(200, POD)] * 3
    assert client.get(f"{PODS}/a", Object).metadata.name == "a"
    client.patch(f"{PODS}/a", [{"op": "test"}], Object, dry_run=True)
    client.delete(f"{PODS}/a", uid="7", grace_s=0, propagation="Orphan")
    assert server.seen == [("GET", f"{PODS}/a"), ("PATCH", f"{PODS}/a?dryRun=All"), ("DELETE", f"{PODS}/a")]
    get, patch, _ = server.headers
    assert (get["Authorization"], get["User-Agent"], get["Content-Type"]) == (f"Bearer {SECRET}", "gameday", None)
    assert patch["Content-Type"] == "application/json-patch+json"
    assert json.loads(server.bodies[1]) == [{"op": "test"}]
    assert json.loads(server.bodies[2]) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "7"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Orphan",
    }


def test_each_group_is_a_header_of_its_own(server: Server, tmp_path: Path) -> None:
    server.script = [says(200, POD)]
    user = {"token": SECRET, "as": "jane", "as-groups": ["dev", "ops"]}
    with Client(reference(tmp_path, url_of(server), user)) as own:
        own.get(PODS, Object)
    assert server.headers[0].get_all("Impersonate-Group") == ["dev", "ops"]


def test_parts_of_a_path_are_quoted() -> None:
    assert join("api", "v1", "a/../b?c") == "/api/v1/a%2F..%2Fb%3Fc"


# -- what is tried again


def test_too_many_requests_are_asked_again(server: Server, client: Client) -> None:
    server.script = [says(429, Retry_After="0.1"), says(429), says(201, POD)]
    began = time.monotonic()
    assert client.create(PODS, {}, Object).metadata.name == "a"
    assert time.monotonic() - began >= 0.1
    assert [method for method, _ in server.seen] == ["POST"] * 3


def test_a_wait_beyond_the_deadline_is_not_begun(server: Server, client: Client) -> None:
    server.script = [says(429, {"message": "slow down"}, Retry_After="20")]
    began = time.monotonic()
    assert "slow down" in str(refusal(client))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("wait", ["nan", "-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 99999 1 GMT", ""])
def test_a_wait_that_makes_no_sense(server: Server, client: Client, wait: str) -> None:
    server.script = [says(429, Retry_After=wait), says(200, b"fine")]
    assert client.request("GET", PODS) == b"fine"


def test_a_budget_is_not_asked_again(server: Server, client: Client) -> None:
    causes = [{"reason": "DisruptionBudget", "message": "needs 2 healthy pods"}]
    server.script = [says(429, {"message": "Cannot evict", "details": {"causes": causes}}, Retry_After="0")]
    error = refusal(client, "POST", body={})
    assert isinstance(error, ApiError)
    assert error.is_budget
    assert error.causes[0].message == "needs 2 healthy pods"
    assert len(server.seen) == 1


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "bad", [says(500), says(503, b"<html>"), CUT, CUT_CHUNK, CUT_BETWEEN, NOTHING], ids=lambda item: repr(item)[:12]
)
def test_what_is_harmless_is_tried_again(server: Server, client: Client, method: str, bad: Answer) -> None:
    server.script = [bad, bad, says(200, b"fine")]
    assert client.request(method, PODS) == b"fine"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (says(500, {"message": "boom"}), "boom"),
        (says(503, b"<html>"), "<html>"),
        (CUT, "the connection was cut off"),
        (CUT_CHUNK, "the connection was cut off"),
        (NOTHING, "the connection was cut off"),
        ([b"SSH-2.0-OpenSSH\r\n"], "the connection was cut off"),
    ],
)
def test_a_creation_is_not(server: Server, client: Client, bad: Answer, message: str) -> None:
    server.script = [bad]
    with pytest.raises(ClusterError, match=message):
        client.create(PODS, {}, Object)
    assert len(server.seen) == 1


def test_a_creation_that_is_only_tried_is(server: Server, client: Client) -> None:
    server.script = [says(500), CUT, says(201, POD)]
    client.create(PODS, {}, Object, dry_run=True)
    assert server.seen == [("POST", f"{PODS}?dryRun=All")] * 3


@pytest.mark.parametrize("status", [400, 403, 409, 422, 302])
def test_a_refusal_is_not_tried_again(server: Server, client: Client, status: int) -> None:
    server.script = [says(status, {"message": "no", "reason": "Word"}, Location="/elsewhere")]
    error = refusal(client)
    assert isinstance(error, ApiError)
    assert (error.status, error.reason, error.is_conflict) == (status, "Word", status == 409)
    assert str(error) == "the context `staging`: no"
    assert server.seen == [("GET", PODS)]


def test_a_cut_answer_does_not_pass_for_the_next(server: Server, client: Client) -> None:
    server.script = [says(200, b"first"), CUT, says(200, b"second")]
    assert [client.request("GET", PODS), client.request("GET", PODS)] == [b"first", b"second"]


# -- credentials


def counting(directory: Path) -> dict[str, Any]:
    """A user whose program gives token-1, then token-2 and so on."""
    path = directory / "plugin"
    path.write_text(
        f"#!/bin/sh\necho x >> '{path}.runs'\nn=$(wc -l < '{path}.runs')\n"
        'echo \'{"status": {"token": "token-\'$((n))\'"}}\'\n'
    )
    path.chmod(0o700)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}


def test_refused_credentials_are_renewed_once(server: Server, tmp_path: Path) -> None:
    server.script = [says(401), says(201, POD), says(401), says(401)]
    with Client(reference(tmp_path, url_of(server), counting(tmp_path)), deadline_s=2) as own:
        own.create(PODS, {}, Object)
        assert "the credentials of the context `staging` are refused" in str(refusal(own))
    tokens = [headers["Authorization"] for headers in server.headers]
    assert tokens == [f"Bearer token-{number}" for number in (1, 2, 2, 3)]


def test_a_token_cannot_be_renewed(server: Server, client: Client) -> None:
    server.script = [says(401, {"message": "Unauthorized"})]
    assert "they may have expired" in str(refusal(client))
    assert len(server.seen) == 1


# -- objects


def page(names: str, after: str = "") -> Answer:
    return says(200, {"metadata": {"continue": after}, "items": [{"metadata": {"name": name}} for name in names]})


def names(client: Client, **named: str) -> str:
    return "".join(item.metadata.name for item in client.list(PODS, Object, **named))


def test_a_list_of_several_pages(server: Server, client: Client) -> None:
    server.script = [page("ab", "x/1"), page("cd", "x 2"), page("e")]
    assert names(client, labels="app=a", fields="b=c") == "abcde"
    first = f"{PODS}?limit=500&labelSelector=app%3Da&fieldSelector=b%3Dc"
    assert [path for _, path in server.seen] == [first, f"{first}&continue=x%2F1", f"{first}&continue=x+2"]


def test_an_expired_list_starts_over_once(server: Server, client: Client) -> None:
    expired = says(410, {"reason": "Expired", "message": "too old"})
    server.script = [page("ab", "1"), expired, page("cd", "2"), page("e")]
    assert names(client) == "cde"
    server.script = [page("ab", "1"), expired, page("ab", "1"), expired]
    with pytest.raises(ApiError, match="too old"):
        names(client)
    assert server.script == []


def test_an_empty_list(server: Server, client: Client) -> None:
    server.script = [says(200, {"metadata": {}, "items": None})]
    assert names(client) == ""


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"items": [{}]}', b'{"items": ["\xff"]}', b'{"items":' + b"[" * 20000]
)
def test_what_no_api_answers(server: Server, client: Client, body: bytes) -> None:
    server.script = [says(200, body)] * 2
    with pytest.raises(ClusterError, match="does not answer like a Kubernetes API"):
        client.list(PODS, Object)
    with pytest.raises(ClusterError, match="does not answer like a Kubernetes API"):
        client.get(PODS, Object)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b'{"message": "\xff"}', b'{"x":' + b"[" * 20000])
def test_a_refusal_that_is_no_status(server: Server, client: Client, body: bytes) -> None:
    server.script = [says(403, body)]
    assert isinstance(refusal(client), ApiError)


def test_what_is_not_there(server: Server, client: Client) -> None:
    server.script = [says(404, {"message": 'pods "a" not found', "reason": "NotFound"}), says(404, b""), says(403)]
    assert client.find(f"{PODS}/a", Object) is None
    with pytest.raises(ApiError, match="not found"):
        client.get(f"{PODS}/a", Object)
    with pytest.raises(ApiError, match="HTTP status 403"):
        client.find(f"{PODS}/a", Object)
