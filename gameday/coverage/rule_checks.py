"""Judges alerting rules that lie in the repository: by what experiments expect, and by what the server has. Pure."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gameday.common.texts import most_similar
from gameday.coverage.examination import choose_rule, examine
from gameday.coverage.observed import of_alert
from gameday.coverage.preflight import PreflightResult, say_lacking, say_too_slow
from gameday.coverage.promql import normal_form
from gameday.coverage.rule_files import FileRule, RuleFiles
from gameday.journal.events import AlertRuleInfo, CheckOutcome
from gameday.spec.location import Mistake
from gameday.spec.model import ExpectedAlert
from gameday.spec.units import format_duration

_MOST_NAMES = 5
_DIFFER = "the repository and the server differ"


class _Flaw(msgspec.Struct, frozen=True):
    """What stands after "the rule has", and what should be there instead."""

    has: str
    expected: str


def _flaws(alert: ExpectedAlert, rule: AlertRuleInfo) -> Iterator[_Flaw]:
    """What is wrong with a rule, as far as its file alone says."""
    found = examine(alert, (rule,), None, 0.0, 0.0)
    if found and (too_slow := say_too_slow(alert, found)):
        yield _Flaw(f"a `for` with which it {too_slow}", "a shorter one")
    if rule.severity and "{{" not in rule.severity and alert.severity not in (None, rule.severity):
        yield _Flaw(f"the severity {rule.severity}", f"{alert.severity}, which the experiment expects")
    if lacks := say_lacking(rule):
        yield _Flaw(lacks, "what whoever is paged goes by")


def _choose(alert: ExpectedAlert, files: RuleFiles) -> FileRule | None:
    chosen = choose_rule(alert, [item.rule for item in files.rules])
    return next((item for item in files.rules if item.rule is chosen), None)


def _near(alert: ExpectedAlert, files: RuleFiles) -> str | None:
    return most_similar(alert.name, {item.rule.name for item in files.rules})


def _unread(files: RuleFiles) -> str:
    count = len(files.problems)
    return f" ({count} file{'s' * (count != 1)} of rules could not be read)" if count else ""


def review_alerts(alerts: Iterable[ExpectedAlert], files: RuleFiles) -> Iterator[Mistake]:
    """What the files say against each expected alert, with its place: that of the rule, or of the expectation."""
    for alert in alerts:
        item = _choose(alert, files)
        if item is None:
            expected = f"one that a rule in a file has{_unread(files)}"
            yield Mistake(alert.location, f"the alert `{alert.name}`", expected, _near(alert, files))
            continue
        for flaw in _flaws(alert, item.rule):
            yield Mistake(item.location, f"the rule `{alert.name}` with {flaw.has}", flaw.expected)


def check_rule_file(
    alert: ExpectedAlert, files: RuleFiles, loaded: Sequence[AlertRuleInfo] | None
) -> PreflightResult | None:
    """The expected alert's rule in the files: by itself where no server says what is loaded (None), else whether the
    server has the same. None when neither has it, which is said elsewhere."""
    check, item = f"alert {alert.name}, rule file", _choose(alert, files)
    if loaded is not None:
        means = of_alert([item.rule for item in files.rules], alert)
        mine = [item for item in files.rules if item.rule in means]
        theirs = [rule for rule in loaded if rule.name == alert.name]
        return _compare(check, files, mine, theirs)
    if item is None:
        near = _near(alert, files)
        hint = f"; did you mean `{near}`?" if near else ""
        return PreflightResult(check, CheckOutcome.WARNING, f"no file has such a rule{_unread(files)}{hint}")
    place, has = files.place(item), [flaw.has for flaw in _flaws(alert, item.rule)]
    if has:
        return PreflightResult(check, CheckOutcome.WARNING, f"the rule at {place} has {'; '.join(has)}")
    because = f"`for` {format_duration(item.rule.for_s)}"
    return PreflightResult(
        check, CheckOutcome.OK, f"its rule is at {place}, with {because}, its labels and annotations"
    )


def _compare(
    check: str, files: RuleFiles, mine: Sequence[FileRule], theirs: Sequence[AlertRuleInfo]
) -> PreflightResult | None:
    if not mine:
        if not theirs:
            return None
        detail = f"the server has it, and no file does{_unread(files)}"
        outcome = CheckOutcome.OK if files.problems else CheckOutcome.WARNING
        return PreflightResult(check, outcome, detail if files.problems else f"{_DIFFER}: {detail}")
    same = next((item for item in mine if not _difference(item, theirs)), None)
    if same:
        return PreflightResult(check, CheckOutcome.OK, f"the server has it as it is at {files.place(same)}")
    detail = f"{files.place(mine[0])}: {_difference(mine[0], theirs)}"
    return PreflightResult(check, CheckOutcome.WARNING, f"{_DIFFER}: {detail}")


def compare_rules(files: RuleFiles, loaded: Sequence[AlertRuleInfo]) -> PreflightResult:
    """Whether the server has all rules of the files as they are there. What else it has is its own affair."""
    differ: dict[str, str] = {}
    for item in files.rules:
        theirs = [rule for rule in loaded if rule.name == item.rule.name]
        if difference := _difference(item, theirs):
            differ.setdefault(item.rule.name, difference)
    check, count = "alert rules, files", len(files.rules)
    if not differ:
        return PreflightResult(
            check, CheckOutcome.OK, f"the server has all {count} as they are in files{_unread(files)}"
        )
    names = [f"{name} ({difference})" for name, difference in list(differ.items())[:_MOST_NAMES]]
    more = f", and {len(differ) - _MOST_NAMES} more" if len(differ) > _MOST_NAMES else ""
    detail = f"{_DIFFER}: {', '.join(names)}{more}; of {count} rules in files{_unread(files)}"
    return PreflightResult(check, CheckOutcome.WARNING, detail)


def _difference(item: FileRule, theirs: Sequence[AlertRuleInfo]) -> str:
    """In what a rule of a file differs from the one of its name that is loaded; empty when there is one like it."""
    if not theirs:
        return "not loaded"
    if item.is_template:
        return ""
    rule = item.rule
    differences: list[list[str]] = []
    for other in [other for other in theirs if other.severity == rule.severity] or theirs:
        found = ["another expression"] * (not _same_expression(rule.expression, other.expression))
        if abs(rule.for_s - other.for_s) > 1e-6:
            found.append(f"`for` {format_duration(rule.for_s)}, on the server {format_duration(other.for_s)}")
        if rule.severity != other.severity:
            found.append(f"severity {rule.severity or 'none'}, on the server {other.severity or 'none'}")
        differences.append(found)
    return " and ".join(sorted(differences, key=len)[0])


def _same_expression(one: str, other: str) -> bool:
    try:
        return normal_form(one) == normal_form(other)
    except ValueError:
        return one.split() == other.split()
