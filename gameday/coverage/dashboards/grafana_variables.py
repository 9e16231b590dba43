"""Chooses the values of a dashboard's variables, as Grafana does when somebody opens it. Pure.

Kinds: https://grafana.com/docs/grafana/latest/dashboards/variables/add-template-variables/.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gameday.coverage.dashboards.grafana_model import ALL, Variable
from gameday.coverage.dashboards.grafana_text import Filled, Values, fill, write
from gameday.coverage.dashboards.grafana_time import interval_ms, step_ms, write_interval

# Of a variable with one of these names, whatever its case, the value is the experiment's service, where it has that.
SERVICE_NAMES = frozenset(
    {"service", "service_name", "servicename", "app", "application", "job", "deployment", "workload"}
)
IGNORED = ("adhoc", "groupby")  # filters that are added to queries; they are part of none
_MOST_OPTIONS = 1000
_ANYTHING = ".*"


class Range(msgspec.Struct, frozen=True):
    """What is asked for, in Unix times in milliseconds."""

    start_ms: int
    end_ms: int

    @property
    def length_ms(self) -> int:
        return self.end_ms - self.start_ms


def choose(variable: Variable, options: Sequence[str] | None, given: Sequence[str], service: str | None) -> Filled:
    """A variable's value. `options` are those that it has now, None where that is not known; `given`: by the URL."""
    if given:
        # Grafana's addresses have said "All" for it, too.
        given = [ALL if value == "All" and variable.includes_all else value for value in given]
        return _filled(variable, given, options)
    if service and _is_service(variable) and (options is None or service in options):
        return _filled(variable, [service], options)
    chosen = variable.chosen
    if options is not None:
        chosen = tuple(value for value in chosen if value in options or (value == ALL and variable.includes_all))
    if not chosen:
        chosen = (ALL,) if variable.includes_all else tuple((options or ())[:1])
    return _filled(variable, chosen, options)


def _filled(variable: Variable, chosen: Sequence[str], options: Sequence[str] | None) -> Filled:
    is_many = variable.is_multi or variable.includes_all
    if ALL in chosen and variable.includes_all:
        if variable.all_value or options is None:
            return Filled(variable.name, variable.all_value or _ANYTHING, is_raw=True, is_many=True, text="All")
        return Filled(variable.name, tuple(options[:_MOST_OPTIONS]), is_many=True, text="All")
    value: Values = tuple(chosen) if variable.is_multi else (chosen[0] if chosen else "")
    return Filled(variable.name, value, is_many=is_many)


def simple(variable: Variable, given: Sequence[str], service: str | None, asked: Range) -> Filled:
    """The value of a variable that has no options, or none that depend on anything: constants, intervals, texts."""
    query = variable.query if isinstance(variable.query, str) else ""
    value = next(iter(given or variable.chosen), "")
    match variable.kind:
        case "constant":
            value = query or value
        case "interval":
            value = value or next(iter(custom_options(query)), "")
            if value.startswith("$__auto"):
                least = interval_ms(variable.auto_min) or 1
                value = write_interval(step_ms(asked.length_ms, variable.auto_count, least))
        case "textbox" if service and not given and _is_service(variable):
            value = service
        case "textbox":
            value = value or query
    return Filled(variable.name, value)


def _is_service(variable: Variable) -> bool:
    return variable.name.lower() in SERVICE_NAMES


def custom_options(query: str) -> tuple[str, ...]:
    """The values of a custom variable: `a, b` or `First : a, Second : b`; a comma of a value is `\\,`."""
    values = []
    for text in re.findall(r"(?:\\,|[^,])+", query):
        named = re.fullmatch(r"\s*(.+)\s:\s(.+)", text := text.replace("\\,", ","), re.DOTALL)
        values.append((named[2] if named else text).strip())
    return tuple(value for value in dict.fromkeys(values) if value)


def select_options(variable: Variable, found: Iterable[str], filled: Mapping[str, Filled]) -> tuple[str, ...]:
    """What a variable makes of the values that its query gives: by its regular expression, each once, in its order."""
    regex = compile_regex(fill(variable.regex, filled, lambda other: write(other, "regex")))
    values: list[str] = []
    for text in found:
        if regex is None:
            values.append(text)
        elif match := regex.search(text):
            groups = match.groupdict()
            value = groups.get("value") or groups.get("text") or next(iter(match.groups()), None)
            values.append(value if value is not None else text)
    return tuple(_sort(dict.fromkeys(values), variable.sort))


def compile_regex(text: str) -> re.Pattern[str] | None:
    """A regular expression as people write it in Grafana: `/…/i`, or the whole of a text. None for none, and for one
    that only JavaScript knows."""
    if not text:
        return None
    written = re.fullmatch(r"/(.*?)/([gimsy]*)", text, re.DOTALL)
    pattern, letters = (written[1], written[2]) if written else (f"^{text}$", "")
    flags = re.IGNORECASE if "i" in letters else 0
    try:
        return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern).replace(r"\/", "/"), flags)
    except re.error:
        return None


def _sort(values: Iterable[str], order: int) -> list[str]:
    """`order`: 1, 3, 5, 7 rise, by letter, number, letter of either case, or naturally; 2, 4, 6, 8 fall."""

    def number(text: str) -> int:
        found = re.search(r"\d+", text)
        return int(found[0][:18]) if found else -1

    rising = list(values)
    match order:
        case 1 | 2:
            rising.sort()
        case 3 | 4 | 7 | 8:
            rising.sort(key=number)
        case 5 | 6:
            rising.sort(key=str.lower)
    return rising[::-1] if order in (2, 4, 6, 8) else rising
