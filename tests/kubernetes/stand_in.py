"""A stateful stand-in for an API server, over real HTTP on loopback: users, objects, watches and an audit."""

import asyncio
import contextlib
import ssl
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from access_rules import Deed, User, permission
from aiohttp import web
from answers import Answers
from ask import Ask
from audit import Call, is_dry, verb_of
from containers import Containers
from executing import execute
from kinds import discovery, is_known_group, target_of
from refusals import Refused, bad_request, forbidden, unauthorised
from special import unreadable
from store import Item

_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-stand-in", "platform": "linux/amd64"}
_EVERYBODY = "system:authenticated"


class StandIn:
    """Serves until it is closed. `calls` has every request, in the order of their answers."""

    def __init__(self, users: dict[str, User], containers: Containers) -> None:
        """`users` by their tokens."""
        self._users, self._containers = users, containers
        self._answers = Answers()
        self._answers.store.listeners.append(self._wake)
        self._changed = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self.calls: list[Call] = []
        self.urls: list[str] = []

    async def start(self, *contexts: ssl.SSLContext | None) -> None:
        """One address for each: with TLS, or without."""
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        for context in contexts:
            site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            port = self._runner.addresses[-1][1]
            self.urls.append(f"{'https' if context else 'http'}://127.0.0.1:{port}")

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _wake(self) -> None:
        self._changed.set()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        query = dict(parse_qsl(request.query_string, keep_blank_values=True))
        target = target_of(request.path)
        watch = query.get("watch") in ("1", "true")
        verb = verb_of(request.method, target.name if target else "-", watch=watch)
        user, code = User("system:anonymous"), 500
        try:
            user = self._user(request)
            if target is None:
                code, answer = self._plain(user, request.method, request.path)
                if isinstance(answer, str):
                    return web.Response(status=code, text=answer)
                return _json(code, answer)
            content_type = request.headers.get("Content-Type", "application/json").partition(";")[0]
            ask = Ask(user, verb, target, query, request.query_string, content_type, body)
            if verb == "watch":
                code = 200
                return await self._watch(request, ask)
            if target.subresource == "exec" and verb in ("get", "create"):
                container = self._answers.container_of(ask)
                if request.headers.get("Upgrade", "").lower() != "websocket":
                    raise bad_request("Upgrade request required")
                namespace, pod = target.namespace, target.name
                response = await execute(request, self._containers, namespace, pod, container)
                code = response.status
                return response
            code, answer = self._ask(ask)
            return _json(code, answer)
        except Refused as refused:
            code = refused.code
            wait = (refused.details or {}).get("retryAfterSeconds")
            return _json(code, refused.status(), {"Retry-After": str(wait)} if wait else {})
        finally:
            document: Any = None
            if body and (verb.startswith("delete") or (target and target.subresource == "eviction")):
                with contextlib.suppress(msgspec.DecodeError):
                    document = msgspec.json.decode(body)
            dry = is_dry(verb, request.query_string, document)
            agent = request.headers.get("User-Agent", "")
            self.calls.append(Call(verb, request.path, user.name, dry, code, request.query_string, agent))

    def _ask(self, ask: Ask) -> tuple[int, Item]:
        """Raises Refused; so also for what is not shaped as its kind is, of which the real server knows each field."""
        try:
            return self._answers.answer(ask)
        except (AttributeError, KeyError, TypeError) as error:
            if ask.verb == "patch":
                raise unreadable() from error
            raise bad_request(f"{ask.target.resource.kind} in version is not well formed: {error!r}") from error

    def _user(self, request: web.BaseRequest) -> User:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self._users.get(token)
        if user is None:
            raise unauthorised()
        user = User(user.name, (*user.groups, _EVERYBODY))
        if name := request.headers.get("Impersonate-User"):
            deed = Deed("impersonate", resource="users", name=name)
            if not permission(user, deed, self._answers.store.all):
                why = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
                details = {"name": name, "kind": "users"}
                raise Refused(403, "Forbidden", f'users "{name}" is forbidden: {why}', details)
            user = User(name, (*request.headers.getall("Impersonate-Group", ()), _EVERYBODY))
        return user

    def _plain(self, user: User, method: str, path: str) -> tuple[int, Item | str]:
        """What is no object. Raises Refused."""
        if not permission(user, Deed("get", path=path), self._answers.store.all):
            message = f'forbidden: User "{user.name}" cannot get path "{path}"'
            raise Refused(403, "Forbidden", message, {})
        if method == "GET" and path == "/version":
            return 200, _VERSION
        if path in ("/healthz", "/livez", "/readyz"):
            return 200, "ok"
        document = discovery(path) if method == "GET" else None
        if document is None and is_known_group(path):
            raise Refused(404, "NotFound", "the server could not find the requested resource", {})
        return (404, "404 page not found\n") if document is None else (200, document)

    async def _watch(self, request: web.BaseRequest, ask: Ask) -> web.StreamResponse:
        """Changes since a version, or what there is and then its changes."""
        if not self._answers.allows(ask):
            raise forbidden(ask.target, "watch", ask.user.name)
        store, target = self._answers.store, ask.target
        chosen, selected = self._answers.test(ask), self._answers.selected(ask)
        asked = ask.query.get("resourceVersion") or "0"
        seen, fresh = (store.version, selected) if asked == "0" else (int(asked), [])
        if store.changes and seen < store.changes[0][0] - 1:
            raise Refused(410, "Expired", f"too old resource version: {seen} ({store.changes[0][0]})")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for item in fresh:
            await response.write(_event("ADDED", item))
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(float(ask.query.get("timeoutSeconds") or 3600)):
                while True:
                    for version, kind, resource, item in [change for change in store.changes if change[0] > seen]:
                        seen, namespace = version, item["metadata"].get("namespace", "")
                        is_here = target.namespace in ("", namespace) or not resource.namespaced
                        # An object that a change takes out of a selection is not told of; the real server says DELETED.
                        if resource is target.resource and is_here and chosen(item):
                            await response.write(_event(kind, item))
                    self._changed.clear()
                    if store.version == seen:
                        await self._changed.wait()
        return response


def _event(kind: str, item: Item) -> bytes:
    return msgspec.json.encode({"type": kind, "object": item}) + b"\n"


def _json(code: int, document: Item, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(document)
    return web.Response(status=code, body=body, content_type="application/json", headers=headers)
