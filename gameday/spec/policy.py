"""Reads the policy of an environment: what a run may do there, when, and with whose consent."""

import re
from pathlib import Path

from gameday.spec.model import Approval, Credentials, ErrorBudget, Hours, Incidents, Policy, Unit
from gameday.spec.reader import Fields
from gameday.spec.sources import read_credentials, read_url
from gameday.spec.timezones import is_timezone
from gameday.spec.units import UnitError, excerpt, parse_comparison, parse_positive_duration, parse_share

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(_DAYS)
_HOURS = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:-(?:{_DAY}))?(?:,(?:{_DAY})(?:-(?:{_DAY}))?)*)\s+)?"
    r"(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})\s+(?P<timezone>\S+)",
    re.IGNORECASE,
)
_TIME = "times from 00:00 to 24:00, the first before the second"
_LEFT = 'what must be left, such as "> 20%"'


def read_policy(environment: Fields, root: Path) -> Policy:
    """`policy` of an environment; mistakes are noted. `root` is what paths in it are relative to."""
    policy = environment.mapping("policy", "a policy, such as {max-blast-radius: 50%, confirm: true}")
    return _read(policy, root, "policy") if policy else Policy()


def _read(fields: Fields, root: Path, name: str) -> Policy:
    """The policy, or the stricter one under `unattended`, which has some of its rules."""
    is_whole = name == "policy"
    allowed, refused = _faults(fields)
    policy = Policy(
        max_blast_radius=fields.scalar("max-blast-radius", parse_share, "a percentage such as 50%"),
        services=_names(fields, "services", "a list of services' names or patterns"),
        faults=allowed,
        faults_refused=refused,
        hours=fields.scalar("hours", parse_hours, 'hours such as "Mon-Fri 09:00-16:00 Europe/Berlin"'),
        error_budget=_error_budget(fields),
        namespaces=_names(fields, "namespaces", "a list of namespaces") if is_whole else (),
        nodes=_names(fields, "nodes", "a list of nodes' names or patterns") if is_whole else (),
        incidents=_incidents(fields) if is_whole else None,
        approval=_approval(fields, root) if is_whole else None,
        confirm=fields.boolean("confirm") if is_whole else False,
        unattended=_unattended(fields, root) if is_whole else None,
        places=tuple(
            (key, f"{name}.{key}, {fields.file.path.name}:{where.line}")
            for key, (where, _) in fields.node.entries.items()
        ),
    )
    fields.close()
    return policy


def _unattended(fields: Fields, root: Path) -> Policy | None:
    stricter = fields.mapping("unattended", "what holds besides when nobody is there, such as {max-blast-radius: 10%}")
    return _read(stricter, root, "policy.unattended") if stricter else None


def _names(fields: Fields, key: str, expected: str) -> tuple[str, ...]:
    names = tuple(text for text, _ in fields.texts(key, expected))
    if fields.has(key) and not names:
        # `namespaces: []` looks like "nowhere" and would mean "anywhere".
        fields.file.mistake(fields.key(key), f"`{key}` without a name", expected)
    return names


def _faults(fields: Fields) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which are allowed, which refused."""
    faults = fields.mapping("faults", "faults, such as {allow: [pods/*], refuse: [pods/stress]}")
    if faults is None:
        return (), ()
    read = (
        _names(faults, "allow", "a list of faults' names or patterns"),
        _names(faults, "refuse", "a list of faults' names or patterns"),
    )
    faults.close()
    return read


def _error_budget(fields: Fields) -> ErrorBudget | None:
    budget = fields.mapping("error-budget", 'an error budget, such as {query: …, left: "> 20%"}')
    if budget is None:
        return None
    budget.require("query", "a query for the share of the error budget that is left, 0 to 1")
    budget.require("left", _LEFT)
    query, left = budget.text("query", "a query"), budget.scalar("left", _parse_left, _LEFT)
    budget.close()
    return ErrorBudget(query, *left) if query and left else None


def _parse_left(text: str) -> tuple[bool, float, str]:
    comparator, threshold = parse_comparison(text, Unit.RATIO)
    if comparator not in (">", ">="):
        raise UnitError(excerpt(text), _LEFT)
    return comparator == ">=", threshold, " ".join(text.split())


def _incidents(fields: Fields) -> Incidents | None:
    incidents = fields.mapping("incidents", "where open incidents are seen: a {query: …} or a {url: …}")
    if incidents is None:
        return None
    query, url = incidents.text("query", "a query for their number"), incidents.scalar("url", read_url)
    if incidents.has("query") == incidents.has("url"):
        found = "both `query` and `url`" if incidents.has("url") else "neither `query` nor `url`"
        incidents.file.mistake(incidents.node, found, "one of the two")
    at = incidents.text("list", "where in the answer their list is, such as data.incidents")
    timeout_s = incidents.scalar("timeout", parse_positive_duration, "a duration such as 5s")
    credentials = read_credentials(incidents)
    if query and (at or credentials != Credentials()):
        incidents.file.mistake(incidents.node, "`list` or credentials beside a `query`", "these with a `url` alone")
    incidents.close()
    default = Incidents()
    return Incidents(query, url, at or default.list_at, timeout_s or default.timeout_s, credentials)


def _approval(fields: Fields, root: Path) -> Approval | None:
    approval = fields.mapping("approval", 'whose consent it wants, such as {by: ["@sre-leads"], within: 24h}')
    if approval is None:
        return None
    default = Approval()
    path = approval.text("file", "the path of a file")
    read = Approval(
        by=_names(approval, "by", "a list of handles"),
        within_s=approval.scalar("within", parse_positive_duration, "a duration such as 24h") or default.within_s,
        file=root / Path(path).expanduser() if path else None,
    )
    approval.close()
    return read


def parse_hours(text: str) -> Hours:
    """Weekly hours: "Mon-Fri 09:00-16:00 Europe/Berlin"; days may be left out (all of them). Raises UnitError."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise UnitError(excerpt(text), 'hours such as "Mon-Fri 09:00-16:00 Europe/Berlin"')
    start, end = _minutes(match["start"]), _minutes(match["end"])
    if not start < end <= 24 * 60:
        raise UnitError(excerpt(text), _TIME)
    if not is_timezone(match["timezone"]):
        raise UnitError(f"the time zone {excerpt(match['timezone'])}", "an IANA name such as Europe/Berlin")
    days = frozenset(_days(match["days"])) if match["days"] else frozenset(range(7))
    return Hours(days, start, end, match["timezone"], " ".join(text.split()))


def _minutes(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours > 24:
        raise UnitError(excerpt(text), _TIME)
    return hours * 60 + minutes


def _days(text: str) -> list[int]:
    found = []
    for part in text.title().split(","):
        first, _, last = part.partition("-")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found += [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]  # Sat-Mon goes round
    return found
