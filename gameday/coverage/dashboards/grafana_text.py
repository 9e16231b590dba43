"""Fills in the variables of a text, in each of the ways in which Grafana writes them.

Syntax and formats: https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/; what is unknown stays
as it is, for some of it is meant for the data source (`$__rate_interval`, `$__timeFilter(…)`). Pure.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from gameday.common.json import Json

_REFERENCE = re.compile(
    r"\$(?P<bare>\w+)"
    r"|\[\[(?P<old>\w+?)(?::(?P<old_format>\w+))?\]\]"
    r"|\$\{(?P<name>\w+)(?P<path>(?:\.[^:^{}\[\]]+|\[[^\]]*\])*)(?::(?P<format>[^}]+))?\}",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_MOMENT = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}  # what is said of a date

type Values = str | tuple[str, ...]  # one, or several of a variable that may have several


class Filled(msgspec.Struct, frozen=True):
    """A variable with its value. `is_raw`: written as it is, whatever the format; `is_many`: it may have several
    values, or all; `text`: what people are shown for it, where that is another."""

    name: str
    value: Values
    is_raw: bool = False
    is_many: bool = False
    text: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        return (self.value,) if isinstance(self.value, str) else self.value


type Format = Callable[[Filled], str]


def fill(text: str, variables: Mapping[str, Filled], default: Format | None = None) -> str:
    """The text with all known variables filled in; `default` is the format where none is named, `glob` unless given."""

    def one(match: re.Match[str]) -> str:
        variable = variables.get(match["bare"] or match["old"] or match["name"])
        if variable is None:
            return match[0]
        name = match["old_format"] or match["format"]
        if variable.is_raw:
            return write(variable, name if name in ("percentencode", "text") else "raw")
        if name is None and default is not None:
            return default(variable)
        return write(variable, name or "glob")

    return _REFERENCE.sub(one, text)


def fill_all(found: Json, variables: Mapping[str, Filled], default: Format | None = None) -> Json:
    """The same for every text in a JSON value."""
    if isinstance(found, str):
        return fill(found, variables, default)
    if isinstance(found, list):
        return [fill_all(one, variables, default) for one in found]
    if isinstance(found, dict):
        return {key: fill_all(value, variables, default) for key, value in found.items()}
    return found


def names_in(found: Json) -> set[str]:
    """The names of all variables in a JSON value, whether there are such or not."""
    if isinstance(found, str):
        return {match["bare"] or match["old"] or match["name"] for match in _REFERENCE.finditer(found)}
    several = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return {name for one in several for name in names_in(one)}


def default_format(kind: str) -> Format | None:
    """How the data sources of a kind ("prometheus") want variables written where no format is named."""
    if is_promql(kind):
        return _promql
    named = {"elasticsearch": "lucene", "grafana-opensearch-datasource": "lucene", "influxdb": "regex"}.get(kind)
    if named:
        return lambda variable: write(variable, named)
    return _sql if is_sql(kind) else None


def is_promql(kind: str) -> bool:
    """Whether the data sources of a kind take PromQL or LogQL, and themselves fill in `$__interval` and the like."""
    return "prometheus" in kind or kind == "loki"


def is_sql(kind: str) -> bool:
    """Whether the data sources of a kind are asked in SQL, by Grafana's own plugins."""
    return kind in ("mysql", "postgres", "mssql", "grafana-postgresql-datasource")


def write(variable: Filled, named: str) -> str:
    """A value in a format by name, such as `regex` or `date:iso`; in the format `glob` for a name that is not known."""
    name, *arguments = named.split(":")
    if name == "date":
        return _date(",".join(variable.values), ":".join(arguments) or "iso")
    if name == "join":
        return (arguments[0] if arguments else ",").join(variable.values)
    return _FORMATS.get(name, _glob)(variable)


def _glob(variable: Filled) -> str:
    several = variable.values
    return several[0] if len(several) == 1 else "{" + ",".join(several) + "}" if several else ""


def _regex(variable: Filled) -> str:
    escaped = [re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", one) for one in variable.values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _json(variable: Filled) -> str:
    if isinstance(variable.value, str):
        return variable.value
    return json.dumps(variable.value, separators=(",", ":"), ensure_ascii=False)


def _lucene(variable: Filled) -> str:
    def escape(one: str) -> str:
        return one if _NUMBER.fullmatch(one) else re.sub(r'[!*+\-=<>\s&|()\[\]{}^~?:\\/"]', r"\\\g<0>", one)

    if isinstance(variable.value, str):
        return escape(variable.value)
    return "(" + " OR ".join(f'"{escape(one)}"' for one in variable.value) + ")" if variable.value else "__empty__"


def _quoted(mark: str, escapes: Mapping[str, str]) -> Format:
    table = str.maketrans(dict(escapes))
    return lambda variable: ",".join(f"{mark}{one.translate(table)}{mark}" for one in variable.values)


def _percent(variable: Filled) -> str:
    value = variable.value
    return _quote(value if isinstance(value, str) else "{" + ",".join(value) + "}")


def _distributed(variable: Filled) -> str:
    return ",".join(one if index == 0 else f"{variable.name}={one}" for index, one in enumerate(variable.values))


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")


_FORMATS: Mapping[str, Format] = {
    "csv": lambda variable: ",".join(variable.values),
    "distributed": _distributed,
    "doublequote": _quoted('"', {'"': '\\"'}),
    "json": _json,
    "lucene": _lucene,
    "percentencode": _percent,
    "pipe": lambda variable: "|".join(variable.values),
    "queryparam": lambda variable: "&".join(f"var-{variable.name}={_quote(one)}" for one in variable.values),
    "raw": lambda variable: ",".join(variable.values),
    "regex": _regex,
    "singlequote": _quoted("'", {"'": "\\'"}),
    "sqlstring": _quoted("'", {"'": "''", '"': '\\"'}),
    "text": lambda variable: variable.text or " + ".join(variable.values),
}


def _promql(variable: Filled) -> str:
    """Within a quoted string of PromQL or LogQL: as a regular expression where there may be several values."""
    if not variable.is_many:
        return ",".join(variable.values).replace("\\", "\\\\").replace("'", "\\\\'")
    escaped = [re.sub(r"[$^*{}\[\]+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\\\\\\\")) for value in variable.values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _sql(variable: Filled) -> str:
    if variable.is_many:
        return ",".join("'" + value.replace("'", "''") + "'" for value in variable.values)
    return ",".join(variable.values)


def _date(value: str, form: str) -> str:
    if not value.isdigit():
        return "NaN"
    moment = datetime.fromtimestamp(int(value) / 1000, UTC)
    match form:
        case "ms":
            return value
        case "seconds":
            return str(round(int(value) / 1000))
        case "iso":
            return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    return re.sub("|".join(_MOMENT), lambda match: f"{moment:{_MOMENT[match[0]]}}", form)
