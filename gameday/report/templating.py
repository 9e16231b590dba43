"""The templates of pages: where they lie, how they are compiled, and what they may ask for."""

import base64
import hashlib
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from gameday.common.files import write_atomically
from gameday.journal.events import CheckOutcome, Outcome
from gameday.people.predicting import Answer
from gameday.people.wording import parts_of, say_signals
from gameday.report import format as fmt
from gameday.report import words
from gameday.report.coverage import expectation
from gameday.report.handover import Readiness
from gameday.report.predictions import say_prediction
from gameday.report.views import Status

TEMPLATES = Path(__file__).parent / "templates"

# status: (tone, icon). The word stands beside them always.
LOOKS = {
    Status.HELD: ("good", "good"),
    Status.WEAKNESS: ("warn", "warn"),
    Status.NOT_STARTED: ("plain", "plain"),
    Status.ABORTED: ("bad", "bad"),
    Status.UNDO_FAILED: ("bad", "bad"),
    Status.INTERRUPTED: ("bad", "unknown"),
    Status.NOT_RUN: ("plain", "plain"),
}
WORDS = {
    Status.HELD: "Held",
    Status.WEAKNESS: "Weakness",
    Status.NOT_STARTED: "Not started",
    Status.ABORTED: "Aborted",
    Status.UNDO_FAILED: "Undo failed",
    Status.INTERRUPTED: "Interrupted",
    Status.NOT_RUN: "Not run",
}


def source_hash(text: str) -> str:
    """As a Content-Security-Policy names an inline source (CSP Level 3, §2.3.1), without the quotes."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _plain(text: object, limit: int = 200) -> str:
    """For attributes, titles and SVG text, which hold no markup."""
    return fmt.clean(str(text), limit)


def _text(text: object, limit: int = 2000) -> Markup:
    """Text of unknown origin: escaped, and isolated from the direction of what stands around it."""
    return Markup("<bdi>{}</bdi>").format(escape(fmt.clean(str(text), limit))) if text else Markup("")


_PHONE = 20  # characters that a cell of a table has room for on a phone


def names(items: Sequence[str], limit: int = 6) -> Markup:
    # A short name stays on one line; a long one may break anywhere.
    shown = [
        Markup('<span class="name{}">{}</span>').format(" long" if len(item) > _PHONE else "", _text(item))
        if len(item) <= 32
        else _text(item, 200)
        for item in items[:limit]
    ]
    more = [Markup("{} more").format(len(items) - limit)] if len(items) > limit else []
    return Markup(", ").join([*shown, *more]) or Markup("—")


def _link(text: str, url: str) -> Markup:
    """The text, leading to the URL if it is one of a page; what is behind it learns nothing of this one."""
    shown = _text(text, 200)
    if not re.fullmatch(r"https?://[^\s\"'<>\\`]+", url) or url != fmt.clean(url):
        return shown
    return Markup('<a href="{}" rel="noreferrer noopener">{}</a>').format(url, shown)


def _sentence(text: str) -> str:
    """With a capital where it begins with a word; a name stays as it is."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].removesuffix("’s").isalpha() else text


_MEASURES = {"rate": "requests per second", "ratio": "share of failed requests"}


def _signal(signal: str) -> Markup:
    """ "checkout.latency.p99" as people say it: "checkout: latency p99"."""
    if parts := parts_of(signal):
        service, kind, measure = parts
        return Markup('{} {} <span class="soft">{}</span>').format(
            _text(service, 80), kind, _text(_MEASURES.get(measure, measure), 80)
        )
    return _text(signal, 160)


def _outcome_tone(outcome: Outcome | None) -> str:
    return {Outcome.HELD: "good", Outcome.BROKEN: "bad", Outcome.UNREADABLE: "warn", None: "plain"}[outcome]


def _outcome_icon(outcome: Outcome | None) -> str:
    return {Outcome.HELD: "good", Outcome.BROKEN: "bad", Outcome.UNREADABLE: "unknown", None: "plain"}[outcome]


def _readiness_tone(readiness: Readiness) -> str:
    return {Readiness.READY: "good", Readiness.NOT_YET: "warn", Readiness.NOT_SHOWN: "plain"}[readiness]


def _answer_tone(answer: Answer) -> str:
    return {Answer.RIGHT: "good", Answer.WRONG: "bad", Answer.OPEN: "plain"}[answer]


def _check_tone(outcome: CheckOutcome) -> str:
    return {CheckOutcome.OK: "good", CheckOutcome.WARNING: "warn", CheckOutcome.FAILURE: "bad"}[outcome]


class _Bytecode(BytecodeCache):
    """Keeps compiled templates where Python keeps the bytecode of the modules beside them, if it does: to compile them
    takes 100 ms. What is kept bears a checksum of its template, and the versions of Python and Jinja2's format."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, if it is of this very template."""
        with suppress(OSError), self._path(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it. Where nothing can be written, the template is compiled anew each time."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                write_atomically(self._path(bucket), bucket.bytecode_to_string())

    @staticmethod
    def _path(bucket: Bucket) -> Path:
        return Path(cache_from_source(TEMPLATES / f"{bucket.key}.py")).with_suffix(".jinja2")


@cache  # most of the time of a short report is the compilation of its template
def environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        bytecode_cache=_Bytecode(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        text=_text,
        plain=_plain,
        sentence=_sentence,
        spoken=say_signals,
        names=names,
        link=_link,
        panel=fmt.panel,
        expectation=expectation,
        signal=_signal,
        duration=lambda seconds: "—" if seconds is None else fmt.duration(seconds),
        value=fmt.value,
        clock=fmt.clock,
        date=fmt.date,
        minute=fmt.minute,
        span=fmt.span,
        iso=fmt.iso,
        kind=lambda kind: words.KINDS.get(kind, str(kind)),
        alert_outcome=words.alert_outcome,
        outcome_tone=_outcome_tone,
        outcome_icon=_outcome_icon,
        check_tone=_check_tone,
        readiness_tone=_readiness_tone,
        answer_tone=_answer_tone,
        standing=words.standing,
        say_prediction=say_prediction,
    )
    return environment
