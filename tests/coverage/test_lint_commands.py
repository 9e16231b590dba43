"""The programs that a piece of shell calls, found without running it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage.lint.commands import programs_of


@pytest.mark.parametrize(
    ("script", "programs"),
    [
        ("ls -l | grep x && FOO=1 curl $(hostname) > out 2>&1", "ls grep curl hostname"),
        ("for p in $(kubectl get pods); do oc logs $p; done", "kubectl oc"),
        ("sudo -u root systemctl x; env A=1 jq .; xargs -I{} rm {}; timeout 5s ping x", None),
        ("if [[ -f x ]]; then cat x; fi", "cat"),
        ("f() { foo; }; f; alias ll='ls'; ll", "foo"),
        ("case $x in\n a|b) bar;;\n *) baz; qux ;;\nesac\nend", "bar baz qux end"),
        ("cat <<EOF\nnot a program\nEOF\nbaz \\\n  arg", "cat baz"),
        ('echo "$(date +%s) `uname`" # comment here\n$PROG x; <pod> y; ./script', "date uname"),
        ("while read -r a; do qux; done < file", "qux"),
        ("a=(one two); [ -f x ] && zip", "zip"),
        ("awk '{print $1}' x | sort", "awk sort"),
        ("time -p foo; ! bar; { baz; }", "foo bar baz"),
        ("kubectl get pods -o jsonpath='{.items[0]}' <<< x", "kubectl"),
        ("", ""),
    ],
)
def test_programs(script: str, programs: str | None) -> None:
    expected = ["sudo", "systemctl", "env", "jq", "xargs", "rm", "timeout", "ping"]
    assert [name for name, _ in programs_of(script)] == (expected if programs is None else programs.split())


def test_lines() -> None:
    assert programs_of("\n\nls \\\n -l\ncat\n") == (("ls", 3), ("cat", 5))


@given(st.text(alphabet="abc $`'\"(){}[];&|<>#=\\\n-!*/01", max_size=200))
def test_any_text_is_read(script: str) -> None:
    lines = script.count("\n") + 1
    assert all(1 <= line <= lines for _, line in programs_of(script))
