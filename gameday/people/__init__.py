"""Who takes part: roles and pairs."""

import msgspec

from gameday.spec.model import People


class Pair(msgspec.Struct, frozen=True):
    """One builder and one SRE, for one experiment; None where nobody was named."""

    builder: str | None = None
    sre: str | None = None


def pair(people: People, experiment: int) -> Pair:
    """Who takes the session's experiment with this index. Everybody gets a turn, and partners change.

    The SREs are shifted by one each time that the builders have all had their turn: with as many of the one as of the
    other, the same two would otherwise always meet.
    """
    builders, sres = people.builders, people.sres
    shift = experiment // len(builders) if builders else 0
    return Pair(
        builders[experiment % len(builders)] if builders else None,
        sres[(experiment + shift) % len(sres)] if sres else None,
    )
