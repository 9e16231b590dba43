"""The policy in gameday.yaml: what its rules mean, where they stand, and every mistake with its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.spec.location import SpecError
from gameday.spec.model import Policy
from gameday.spec.project import load_project

Write = Callable[..., Path]

POLICY = """\
environments:
  prod:
    policy:
      max-blast-radius: 50%
      namespaces: [shop]
      services: [checkout, "payments-*"]
      faults: {allow: ["pods/*", chaosk8s.pod.actions.*], refuse: [pods/stress]}
      hours: Mon-Fri 09:00-16:00 Europe/Berlin
      error-budget: {query: slo_budget_left, left: ">  20%"}
      incidents: {url: "https://status.example.com/unresolved.json", list: data.open, token: abc}
      approval: {by: ["@sre-leads"], within: 2h, file: consent/approvals.jsonl}
      unattended:
        max-blast-radius: 10%
        hours: Tue-Thu 10:00-15:00 Europe/Berlin
        faults: {allow: [pods/kill]}
"""


def policy_of(root: Path, text: str) -> Policy:
    (root / "gameday.yaml").write_text(text)
    return load_project(root).environments[0].policy


def test_every_rule(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, POLICY)
    assert policy.services == ("checkout", "payments-*")
    assert policy.faults == ("pods/*", "chaosk8s.pod.actions.*")
    assert policy.faults_refused == ("pods/stress",)
    budget, incidents, approval, stricter = policy.error_budget, policy.incidents, policy.approval, policy.unattended
    assert budget
    assert (budget.query, budget.least, budget.or_equal, budget.text) == ("slo_budget_left", 0.2, False, "> 20%")
    assert incidents
    assert (incidents.list_at, incidents.credentials.token, incidents.query) == ("data.open", "abc", None)
    assert approval
    assert (approval.by, approval.within_s) == (("@sre-leads",), 7200)
    assert approval.file == tmp_path / "consent" / "approvals.jsonl"
    assert stricter
    assert (stricter.max_blast_radius, stricter.faults) == (0.1, ("pods/kill",))


def test_a_rule_knows_where_it_stands(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, POLICY)
    assert policy.place("hours") == " (policy.hours, gameday.yaml:8)"
    assert policy.unattended
    assert policy.unattended.place("hours") == " (policy.unattended.hours, gameday.yaml:14)"
    assert policy.place("nodes") == ""


@pytest.mark.parametrize(
    ("policy", "place", "found", "expected"),
    [
        ("namespaces: []", "3:14", "`namespaces` without a name", "a list of namespaces"),
        ("faults: {refuse: }", "3:23", "`refuse` without a name", "a list of faults"),
        ("faults: {deny: [pods/kill]}", "3:23", "`deny`", "allow, refuse"),
        ('error-budget: {query: x, left: "< 20%"}', "3:45", "< 20%", "> 20%"),
        ("error-budget: {query: x}", "3:28", "without `left`", "> 20%"),
        ("incidents: {}", "3:25", "neither `query` nor `url`", "one of the two"),
        ("incidents: {query: x, url: 'http://a'}", "3:25", "both `query` and `url`", "one of the two"),
        ("incidents: {query: x, list: open}", "3:25", "`list` or credentials", "a `url` alone"),
        ("approval: {within: soon}", "3:33", "soon", "a duration"),
        ("unattended: {confirm: true}", "3:27", "`confirm`", "a key of"),
        ("unattended: {unattended: {}}", "3:27", "`unattended`", "a key of"),
    ],
)
def test_mistakes(tmp_path: Path, policy: str, place: str, found: str, expected: str) -> None:
    with pytest.raises(SpecError) as raised:
        policy_of(tmp_path, f"environments:\n  prod:\n    policy: {{{policy}}}\n")
    (mistake,) = raised.value.mistakes
    assert str(mistake.location).endswith(f"gameday.yaml:{place}"), mistake
    assert found in mistake.found + mistake.expected
    assert expected in mistake.expected
