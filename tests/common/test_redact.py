"""No form of a secret gets past the redactor, and nothing else is masked."""

import json
from urllib.parse import quote, quote_plus

import pytest

from gameday.common.redact import MASK, Redactor

SECRET = 'pa"ss/w örd\n'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        quote(SECRET, safe=""),
        quote_plus(SECRET),
    ],
)
def test_whichever_way_it_is_written(written: str) -> None:
    assert Redactor([SECRET])(f"<{written}>") == f"<{MASK}>"


def test_only_what_is_long_enough_to_be_told_from_words() -> None:
    redact = Redactor(["abcd", "abc", ""])
    assert redact("abcd abc") == f"{MASK} abc"


def test_one_that_holds_another_leaves_no_tail_behind() -> None:
    assert Redactor(["hunter", "hunter22"])("hunter22 hunter") == f"{MASK} {MASK}"


def test_what_is_learned_later_is_added_to_what_is_known() -> None:
    redact = Redactor(["first"])
    redact.add(["second"])
    assert redact("first second third") == f"{MASK} {MASK} third"
