"""Alerting rules in files: read, judged by what experiments expect, and compared with what a server has loaded."""

from pathlib import Path

import msgspec
import pytest

from gameday.cli.validate import validate
from gameday.coverage.promql import normal_form
from gameday.coverage.rule_checks import check_rule_file, compare_rules, review_alerts
from gameday.coverage.rule_files import RuleFiles, load_rules, read_rule_files
from gameday.journal.events import AlertRuleInfo, CheckOutcome
from gameday.spec.location import Location, SpecError
from gameday.spec.model import ExpectedAlert
from gameday.spec.project import load_project

RULES = """\
groups:
  - name: shop
    rules:
      - record: a:b
        expr: a
      - alert: PaymentsDown
        expr: up == 0
        for: 1m30s
        labels: {severity: page, service: payments}
        annotations:
          runbook_url: https://runbooks.example.org/payments-down
          dashboard_url: https://grafana.example.org/d/x
"""
MANIFESTS = """\
---
apiVersion: v1
kind: ConfigMap
data: {alert: none}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
spec:
  groups:
  - name: node
    rules:
    - {alert: NodeDown, expr: 'up{job="node"} == 0', for: 1y}
"""
TEMPLATE = """\
{{- if .Values.rules }}
groups:
- name: x
  rules:
  - alert: Templated
    expr: up
{{- end }}
"""


def test_rules_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "shop.rules").write_text(RULES)
    (tmp_path / "operator.yaml").write_text(MANIFESTS)
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    rules, problems = load_rules([tmp_path])
    assert problems == ()
    assert [(item.rule.name, str(item.location.path.name), item.location.line, item.group) for item in rules] == [
        ("PaymentsDown", "shop.rules", 6, "shop"),
        ("NodeDown", "operator.yaml", 12, "node"),
    ] or [item.rule.name for item in rules] == ["NodeDown", "PaymentsDown"]
    rule = {item.rule.name: item.rule for item in rules}["PaymentsDown"]
    assert (rule.for_s, rule.severity, rule.service) == (90.0, "page", "payments")
    assert (rule.runbook_url, rule.dashboard) == (
        "https://runbooks.example.org/payments-down",
        "https://grafana.example.org/d/x",
    )
    assert {item.rule.name: item.rule.for_s for item in rules}["NodeDown"] == 365 * 86400


def test_a_template_is_a_problem_and_keeps_nothing_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEMPLATE)
    (tmp_path / "b.yaml").write_text(RULES)
    rules, (problem,) = load_rules([tmp_path])
    assert [item.rule.name for item in rules] == ["PaymentsDown"]
    assert problem.location.path.name == "a.yaml"
    assert problem.found == "a template, whose rules are not known here"
    for mark in ('<% if_p("limit") do |limit| %>', "{% if limit %}"):
        (tmp_path / "a.yaml").write_text(RULES.replace("  rules:\n", f"  rules:\n  {mark}\n", 1))
        _, (problem,) = load_rules([tmp_path])
        assert problem.found == "a template, whose rules are not known here", mark


def test_what_is_no_rule_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "x.yaml").write_text(RULES)
    (tmp_path / "odd.yaml").write_text("groups: [{rules: [{alert: [1]}, 3, {alert: null}]}, x]\nspec: 1\nitems: [2]\n")
    (tmp_path / "list.json").write_text('{"items": [{"spec": {"groups": [{"rules": [{"alert": "A"}]}]}}]}')
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe alert: x")
    rules, problems = load_rules([tmp_path, tmp_path / "nowhere.rules"])
    assert [item.rule.name for item in rules] == ["A"]
    assert [problem.location.path.name for problem in problems] == ["nowhere.rules"]


def test_rules_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(RULES + "# …\n" * 400_000)
    (tmp_path / "other.json").write_text("[" + " " * 2_000_000 + "]")
    rules, problems = load_rules([tmp_path])
    assert (rules, [problem.location.path.name for problem in problems]) == ((), ["large.yaml"])
    (tmp_path / "named.yaml").write_bytes(b"\xff\xfe")
    assert [problem.location.path.name for problem in load_rules([tmp_path / "named.yaml"])[1]] == ["named.yaml"]


def files_of(root: Path, rules: str = RULES, *, more: str = "") -> RuleFiles:
    (root / "alerts").mkdir()
    (root / "alerts" / "shop.yaml").write_text(rules)
    (root / "alerts" / "more.yaml").write_text(more)
    (root / "gameday.yaml").write_text("rules: [alerts/]\n")
    files = read_rule_files(load_project(root))
    assert files
    return files


def expected(name: str, within_s: float = 120.0, severity: str | None = "page") -> ExpectedAlert:
    return ExpectedAlert(name, within_s, severity, None, Location(Path("x.yaml"), 3, 7))


def test_the_files_that_gameday_yaml_names(tmp_path: Path) -> None:
    (tmp_path / "deploy" / "shop").mkdir(parents=True)
    for name in ("deploy/shop/rules-a.yaml", "deploy/shop/other.yaml", "one.rules"):
        (tmp_path / name).write_text(RULES)
    file = tmp_path / "gameday.yaml"
    file.write_text("rules: ['deploy/**/rules-*.yaml', one.rules, one.rules]\n")
    files = read_rule_files(load_project(tmp_path))
    assert files
    assert [files.place(item) for item in files.rules] == ["deploy/shop/rules-a.yaml:6", "one.rules:6"]
    file.write_text("project: x\n")
    assert read_rule_files(load_project(tmp_path)) is None
    file.write_text("rules: [nowhere/, 'x*', '/absolute/*', one.rules]\n")
    with pytest.raises(SpecError) as error:
        load_project(tmp_path)
    assert [mistake.found for mistake in error.value.mistakes] == [
        "the rules `nowhere/`",
        "the rules `x*`",
        "the rules `/absolute/*`",
    ]


def test_a_good_rule_says_nothing(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    assert list(review_alerts([expected("PaymentsDown")], files)) == []
    result = check_rule_file(expected("PaymentsDown"), files, None)
    assert result
    assert (result.outcome, result.detail) == (
        CheckOutcome.OK,
        "its rule is at alerts/shop.yaml:6, with `for` 1m30s, its labels and annotations",
    )


def test_what_is_said_of_a_rule(tmp_path: Path) -> None:
    rules = """\
groups:
- name: g
  interval: 40s
  rules:
  - {alert: Slow, expr: up, for: 1m, labels: {severity: warning}}
"""
    files = files_of(tmp_path, rules, more=TEMPLATE)
    alerts = [expected("Slow", 70.0), expected("Slwo")]
    said = [(str(item.location).rpartition("/")[2], item.found, item.expected) for item in review_alerts(alerts, files)]
    scrape = "a scrape, of which the interval is not known"
    slow = f"cannot fire within 1m10s: it takes 1m20s ({scrape} + evaluation 40s + for 1m, in evaluations 1m20s)"
    assert said == [
        ("shop.yaml:5:6", f"the rule `Slow` with a `for` with which it {slow}", "a shorter one"),
        ("shop.yaml:5:6", "the rule `Slow` with the severity warning", "page, which the experiment expects"),
        (
            "shop.yaml:5:6",
            "the rule `Slow` with no label `service` and no annotation `runbook_url` or `dashboard`",
            "what whoever is paged goes by",
        ),
        ("x.yaml:3:7", "the alert `Slwo`", "one that a rule in a file has (1 file of rules could not be read)"),
    ]
    results = [check_rule_file(alert, files, None) for alert in alerts]
    assert [result and result.detail for result in results] == [
        f"the rule at alerts/shop.yaml:5 has a `for` with which it {slow}; the severity warning; "
        "no label `service` and no annotation `runbook_url` or `dashboard`",
        "no file has such a rule (1 file of rules could not be read); did you mean `Slow`?",
    ]


def test_gameday_check_warns_of_what_the_files_say(tmp_path: Path) -> None:
    files_of(tmp_path, RULES.replace("page", "ticket"), more=TEMPLATE)
    (tmp_path / "experiments").mkdir()
    expects = "{name: PaymentsDown, within: 2m, severity: page}, {name: PaymentsDwn, within: 2m}"
    text = f"title: x\nmethod: []\nexpect: {{alerts: [{expects}]}}\n"
    (tmp_path / "experiments" / "x.yaml").write_text(text)
    checked, warnings = validate([tmp_path])
    assert checked["experiment"] == 1
    assert [(warning.location.path.name, warning.found, warning.nearest) for warning in warnings] == [
        ("more.yaml", "a template, whose rules are not known here", None),
        ("shop.yaml", "the rule `PaymentsDown` with the severity ticket", None),
        ("x.yaml", "the alert `PaymentsDwn`", "PaymentsDown"),
    ]
    (tmp_path / "gameday.yaml").write_text("project: x\n")
    assert validate([tmp_path])[1] == ()


def test_the_repository_and_the_server(tmp_path: Path) -> None:
    files = files_of(tmp_path, more=MANIFESTS)
    down, node = sorted((item.rule for item in files.rules), key=lambda rule: rule.name, reverse=True)
    loaded = (
        msgspec.structs.replace(down, expression="up==0"),
        node,
        AlertRuleInfo(name="New", expression="", for_s=0),
    )

    def say(name: str, rules: tuple[AlertRuleInfo, ...]) -> str | None:
        result = check_rule_file(expected(name), files, rules)
        return f"{result.outcome}: {result.detail}" if result else None

    assert say("PaymentsDown", loaded) == "ok: the server has it as it is at alerts/shop.yaml:6"
    assert say("New", loaded) == "warning: the repository and the server differ: the server has it, and no file does"
    assert say("Nowhere", loaded) is None
    differ = "warning: the repository and the server differ: alerts/shop.yaml:6:"
    assert say("PaymentsDown", ()) == f"{differ} not loaded"
    other = msgspec.structs.replace(down, expression="up == 1", for_s=60.0)
    assert say("PaymentsDown", (other,)) == f"{differ} another expression and `for` 1m30s, on the server 1m"
    assert say("PaymentsDown", (other, down)) == "ok: the server has it as it is at alerts/shop.yaml:6"
    assert (compare_rules(files, loaded).outcome, compare_rules(files, loaded).detail) == (
        CheckOutcome.OK,
        "the server has all 2 as they are in files",
    )
    # What is still to be filled in differs from nothing.
    for old, new in (("up == 0", "up < <%= p('limit') %>"), ("1m30s", "'{{ .Values.for }}'")):
        (tmp_path / "filled.yaml").write_text(RULES.replace(old, new))
        template, problems = load_rules([tmp_path / "filled.yaml"])
        assert (problems, [item.is_template for item in template]) == ((), [True])
        assert compare_rules(msgspec.structs.replace(files, rules=template), (other,)).outcome is CheckOutcome.OK
    # A warning of its name that is as in the file makes no page so.
    warning = msgspec.structs.replace(down, severity="ticket", for_s=60.0)
    both = msgspec.structs.replace(files, rules=(*files.rules, msgspec.structs.replace(files.rules[0], rule=warning)))
    for rules, said in [
        ((warning, down), "ok: the server has it as it is at alerts/shop.yaml:6"),
        ((warning, msgspec.structs.replace(down, severity="info")), f"{differ} severity page, on the server info"),
        ((warning, other), f"{differ} another expression and `for` 1m30s, on the server 1m"),
    ]:
        found = check_rule_file(expected("PaymentsDown"), both, rules)
        assert found
        assert f"{found.outcome}: {found.detail}" == said
    result = compare_rules(files, (other,))
    assert (result.outcome, result.detail) == (
        CheckOutcome.WARNING,
        "the repository and the server differ: NodeDown (not loaded), PaymentsDown (another expression and `for` "
        "1m30s, on the server 1m); of 2 rules in files",
    )


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("up==0", "up == 0"),
        ("sum(rate(x[300s])) by (b,)\n  # why\n/ sum(y{})", "sum by (b) (rate(x[5m])) / sum(y)"),
        ("x{b='1', a=`2`} > 1e3", 'x{a="2",b="1"} > 1000'),
        ("SUM(a) AND ON(x) group_left b", "sum(a) and on (x) group_left () b"),
        ("max(sum(a) without (b)) by (c)", "max by (c) (sum without (b) (a))"),
        ("sum by () (a) * ignoring() b", "sum(a) * b"),
        ("x > 1e-3 or y offset 90m", "x > 0.001 or y offset 1h30m"),
        ('x{a="q\\"\\\\d"}', "x{a='q\"\\\\d'}"),
        ("x[1h] > 0x10", "x[60m] > 16"),
    ],
)
def test_an_expression_as_a_server_prints_it(written: str, printed: str) -> None:
    assert normal_form(written) == normal_form(printed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("up == 0", "up == 1"),
        ("a / b", "b / a"),
        ('x{a="1"}', 'x{a!="1"}'),
        ("sum by (a) (x)", "sum without (a) (x)"),
        ("sum by (a) (x)", "sum(x)"),
        ("x[5m]", "x[5s]"),
        ("X", "x"),
        ("x and on () y", "x and y"),
    ],
)
def test_other_expressions_are_others(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)
