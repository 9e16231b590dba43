"""A reverse proxy before an API server, with bad days on demand: refusals, silence, cut lines, and absence."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

import aiohttp
import msgspec
from aiohttp import web
from audit import Call, is_dry, verb_of
from kinds import target_of
from loops import LoopThread
from yarl import URL

# Of one hop only: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
_HOP = {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_REASONS = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout", 410: "Expired"}


@dataclass
class _Rule:
    """What befalls the next requests that match. `times` is how often yet; None is always."""

    what: str
    times: int | None
    method: str
    path: str
    status: int = 0
    body: bytes = b""
    retry_after_s: int | None = None
    seconds: float = 0.0

    def takes(self, method: str, path: str) -> bool:
        if self.times == 0 or self.method not in ("", method) or self.path not in path:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


class _Pipe:
    """What aiohttp gives the bytes of an upgraded connection to."""

    def __init__(self, write: Callable[[bytes], None], over: asyncio.Event) -> None:
        self._write, self._over = write, over

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._write(data)
        return False, b""

    def feed_eof(self) -> None:
        self._over.set()


class Proxy:
    """Passes everything on, but for what a test asks for: of the rules that match a request, the oldest counts.

    In each rule `method` is one of HTTP's, and `path` a part of path and query; without them it is every request.
    """

    def __init__(
        self,
        loop: LoopThread,
        upstream: str,
        upstream_tls: ssl.SSLContext | None,
        tls: ssl.SSLContext | None,
        credentials: Callable[[str], dict[str, str] | None] | None = None,
        users: Callable[[str], str] = lambda _: "",
        kubeconfig: Callable[[str, str, str], Path] | None = None,
    ) -> None:
        """`credentials` turns a bearer token into the headers to send on, None when it is nobody's."""
        self._loop, self._upstream, self._upstream_tls, self._tls = loop, upstream, upstream_tls, tls
        self._credentials, self._users, self._kubeconfig = credentials, users, kubeconfig
        self._rules: list[_Rule] = []
        self._expired: set[str] = set()
        self._release = asyncio.Event()
        self._port = 0
        self._site: web.TCPSite | None = None
        self.calls: list[Call] = []
        loop.run(self._start())

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_for("admin")

    def kubeconfig_for(self, user: str, namespace: str = "") -> Path:
        """A file with one context, named after the user, that leads through here."""
        assert self._kubeconfig is not None
        return self._kubeconfig(user, namespace, self.url)

    # -- what a test may ask for, from any thread

    def answer(
        self,
        status: int,
        *,
        times: int | None = 1,
        method: str = "",
        path: str = "",
        retry_after_s: int | None = None,
        message: str = "",
        body: bytes | None = None,
    ) -> None:
        """Answer with a Status, or with these very bytes; the server is not asked."""
        if body is None:
            text = message or f"a bad day: {HTTPStatus(status).phrase}"
            said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text}
            body = msgspec.json.encode(said | {"reason": _REASONS.get(status, ""), "code": status})
        self._rules.append(_Rule("answer", times, method, path, status, body, retry_after_s))

    def hang(self, *, times: int | None = 1, method: str = "", path: str = "") -> None:
        """Never answer; the server is not asked."""
        self._rules.append(_Rule("hang", times, method, path))

    def cut(self, *, times: int | None = 1, method: str = "", path: str = "") -> None:
        """Ask the server, and hang up in the middle of its answer."""
        self._rules.append(_Rule("cut", times, method, path))

    def lose(self, *, times: int | None = 1, method: str = "", path: str = "") -> None:
        """Ask the server, and hang up without a byte of its answer: it is done, and nobody knows."""
        self._rules.append(_Rule("lose", times, method, path))

    def drop(self, *, times: int | None = 1, method: str = "", path: str = "") -> None:
        """Hang up; the server is not asked."""
        self._rules.append(_Rule("drop", times, method, path))

    def delay(self, seconds: float, *, times: int | None = 1, method: str = "", path: str = "") -> None:
        """Wait before the server is asked."""
        self._rules.append(_Rule("delay", times, method, path, seconds=seconds))

    def expire(self, token: str) -> None:
        """From now on the token is nobody's."""
        self._expired.add(token)

    def mend(self) -> None:
        """No bad days any more; those who hang are hung up on."""

        async def release() -> None:
            self._rules.clear()
            self._release.set()
            self._release = asyncio.Event()
            if self._site is None:
                await self._listen()

        self._loop.run(release())

    def gone(self) -> None:
        """Listen no more, and hang up on everybody."""

        async def leave() -> None:
            if self._site is not None:
                await self._site.stop()
                self._site = None
            self._hang_up()

        self._loop.run(leave())

    def back(self) -> None:
        """Listen again, at the same address."""
        self._loop.run(self._listen())

    def close(self) -> None:
        async def end() -> None:
            self._release.set()
            self._hang_up()
            await self._runner.cleanup()
            await self._session.close()

        self._loop.run(end())

    # -- in the loop

    async def _start(self) -> None:
        self._server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)
        await self._runner.setup()
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            # A kept line that the server has closed would look like a bad day that nobody asked for.
            connector=aiohttp.TCPConnector(ssl=self._upstream_tls or False, limit=0, keepalive_timeout=5),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[-1][1]

    def _hang_up(self) -> None:
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        rule = next((rule for rule in self._rules if rule.takes(request.method, request.path_qs)), None)
        code = 0
        try:
            match rule.what if rule else "":
                case "hang":
                    await self._release.wait()
                    return self._drop(request)
                case "drop":
                    return self._drop(request)
                case "delay" if rule:
                    await asyncio.sleep(rule.seconds)
                case "answer" if rule:
                    code = rule.status
                    headers = {} if rule.retry_after_s is None else {"Retry-After": str(rule.retry_after_s)}
                    return web.Response(status=code, body=rule.body, headers=headers, content_type="application/json")
            async with self._forward(request, body) as upstream:
                code = upstream.status
                if code == HTTPStatus.SWITCHING_PROTOCOLS:
                    return await self._tunnel(request, upstream, rule.what if rule else "")
                return await self._pass_on(request, upstream, rule.what if rule else "")
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return self._drop(request)
        finally:
            self._record(request, body, code)

    @contextlib.asynccontextmanager
    async def _forward(self, request: web.BaseRequest, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        if protocol := request.headers.get("Upgrade"):
            headers |= {"Connection": "Upgrade", "Upgrade": protocol}
        if headers.get("Authorization", "").removeprefix("Bearer ") in self._expired:
            headers["Authorization"] = "Bearer expired"  # of which the server shall say what it thinks
        if self._credentials is not None:
            token = headers.pop("Authorization", "").removeprefix("Bearer ")
            # Of a token that is nobody's the server shall say what it thinks.
            headers |= self._credentials(token) or {"Authorization": f"Bearer {token}"}
        url = URL(self._upstream + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, allow_redirects=False
        ) as upstream:
            yield upstream

    async def _pass_on(
        self, request: web.BaseRequest, upstream: aiohttp.ClientResponse, what: str
    ) -> web.StreamResponse:
        headers = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP}
        if what == "lose":
            await upstream.read()
            return self._drop(request)
        if what == "cut":
            text = await upstream.read()
            response = web.StreamResponse(status=upstream.status, headers=headers)
            response.content_length = len(text)
            await response.prepare(request)
            await response.write(text[: len(text) // 2])
            return self._drop(request, response)
        if "watch=" not in request.query_string:
            return web.Response(status=upstream.status, body=await upstream.read(), headers=headers)
        response = web.StreamResponse(status=upstream.status, headers=headers)
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        return response

    async def _tunnel(
        self, request: web.BaseRequest, upstream: aiohttp.ClientResponse, what: str
    ) -> web.StreamResponse:
        """Pass on whatever comes, both ways, until either hangs up; a cut is in the middle of what comes back first."""
        connection, transport = upstream.connection, request.transport
        assert connection is not None
        assert connection.transport is not None
        assert connection.protocol is not None
        if what == "lose":
            connection.close()
            return self._drop(request)
        assert transport is not None
        headers = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP}
        headers |= {"Connection": "Upgrade", "Upgrade": upstream.headers.get("Upgrade", "")}
        response = web.StreamResponse(status=upstream.status, headers=headers)
        await response.prepare(request)
        over = asyncio.Event()

        def pass_back(data: bytes) -> None:
            transport.write(data[: len(data) // 2] if what == "cut" else data)
            if what == "cut":
                over.set()

        connection.protocol.set_parser(_Pipe(pass_back, over), None)
        request.protocol.set_parser(_Pipe(connection.transport.write, over))  # type: ignore[arg-type]
        await over.wait()
        connection.close()
        return self._drop(request, response)

    @staticmethod
    def _drop(request: web.BaseRequest, response: web.StreamResponse | None = None) -> web.StreamResponse:
        if request.transport is not None:
            # What is written already shall arrive.
            request.transport.close() if response else request.transport.abort()
        return response or web.Response(status=500)

    def _record(self, request: web.BaseRequest, body: bytes, code: int) -> None:
        query = dict(parse_qsl(request.query_string))
        target = target_of(request.path)
        verb = verb_of(request.method, target.name if target else "-", watch="watch" in query)
        document = None
        if body and (verb.startswith("delete") or request.path.endswith("/eviction")):
            with contextlib.suppress(msgspec.DecodeError):
                document = msgspec.json.decode(body)
        user = self._users(request.headers.get("Authorization", "").removeprefix("Bearer "))
        agent = request.headers.get("User-Agent", "")
        dry = is_dry(verb, request.query_string, document)
        self.calls.append(Call(verb, request.path, user, dry, code, request.query_string, agent))
