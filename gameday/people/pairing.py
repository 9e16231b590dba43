"""Who takes which experiment: one builder and one SRE, named or proposed, with the reason. Pure; no I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import inf, lcm

import msgspec

from gameday.spec.model import GivenPair, People


class Pair(msgspec.Struct, frozen=True):
    """One builder and one SRE, for one experiment; None where there is nobody. `reason`: why these two, in words."""

    builder: str | None = None
    sre: str | None = None
    reason: str = ""


class PastSession(msgspec.Struct, frozen=True):
    """Who took which experiment of an earlier session, in their order. `at`: when it began, a Unix time."""

    at: float
    pairs: tuple[Pair, ...]


type _Two = tuple[str, str]  # builder, SRE


def propose_pairs(people: People, experiments: int, past: Iterable[PastSession] = ()) -> tuple[Pair, ...]:
    """A pair for each of so many experiments. The same input gives the same pairs, in whichever order the people, and
    the past sessions, are given.

    Whoever is named for an experiment takes it. Of all others those two take one who have met least often. To lead,
    which is to take the first experiment, after having led the last session that any of these people took part in,
    counts as having met once more for each of the two. Where that leaves several: those who had the fewest turns, then
    those who have not met for longest, then by a fixed order of all pairs. Nobody is paired with themselves.

    With n builders and m SREs who are different people, and no past, each pair therefore meets once in n·m sessions of
    one experiment, turns differ by one at most, and with five people or more, two at least in each role, nobody leads
    twice running. With four, two and two, that would keep two pairs from ever meeting: then meeting goes first.
    """
    given = [*people.pairs[:experiments], *[GivenPair()] * (experiments - len(people.pairs))]
    table = _Table(people, given, past)
    return tuple(table.take(index, named) for index, named in enumerate(given))


class _Table:
    """Who has met whom how often, up to now and with what this session is known to bring."""

    def __init__(self, people: People, given: Sequence[GivenPair], past: Iterable[PastSession]) -> None:
        self._builders, self._sres = sorted(set(people.builders)), sorted(set(people.sres))
        self._order = _fixed_order(self._builders, self._sres)
        everybody = {
            *self._builders,
            *self._sres,
            *(name for pair in given for name in (pair.builder, pair.sre) if name),
        }
        self._is_small = len(everybody) < 5
        self._met: Counter[_Two] = Counter()
        self._turns: Counter[tuple[str, str]] = Counter()  # by role and person
        self._last: dict[_Two, float] = {}
        self._led: set[str | None] = set()
        for session in sorted(past, key=_when):
            if any({pair.builder, pair.sre} & everybody for pair in session.pairs):
                self._led = {session.pairs[0].builder, session.pairs[0].sre}
            for pair in session.pairs:
                self._count(pair.builder, pair.sre)
                if pair.builder and pair.sre:
                    self._last[pair.builder, pair.sre] = session.at
        for named in given:
            if two := _both(named):  # which counts for what is proposed before it, too
                self._meet(*two)

    def take(self, index: int, named: GivenPair) -> Pair:
        """Who takes the experiment, the first of which has the index 0."""
        if two := _both(named):
            return Pair(*two, "named in the game day")
        builders = [named.builder] if named.builder else self._builders
        sres = [named.sre] if named.sre else self._sres
        could = [(builder, sre) for builder in builders for sre in sres if builder != sre]
        if not could:
            return self._alone(builders, sres)
        two = min(could, key=lambda two: self._cost(two, is_first=index == 0))
        reason = self._reason(two, named, min(map(self._again, could)) if index == 0 else None)
        self._meet(*two)
        return Pair(*two, reason)

    def _cost(self, two: _Two, *, is_first: bool) -> tuple[float, ...]:
        builder, sre = two
        met, again = self._met[two], self._again(two) if is_first else 0
        return (
            met + again,
            met if self._is_small else again,
            self._turns["builder", builder] + self._turns["sre", sre],
            self._last.get(two, -inf),
            self._order.get(two, 0),
        )

    def _again(self, two: _Two) -> int:
        """How many of the two would lead again."""
        return len(self._led.intersection(two))

    def _alone(self, builders: Sequence[str], sres: Sequence[str]) -> Pair:
        builder, sre = next(iter(builders), None), next(iter(sres), None)
        if builder is not None and builder == sre:
            return Pair(builder, None, f"{builder} is the only one named for both, and a pair is two people")
        missing = "nobody" if builder == sre else "no builder" if builder is None else "no SRE"
        return Pair(builder, sre, f"{missing} is named")

    def _reason(self, two: _Two, named: GivenPair, least_again: int | None) -> str:
        both, last = " and ".join(two), self._last.get(two)
        if last is None:
            words = [f"{both} have not met before"]
        elif last == inf:
            words = [f"{both} meet once more in this session"]
        else:
            words = [f"{both} last met on {_date(last)}"]
        if named != GivenPair():
            words.append(f"{named.builder or named.sre} is named in the game day")
        if least_again is not None and (again := [name for name in two if name in self._led]):
            why = "for want of others" if len(again) == least_again else "so that all meet"
            words.append(f"{' and '.join(again)} {'lead' if len(again) > 1 else 'leads'} again, {why}")
        return "; ".join(words)

    def _meet(self, builder: str, sre: str) -> None:
        """In this session."""
        self._count(builder, sre)
        self._last[builder, sre] = inf

    def _count(self, builder: str | None, sre: str | None) -> None:
        if builder and sre:
            self._met[builder, sre] += 1
        for role, name in (("builder", builder), ("sre", sre)):
            if name:
                self._turns[role, name] += 1


def _both(named: GivenPair) -> _Two | None:
    """The two who are named; nobody who is on call for what they have built is a pair by themselves."""
    return (named.builder, named.sre) if named.builder and named.sre and named.builder != named.sre else None


def _when(session: PastSession) -> tuple[float, list[tuple[str, str]]]:
    return session.at, [(pair.builder or "", pair.sre or "") for pair in session.pairs]


def _fixed_order(builders: Sequence[str], sres: Sequence[str]) -> dict[_Two, int]:
    """Each pair's place in an order in which neighbours have, as far as can be, nobody in common: both sides go round,
    the SREs a step further each time that all is where it began."""
    order: dict[_Two, int] = {}
    for number in range(len(builders) * len(sres)):
        further = number + number // lcm(len(builders), len(sres))
        order[builders[number % len(builders)], sres[further % len(sres)]] = number
    return order


def _date(at: float) -> str:
    """The day, in UTC."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):  # no calendar has it; a journal may be damaged
        return "a day that is not known"
