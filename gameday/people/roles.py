"""Roles that are named by what they are on call for, and who that is once it is known. Pure; no I/O."""

from collections.abc import Mapping, Sequence

import msgspec

from gameday.spec.model import ON_CALL, GivenPair, People


def on_call_services(people: People) -> tuple[str, ...]:
    """The services for which whoever is on call takes part, each once.

    After `resolve_on_call`: those of which nobody is known, which is for preflight to say.
    """
    named = [people.facilitator, *people.builders, *people.sres, people.scribe, *people.observers]
    named += [name for pair in people.pairs for name in (pair.builder, pair.sre)]
    return tuple(dict.fromkeys(name.removeprefix(ON_CALL) for name in named if name and name.startswith(ON_CALL)))


def resolve_on_call(people: People, on_call: Mapping[str, Sequence[str]]) -> People:
    """The people with `on-call:<service>` replaced by whoever is on call for it, by service.

    In a list it stands for all of them, each once; where one person is wanted, for the first. Of a service that is
    absent, or has nobody, the text stays.
    """

    def some(handles: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for handle in handles for name in _who(handle, on_call)))

    def one(handle: str | None) -> str | None:
        return _who(handle, on_call)[0] if handle else None

    return msgspec.structs.replace(
        people,
        facilitator=one(people.facilitator),
        builders=some(people.builders),
        sres=some(people.sres),
        scribe=one(people.scribe),
        observers=some(people.observers),
        pairs=tuple(GivenPair(one(pair.builder), one(pair.sre)) for pair in people.pairs),
    )


def _who(handle: str, on_call: Mapping[str, Sequence[str]]) -> Sequence[str]:
    service = handle.removeprefix(ON_CALL) if handle.startswith(ON_CALL) else None
    return (on_call.get(service) if service else None) or (handle,)
