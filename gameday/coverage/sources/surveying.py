"""Asks Prometheus and Alertmanager, before a session, what it takes for alerts to fire and to be heard: all at once."""

import asyncio
import re
from collections.abc import Coroutine, Iterable, Mapping, Sequence

import msgspec
from yarl import URL

from gameday.common.http import HttpClient, HttpError
from gameday.coverage.base import AlertsSeen, Expression, Silence, Survey
from gameday.coverage.matchers import Matcher
from gameday.coverage.promql import Selectors, find_selectors
from gameday.coverage.routing import Routing, parse_routing
from gameday.coverage.served_config import load_config, mapping, seconds
from gameday.coverage.sources.answers import (
    CONFIG,
    LABELS,
    MAX_BYTES,
    QUERY,
    SAMPLES,
    SILENCES,
    STATUS,
    TARGETS,
    ServedSilence,
    ask,
    data_of,
)
from gameday.journal.events import AlertRuleInfo

_MOST_SELECTORS = 20  # of one expression
_MAKES_LABELS = re.compile(r"\b(?:label_replace|label_join|count_values|absent|absent_over_time|info)\b")


class _PrometheusConfig(msgspec.Struct, frozen=True):
    scrape_s: float
    external_labels: dict[str, str]


class _Asked(msgspec.Struct, frozen=True):
    """What became of one query: the `job` of each series, or why its expression cannot be evaluated. `labels`: the
    names of those that its series may have; None when they are not known."""

    jobs: tuple[str, ...] = ()
    error: str = ""
    labels: frozenset[str] | None = None


class Surveying:
    """Asks on behalf of the source whose client it uses."""

    def __init__(self, client: HttpClient, prometheus: URL, alertmanager: URL, timeout_s: float) -> None:
        self._client = client
        self._api, self._alertmanager = prometheus.joinpath("api", "v1"), alertmanager.joinpath("api", "v2")
        self._timeout = f"{timeout_s:g}s"

    async def ask(self, rules: Sequence[AlertRuleInfo]) -> Survey:
        """All but what a look says. What was not answered is in `unanswered`."""
        unanswered: dict[str, str] = {}

        async def part[T](name: str, asking: Coroutine[None, None, T]) -> T | None:
            try:
                return await asking
            except HttpError as error:
                unanswered[name] = str(error)
                return None

        expressions = {rule.expression: _selectors(rule.expression) for rule in rules}
        routing, silences, intervals, config, answers = await asyncio.gather(
            part("Alertmanager's configuration", self._routing()),
            part("Alertmanager's silences", self._silences()),
            part("Prometheus's targets", self._scrape_intervals()),
            part("Prometheus's configuration", self._prometheus_config()),
            asyncio.gather(
                *(part("Prometheus's series", self._expression(text, found)) for text, found in expressions.items())
            ),
        )
        if config is None:  # what it would add to each alert is not known
            answers = [answer and (msgspec.structs.replace(answer[0], labels=None), *answer[1:]) for answer in answers]
        if config is None and intervals:  # one of the two is enough
            config = _PrometheusConfig(max(intervals.values()), {})
        fallback = config.scrape_s if config else None
        return Survey(
            seen=AlertsSeen(()),
            routing=routing,
            silences=silences,
            external_labels=config.external_labels if config else {},
            expressions={
                text: _conclude(found, answer, intervals or {}, fallback)
                for (text, found), answer in zip(expressions.items(), answers, strict=True)
                if answer is not None
            },
            unanswered=tuple(unanswered.items()),
        )

    async def _routing(self) -> Routing:
        status = await ask(self._client, self._alertmanager / "status", STATUS, secret=True)
        try:
            return parse_routing(status.config.original)
        except ValueError as error:
            raise HttpError(f"it cannot be understood: {error}") from None

    async def _silences(self) -> tuple[Silence, ...]:
        silences = await ask(self._client, self._alertmanager / "silences", SILENCES)
        return tuple(_silence(item) for item in silences if item.status.state != "expired")

    async def _scrape_intervals(self) -> dict[str, float]:
        """The longest of each job's targets, in seconds."""
        url = (self._api / "targets").with_query(state="active")
        targets = data_of(await ask(self._client, url, TARGETS)).active_targets
        longest: dict[str, float] = {}
        for target in targets:
            try:
                interval_s = seconds(target.scrape_interval)
            except ValueError:
                continue
            job = target.labels.get("job", "")
            longest[job] = max(interval_s, longest.get(job, 0.0))
        return longest

    async def _prometheus_config(self) -> _PrometheusConfig:
        config = data_of(await ask(self._client, self._api / "status" / "config", CONFIG, secret=True))
        try:
            settings = mapping(load_config(config.yaml).get("global") or {})
            labels = mapping(settings.get("external_labels") or {})
            return _PrometheusConfig(
                seconds(str(settings.get("scrape_interval") or "1m")),  # Prometheus's default
                {key: str(value) for key, value in labels.items()},
            )
        except ValueError as error:
            raise HttpError(f"it cannot be understood: {error}") from None

    async def _expression(self, expression: str, selectors: Selectors | None) -> tuple[_Asked, ...]:
        """First of the expression itself, then of each of its selectors."""
        found = selectors.found if selectors else ()
        queries = (expression, *(selector.query for selector in found))
        labels, (whole, *parts) = await asyncio.gather(
            self._labels(expression, selectors), asyncio.gather(*map(self._query, queries))
        )
        if all(part.jobs for part in parts):  # of series that are not there nothing is known
            whole = msgspec.structs.replace(whole, labels=labels)
        return (whole, *parts)

    async def _labels(self, expression: str, selectors: Selectors | None) -> frozenset[str] | None:
        """The names of all labels that series of these selectors have; None where that is not all, or not known."""
        if selectors is None or _MAKES_LABELS.search(expression):
            return None
        if not selectors.found:
            return frozenset()
        url = (self._api / "labels").with_query([("match[]", selector.text) for selector in selectors.found])
        try:
            return (await ask(self._client, url, LABELS)).data
        except HttpError:
            return None  # not every server has this; what else fails is asked for again, and said

    async def _query(self, expression: str) -> _Asked:
        url = (self._api / "query").with_query(query=expression, timeout=self._timeout)
        answer = await self._client.get(url, max_bytes=MAX_BYTES)
        try:
            body = QUERY.decode(answer.body)
            if body.data is None and 400 <= answer.status < 500:  # the expression's fault, not the server's
                return _Asked(error=f"{body.error_type}: {body.error}")
            found = data_of(body)
            if found.result_type != "vector":  # a scalar is a value, too
                return _Asked(("",))
            return _Asked(tuple(sample.metric.get("job", "") for sample in SAMPLES.decode(found.result)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HttpError(f"HTTP {answer.status}: {answer.excerpt() or 'an empty answer'}") from error


def _selectors(expression: str) -> Selectors | None:
    """None for one that we cannot read (another server's dialect), or would have to ask too much about."""
    try:
        found = find_selectors(expression)
    except ValueError:
        return None
    return found if len(found.found) <= _MOST_SELECTORS else None


def _conclude(
    selectors: Selectors | None, answers: Sequence[_Asked], intervals: Mapping[str, float], fallback: float | None
) -> Expression:
    whole, *parts = answers
    if whole.error:
        return Expression(error=whole.error)
    if selectors is None:
        return Expression(len(whole.jobs), scrape_s=fallback)
    missing = [
        selector.text for selector, part in zip(selectors.found, parts, strict=True) if not part.jobs and not part.error
    ]
    is_needed = not whole.jobs and (not selectors.alternative or len(missing) == len(parts))
    return Expression(
        series=len(whole.jobs),
        missing=tuple(missing) if is_needed else (),
        scrape_s=_longest((job for part in parts for job in part.jobs), intervals, fallback) if parts else 0.0,
        labels=whole.labels,
    )


def _longest(jobs: Iterable[str], intervals: Mapping[str, float], fallback: float | None) -> float | None:
    """What is recorded by rules, say, has no job that is scraped."""
    found = [intervals.get(job, fallback) for job in jobs] or [fallback]
    return max((interval for interval in found if interval is not None), default=None)


def _silence(item: ServedSilence) -> Silence:
    matchers = tuple(
        Matcher(matcher.name, _operator(is_regex=matcher.is_regex, is_equal=matcher.is_equal), matcher.value)
        for matcher in item.matchers
    )
    return Silence(item.id, matchers, item.starts_at.timestamp(), item.ends_at.timestamp(), item.comment)


def _operator(*, is_regex: bool, is_equal: bool) -> str:
    if is_regex:
        return "=~" if is_equal else "!~"
    return "=" if is_equal else "!="
