"""Keeps secrets out of everything that is written: journal, report, terminal, logs."""

import json
from collections.abc import Iterable

MASK = "•••"
_SHORTEST = 4  # shorter values would blank out half of every text


class Redactor:
    """Replaces every known secret value in a text by a mask, whichever way JSON, Python or a URL has escaped it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Learn more secrets. Values shorter than four characters are not masked."""
        from urllib.parse import quote, quote_plus

        forms = set(self._forms)
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
                forms |= {secret, *escaped, repr(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)}
        # The longest first: a secret that contains another must not leave its tail behind.
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text
