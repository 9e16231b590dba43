"""The series that a PromQL expression is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage.promql import Selector, Selectors, find_selectors


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up == 0", ["up"]),
        ('sum by (job) (rate(x{code=~"5..", a="}"}[5m])) / sum(rate(a:b[5m])) > 0.1',
         ['x{code=~"5..", a="}"}[5m]', "a:b[5m]"]),
        ("a and on (x) group_left (y) b", ["a", "b"]),
        ("sum(x) without (instance) > 3e-1", ["x"]),
        ("sum without(i) (x)", ["x"]),
        ('{__name__=~"x|y"} > 1', ['{__name__=~"x|y"}']),
        ("max_over_time((sum(x))[1h:1m]) > 2", ["x"]),
        ("x[1h:1m]", ["x[1h]"]),
        ("a offset 5m > bool 2", ["a"]),
        ("x @ start() > time() - 1h30m", ["x"]),
        ('count_values("v", `b`)', []),
        ("# up{\nup{a='b'} > Inf # d", ["up{a='b'}"]),
        ("vector(1)", []),
        ('absent(up{job="x"}) * on() y', ["y"]),
        ("absent_over_time((up)[5m:])", []),
        ('label_replace(x, "a", "$1", "b", "(.*)")', ["x"]),
        ("x + x", ["x"]),
        ("-x ^ 2", ["x"]),
    ],
)  # fmt: skip
def test_selectors(expression: str, expected: list[str]) -> None:
    found = find_selectors(expression)
    assert [item.text + (f"[{item.window}]" if item.window else "") for item in found.found] == expected
    assert not found.alternative


@pytest.mark.parametrize("expression", ["a or b", "a unless(b)", "a OR vector(0)"])
def test_alternatives(expression: str) -> None:
    assert find_selectors(expression).alternative


def test_how_they_are_asked_for() -> None:
    assert Selector("up", "up").query == "count by (job) (up)"
    assert Selector("x{}", "x", "5m").query == "count by (job) (last_over_time(x{}[5m]))"


@pytest.mark.parametrize("expression", ["sum(x", "x)", "x{a='b'", "x[5m", "rate(x[$window])", "x{a='b']", "'open"])
def test_what_cannot_be_promql(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        find_selectors(expression)


@given(st.text("ab{}[]()\"'`,:=~!<>+-#\n 15mor", max_size=40))
def test_any_text_has_selectors_or_is_refused(text: str) -> None:
    try:
        found = find_selectors(text)
    except ValueError:
        return
    assert isinstance(found, Selectors)
    assert all(item.text in text for item in found.found)
