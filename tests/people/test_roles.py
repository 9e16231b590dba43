"""Roles that are named by what they are on call for."""

from gameday.people import on_call_services, resolve_on_call
from gameday.spec.model import GivenPair, People

PEOPLE = People(
    facilitator="on-call:edge",
    builders=("@ada", "on-call:checkout"),
    sres=("@grace", "on-call:checkout", "on-call:payments"),
    observers=("@boss",),
    pairs=(GivenPair("@ada", "on-call:payments"), GivenPair()),
)


def test_which_services() -> None:
    assert on_call_services(PEOPLE) == ("edge", "checkout", "payments")
    assert on_call_services(People(builders=("@on-call", "checkout"))) == ()


def test_whoever_is_on_call() -> None:
    found = resolve_on_call(PEOPLE, {"checkout": ("@ken", "@grace"), "payments": ("@kim", "@lee"), "edge": ()})
    assert found == People(
        facilitator="on-call:edge",  # nobody is, so the text stays
        builders=("@ada", "@ken", "@grace"),
        sres=("@grace", "@ken", "@kim", "@lee"),
        observers=("@boss",),
        pairs=(GivenPair("@ada", "@kim"), GivenPair()),
    )
    assert on_call_services(found) == ("edge",)
    assert resolve_on_call(PEOPLE, {}) == PEOPLE
