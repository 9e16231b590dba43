"""Alerting rules in files: Prometheus's and the operator's, several documents, templates, and their places."""

from pathlib import Path

from gameday.coverage.rule_files import load_rules

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


def test_what_is_no_rule_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "x.yaml").write_text(RULES)
    (tmp_path / "odd.yaml").write_text("groups: [{rules: [{alert: [1]}, 3, {alert: null}]}, x]\nspec: 1\nitems: [2]\n")
    (tmp_path / "list.json").write_text('{"items": [{"spec": {"groups": [{"rules": [{"alert": "A"}]}]}}]}')
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe alert: x")
    rules, problems = load_rules([tmp_path, tmp_path / "nowhere.rules"])
    assert [item.rule.name for item in rules] == ["A"]
    assert [problem.location.path.name for problem in problems] == ["nowhere.rules"]
