"""Who somebody in Slack is: their name in the session, and whether they may end it."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from gameday.journal.events import PeopleInfo, Role, SessionStarted

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

_ID = re.compile(r"[UW][A-Z0-9]{4,}")
_MOST_KNOWN = 1000


class Profile(msgspec.Struct, frozen=True):
    """What Slack says of a person. `handle` is without its @; `email` is empty without the scope users:read.email."""

    handle: str = ""
    display_name: str = ""
    email: str = ""


class Directory:
    """Looks people up and remembers them. `aliases`: a name in game days, and the id, handle or email that it has in
    Slack; names in game days that are somebody's handle or email need none."""

    def __init__(self, client: "AsyncWebClient", aliases: Mapping[str, str], timeout_s: float) -> None:
        self._client = client
        self._aliases = aliases
        self._timeout_s = timeout_s
        self._known: dict[str, Profile] = {}
        self._names: dict[str, str] = {}  # by the name, whose it is

    async def name_of(self, user: str, people: PeopleInfo, handle: str = "") -> str:
        """Their name in the session, else the one they go by in Slack, else the id. Asks Slack once; never raises."""
        if given := self._given_name(user, people, Profile(handle)):
            return given
        profile = await self._profile(user) or Profile(handle)
        if given := self._given_name(user, people, profile):
            return given
        name = profile.display_name or profile.handle
        if not name:
            return user
        # Display names are whatever people choose: what one has said must not read as said by another.
        if len(self._names) >= _MOST_KNOWN:
            self._names.clear()
        is_theirs = self._names.setdefault(name, user) == user and not _names_of(people) & {name, f"@{name}"}
        return name if is_theirs else f"{name} ({user})"

    def known_name_of(self, user: str, people: PeopleInfo, handle: str) -> str:
        """Without asking Slack: their name in the session, else their handle, else the id."""
        known = self._known.get(user, Profile(handle))
        return self._given_name(user, people, known) or (f"@{handle}" if handle else user)

    async def is_one_of(self, user: str, handle: str, named: Iterable[str]) -> bool:
        """Whether this is one of those, who are named by id, handle, email or as in game days. Never raises.

        Slack is asked only when an email could make the difference; without an answer they are none of those.
        """
        wanted = [self._aliases.get(name, name) for name in named]
        if any(_is(user, Profile(handle), one) for one in wanted):
            return True
        if not any(_is_email(one) for one in wanted):
            return False
        profile = await self._profile(user)
        return profile is not None and any(_is(user, profile, one) for one in wanted)

    def _given_name(self, user: str, people: PeopleInfo, profile: Profile) -> str | None:
        for name in (*self._aliases, *sorted(_names_of(people))):
            if _is(user, profile, self._aliases.get(name, name)):
                return name
        return None

    async def _profile(self, user: str) -> Profile | None:
        """https://docs.slack.dev/reference/methods/users.info; None when Slack does not say."""
        if user in self._known:
            return self._known[user]
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._client.users_info(user=user)
            found = msgspec.convert(said.get("user"), _User)
        except Exception:  # noqa: BLE001 - the sdk raises its own, aiohttp's and others; a name is not worth a note
            return None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        shown = found.profile.display_name or found.profile.real_name or found.real_name
        self._known[user] = Profile(found.name, shown, found.profile.email)
        return self._known[user]


class _UserProfile(msgspec.Struct, frozen=True):
    display_name: str = ""
    real_name: str = ""
    email: str = ""


class _User(msgspec.Struct, frozen=True):
    name: str = ""
    real_name: str = ""
    profile: _UserProfile = _UserProfile()


def role_of(name: str, session: SessionStarted, experiment: int) -> Role | None:
    """As what somebody takes part in an experiment: a builder, an SRE; None for others."""
    info = session.experiments[experiment]
    if name in (info.builder, *session.people.builders):
        return Role.BUILDER
    return Role.SRE if name in (info.sre, *session.people.sres) else None


def who_may_abort(allowed: Iterable[str], people: PeopleInfo) -> tuple[str, ...]:
    """Those whom the configuration allows, else all of the game day; nobody by name means everybody in the channel."""
    return tuple(allowed) or tuple(sorted(_names_of(people)))


def _names_of(people: PeopleInfo) -> set[str]:
    named = (people.facilitator, *people.builders, *people.sres, people.scribe, *people.observers)
    return {name for name in named if name}


def _is(user: str, profile: Profile, wanted: str) -> bool:
    wanted = wanted.strip()
    if _ID.fullmatch(wanted):  # a handle is in small letters, and must not pass for an id
        return wanted == user
    if _is_email(wanted):
        return bool(profile.email) and profile.email.lower() == wanted.lower()
    return bool(profile.handle) and profile.handle.lower() == wanted.removeprefix("@").lower()


def _is_email(text: str) -> bool:
    return "@" in text[1:]
