"""Reads alerting rules from files: Prometheus's (`groups:`) and PrometheusRule manifests, several documents in each.

`load_rules(paths) -> (rules, problems)`: paths are files, or directories that are searched. Each rule has its place in
a file and is otherwise what an alert source says of a rule that is loaded. Nothing is raised: what cannot be read, say
a Helm template that is no YAML yet, is a problem with its place, and keeps nothing else from being read.

Formats: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/, and monitoring.coreos.com/v1 of the
Prometheus Operator, whose `spec` is the same.
"""

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gameday.journal.events import AlertRuleInfo
from gameday.spec.documents import split_documents
from gameday.spec.location import Location, Mistake, SpecError
from gameday.spec.model import Project
from gameday.spec.nodes import DocumentError, Mapping, Node, Scalar, Sequence
from gameday.spec.reader import read_text
from gameday.spec.units import UnitError, parse_duration
from gameday.spec.yaml_nodes import compose_yaml

SUFFIXES = (".yaml", ".yml", ".rules", ".json")
_MOST_FILES = 20_000
# Where nobody keeps rules of their own, and much else lies.
_ELSEWHERE = {"node_modules", "vendor", "__pycache__", "venv", "site-packages", "testdata", "target", "reports"}
_ALERT = re.compile(r"""(?:^|[\s{,"'-])alert["']?\s*:""")
_TEMPLATE = re.compile(
    r"\{\{-?\s*(?:if|end|range|with|include|template|define|tpl|toYaml|\$?\.?Values|\.Release)\b|\{\{-|<%|\{%"
)
_TO_FILL_IN = re.compile(r"\{\{|<%|\$\{")  # nothing of PromQL has that
_HEAD_BYTES = 64 * 1024
_YEAR_S = 365 * 86400.0


class FileRule(msgspec.Struct, frozen=True):
    """An alerting rule of a file, and where it begins: at its `alert:`. One that the server of an environment has
    loaded (`loaded_by` names the environment) stands in no file: its location is that of the server's address.
    `is_template`: its expression or `for` are still to be filled in."""

    rule: AlertRuleInfo
    location: Location
    group: str = ""
    loaded_by: str = ""
    is_template: bool = False

    @property
    def origin(self) -> str:
        """Where it comes from, briefly."""
        if self.loaded_by:
            return f"loaded in `{self.loaded_by}`"
        return f"{self.location.path.name}:{self.location.line}"


class RuleFiles(msgspec.Struct, frozen=True):
    """The alerting rules that gameday.yaml names, and what could not be read. `root`: what paths are shown below."""

    root: Path
    rules: tuple[FileRule, ...]
    problems: tuple[Mistake, ...] = ()

    def place(self, item: FileRule) -> str:
        """Where a rule stands, briefly."""
        path = item.location.path
        shown = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        return f"{shown}:{item.location.line}"


def read_rule_files(project: Project) -> RuleFiles | None:
    """Those of the project; None when its gameday.yaml names none."""
    return RuleFiles(project.root, *load_rules(project.rules)) if project.rules else None


def load_rules(paths: Iterable[Path]) -> tuple[tuple[FileRule, ...], tuple[Mistake, ...]]:
    """The alerting rules of all these files and directories, and what could not be read."""
    rules: list[FileRule] = []
    problems: list[Mistake] = []
    for path in dict.fromkeys(paths):
        is_named = not path.is_dir()
        for file in (path,) if is_named else find_rule_files(path):
            _read(file, rules, problems, is_named=is_named)
    return tuple(rules), tuple(problems)


def find_rule_files(directory: Path) -> Iterator[Path]:
    """Files below it that may hold rules, by their names; hidden directories and dependencies are left out."""
    count = 0
    for where, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in _ELSEWHERE and not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES):
                count += 1
                if count > _MOST_FILES:
                    return
                yield Path(where, name)


def _read(path: Path, rules: list[FileRule], problems: list[Mistake], *, is_named: bool) -> None:
    try:
        text = read_text(path)
    except SpecError as error:
        # Much of what a search comes upon is no text of ours; only what may hold rules is worth a word.
        problems += error.mistakes if is_named or path.suffix == ".rules" or _begins_with_rules(path) else ()
        return
    if not _ALERT.search(text):
        return
    for document in split_documents(text):
        if not _ALERT.search(document):
            continue
        try:
            node = compose_yaml(document)
        except DocumentError as error:
            location = Location(path, error.line, error.column)
            template = _TEMPLATE.search(document) is not None
            found = "a template, whose rules are not known here" if template else error.found
            problems.append(Mistake(location, found, "a file of rules" if template else error.expected))
            continue
        rules += _rules(path, node)


def _begins_with_rules(path: Path) -> bool:
    """Whether what is too large to be read is a text in which alerts are defined."""
    try:
        with path.open("rb") as file:
            head = codecs.getincrementaldecoder("utf-8")().decode(file.read(_HEAD_BYTES))
    except (OSError, ValueError):
        return False
    return _ALERT.search(head) is not None


def _rules(path: Path, node: Node | None) -> Iterator[FileRule]:
    """Of a rule file, of a manifest's `spec`, and of each item of a list of manifests."""
    if not isinstance(node, Mapping):
        return
    for item in _list(node, "items"):
        yield from _rules(path, item)
    for group in _list(node, "groups") or _list(_get(node, "spec"), "groups"):
        for rule in _list(group, "rules"):
            name = _text(rule, "alert")
            if name and isinstance(rule, Mapping):
                at = rule.entries["alert"][0]
                info = _info(name, rule, _seconds(_text(group, "interval")) or None)
                is_template = any(_TO_FILL_IN.search(_text(rule, key) or "") for key in ("expr", "for"))
                where = Location(path, at.line, at.column)
                yield FileRule(info, where, _text(group, "name") or "", is_template=is_template)


def _info(name: str, rule: Mapping, interval_s: float | None) -> AlertRuleInfo:
    labels, notes = _texts(_get(rule, "labels")), _texts(_get(rule, "annotations"))
    return AlertRuleInfo(
        name=name,
        expression=_text(rule, "expr") or "",
        for_s=_seconds(_text(rule, "for")),
        severity=labels.get("severity"),
        service=labels.get("service"),
        runbook_url=notes.get("runbook_url") or notes.get("runbook"),
        dashboard=notes.get("dashboard") or notes.get("dashboard_url"),
        interval_s=interval_s,
        keep_firing_for_s=_seconds(_text(rule, "keep_firing_for")),
        labels=labels,
    )


def _get(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, Mapping) or key not in node.entries:
        return None
    return node.entries[key][1]


def _list(node: Node | None, key: str) -> list[Node]:
    found = _get(node, key)
    return found.items if isinstance(found, Sequence) else []


def _text(node: Node | None, key: str) -> str | None:
    found = _get(node, key)
    return found.text if isinstance(found, Scalar) and found.value is not None else None


def _texts(node: Node | None) -> dict[str, str]:
    if not isinstance(node, Mapping):
        return {}
    return {key: value.text for key, (_, value) in node.entries.items() if isinstance(value, Scalar)}


def _seconds(text: str | None) -> float:
    """Prometheus's durations are ours but for `y`; what a template fills in counts as none."""
    try:
        years, y, rest = (text or "").rpartition("y")
        return (float(years) * _YEAR_S if y else 0.0) + (parse_duration(rest) if rest.strip("0 ") else 0.0)
    except (UnitError, ValueError):
        return 0.0
