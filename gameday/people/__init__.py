"""Who takes part, in which role and with whom, what they said would happen, and what they are told before."""

from gameday.people.pairing import Pair, PastSession, propose_pairs
from gameday.people.roles import on_call_services, resolve_on_call

__all__ = ["Pair", "PastSession", "on_call_services", "propose_pairs", "resolve_on_call"]
