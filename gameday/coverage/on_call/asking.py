"""How a service that pages people is asked: what its API refuses becomes a sentence that says what is to be done."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol
from urllib.parse import quote

import msgspec
from yarl import URL

from gameday.common.codec import decode
from gameday.common.http import Answer, HttpClient, HttpError, parse_url
from gameday.common.texts import one_line
from gameday.coverage.on_call.base import OnCallError
from gameday.journal.events import OnCallInfo
from gameday.spec.model import OnCallConfig
from gameday.spec.reader import nearest

MAX_BYTES = 8 * 1024 * 1024  # of one answer; a page has at most 100 records
_AT_ONCE = 8  # requests under way; others wait, without their timeout running
_DEADLINE = 4  # times the timeout of one request: a look-up takes several

type Query = Sequence[tuple[str, str]]
type Moment = Annotated[datetime, msgspec.Meta(tz=True)]  # ISO 8601 with an offset


class Named(Protocol):
    """Something of the service's that has a name. `kind` is for people: "an escalation policy"."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


class _Error(msgspec.Struct, frozen=True):
    message: str = ""


class _Said(msgspec.Struct, frozen=True):
    """What an answer says that is none: PagerDuty's `{"error": {"message": …}}` or Opsgenie's `{"message": …}`."""

    error: _Error | None = None
    message: str = ""


class Api:
    """One service's HTTP API, with the key that lets us in."""

    def __init__(
        self,
        config: OnCallConfig,
        *,
        name: str,
        url: str,
        authorization: str,
        permission: Callable[[str], str],
        accept: str = "application/json",
    ) -> None:
        """`authorization`: what stands before the key in that header; `permission`: what a key needs to be let in at
        a path. Raises OnCallError."""
        token = config.credentials.token
        if not token:
            raise OnCallError(
                f"found no `token`, expected {name}'s API key, such as `token: ${{{name.upper()}_TOKEN}}`"
            )
        try:
            self._url = parse_url(config.url or url)
        except ValueError as error:
            raise OnCallError(str(error)) from error
        self._name = name
        self._token = token
        self._permission = permission
        self._timeout_s = config.timeout_s
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._client = HttpClient(config.timeout_s, {"Authorization": f"{authorization}{token}", "Accept": accept})

    async def get[T](self, kind: type[T], *path: str, query: Query = ()) -> T | None:
        """The answer at a path, which is given in parts; None when there is nothing (404). Raises OnCallError."""
        where = "/".join(quote(part, safe="") for part in path)
        url = URL(f"{str(self._url).rstrip('/')}/{where}", encoded=True).with_query(list(query))
        try:
            async with self._places:
                answer = await self._client.get(url, max_bytes=MAX_BYTES)
        except HttpError as error:
            raise OnCallError(f"{self._name} cannot be asked: {error}") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise OnCallError(f"{self._name} {self._refusal(answer, where)}")
        try:
            return decode(answer.body, kind)
        except msgspec.DecodeError as error:
            raise OnCallError(f"{self._name}'s answer at /{where} is not as expected: {error}") from error

    def _refusal(self, answer: Answer, where: str) -> str:
        try:
            body = decode(answer.body, _Said)
            said = (body.error.message if body.error else "") or body.message
        except msgspec.DecodeError:
            said = answer.excerpt()
        said = f" ({one_line(said.replace(self._token, '…'))[:200]})" if said else ""
        match answer.status:
            case 401:
                return f"does not take the key: HTTP 401{said}"
            case 403:
                return f"does not let the key see /{where}: HTTP 403{said}; it needs {self._permission(where)}"
            case 429:
                return f"has been asked more often than it allows: HTTP 429{said}"
            case status:
                return f"answers HTTP {status} at /{where}{said}"

    async def within_deadline[T](self, asked: Coroutine[None, None, T]) -> T:
        """What has been asked for, within few times the timeout. Raises OnCallError."""
        try:
            async with asyncio.timeout(_DEADLINE * self._timeout_s):
                return await asked
        except TimeoutError as error:
            raise OnCallError(f"{self._name} took longer than {_DEADLINE * self._timeout_s:g} s") from error

    async def look_up(self, info: OnCallInfo, asked: Coroutine[None, None, OnCallInfo]) -> OnCallInfo:
        """What has been asked for; where it cannot be had, `info` and why."""
        try:
            if not info.schedule:
                asked.close()
                raise OnCallError("neither the experiment's service nor `on-call.schedule` says whose schedule it is")
            return await self.within_deadline(asked)
        except OnCallError as error:
            return msgspec.structs.replace(info, detail=str(error))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def pick[T: Named](name: str, named: Sequence[T]) -> T:
    """The one of that id or name. Raises OnCallError when there is none, or more than one of the name."""
    found = [one for one in named if one.id == name] or [one for one in named if one.name == name]
    if len(found) == 1:
        return found[0]
    if not found:
        near = nearest(name, (one.name for one in named))
        raise OnCallError(f"there is nothing called `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    listed = " and ".join(f"{one.kind} ({one.id})" for one in found)
    raise OnCallError(f"`{name}` is {listed}: name the one that is meant by its id")


def iso(moment: float) -> str:
    """A Unix time in UTC, to the second below: "2026-03-07T09:00:00Z"."""
    return f"{datetime.fromtimestamp(int(moment), UTC):%Y-%m-%dT%H:%M:%SZ}"
