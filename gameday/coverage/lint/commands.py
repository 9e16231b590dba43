"""Finds the programs that a piece of shell calls, without running it: the first words of its simple commands.

It reads what people write in runbooks, not all of the language (POSIX, "Shell Command Language"): what it does not
understand it passes over, so that it names no program that is none.
"""

import re
from collections.abc import Iterator

import msgspec

# Reserved words and builtins of POSIX's shell and of bash.
_GO_ON = {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "coproc"}  # a command follows
_SKIP_ON = {"for", "select", "function", "[["}
_SKIP = {*_SKIP_ON, "in", "esac", "fi", "done", "}", "]]"}
_OPERATORS = {"\n", ";", "&", "|", "(", ")"}
_BUILTINS = {
    ".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "command", "compgen", "complete",
    "continue", "declare", "dirs", "disown", "echo", "enable", "eval", "exec", "exit", "export", "false", "fc",
    "fg", "getopts", "hash", "help", "history", "jobs", "kill", "let", "local", "logout", "mapfile", "popd",
    "printf", "pushd", "pwd", "read", "readarray", "readonly", "return", "set", "shift", "shopt", "source",
    "suspend", "test", "time", "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset",
    "wait",
}  # fmt: skip
# What runs the command that follows: its options that take a value, and how many words stand before the command.
_PREFIXES = {
    "sudo": ("-u -g -h -p -C -T -U -r -t -D", 0), "doas": ("-u -C", 0), "env": ("-u -C -S", 0), "nohup": ("", 0),
    "exec": ("-a", 0), "command": ("", 0), "builtin": ("", 0), "nice": ("-n", 0), "ionice": ("-c -n -p", 0),
    "timeout": ("-k -s", 1), "xargs": ("-I -n -P -L -d -s -E -a", 0), "watch": ("-n", 0), "stdbuf": ("-i -o -e", 0),
    "time": ("-f -o", 0), "setsid": ("", 0), "chronic": ("", 0),
}  # fmt: skip
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^\]]*\])?\+?=")
_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_FUNCTION = re.compile(r"(?:^|[;&|\s])(?:function\s+)?([A-Za-z_][\w-]*)\s*\(\s*\)|\bfunction\s+([A-Za-z_][\w-]*)")
_ALIAS = re.compile(r"\balias\s+([\w.-]+)=")
_HEREDOC = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
_MOST = 20_000  # characters of one script


def programs_of(script: str) -> tuple[tuple[str, int], ...]:
    """Each program that is called, once, with the line (from 1) of its first call."""
    script = _without_heredocs(script[:_MOST])
    own = {first or second for first, second in _FUNCTION.findall(script)} | set(_ALIAS.findall(script))
    found: dict[str, int] = {}
    for name, line in _Reader(script, 1).commands():
        if name not in own:
            found.setdefault(name, line)
    return tuple(found.items())


def _without_heredocs(script: str) -> str:
    """Blank lines in the place of here-documents: they are data."""
    lines, end = [], None
    for line in script.split("\n"):
        if end is not None:
            end = None if line.strip() == end else end
            lines.append("")
            continue
        marks = [match for match in _HEREDOC.finditer(line) if not line[: match.start()].endswith("<")]
        end = marks[-1][2] if marks else None
        lines.append(line)
    return "\n".join(lines)


class _Place(msgspec.Struct):
    """Where in a command the reader is."""

    expecting: bool = True  # the next word is a command
    skipping: bool = False  # words that are none, up to `do` or the end of the command
    target: bool = False  # the next word is a file
    prefix: str = ""  # behind `sudo` and the like: which of its options take a value
    value: bool = False  # the next word is one
    before: int = 0  # how many words still stand before the command
    cases: int = 0  # how many `case` are open
    pattern: bool = False  # up to `)`
    last: str = ""  # the operator right before


class _Reader:
    """Walks through a script once, and into what is substituted."""

    def __init__(self, text: str, line: int, depth: int = 0) -> None:
        self._text = text
        self._line = line
        self._depth = depth
        self._at = 0
        self._inner: list[tuple[str, int]] = []  # commands that are substituted into a word

    def commands(self) -> Iterator[tuple[str, int]]:  # noqa: PLR0912 - one flat walk reads best
        """Each call of a program: its name, and the line on which it stands."""
        place = _Place()
        while (token := self._next()) is not None:
            word, line = token
            yield from self._inner
            self._inner = []
            last, place.last = place.last, ""
            if place.pattern:
                place.pattern = word not in (")", "esac")
                place.cases -= word == "esac"
            elif word in _OPERATORS:
                # Two semicolons end a branch of `case`; what follows is the next one's pattern.
                branch = word == last == ";" and place.cases > 0
                place = _Place(cases=place.cases, pattern=branch, last=word)
            elif word in ("<", ">"):
                place.target = True
            elif place.target:
                place.target = False
            elif place.skipping or not place.expecting:
                if place.skipping and word == "do":
                    place.expecting, place.skipping = True, False
            elif place.value:
                place.value = False
            elif place.prefix and word.startswith("-"):
                place.value = word in place.prefix.split()
            elif _ASSIGNMENT.match(word) or word in _GO_ON:
                continue
            elif place.before:
                place.before -= 1
            elif word == "case":
                place.cases, place.pattern = place.cases + 1, True
            elif word in _SKIP:
                place.skipping, place.expecting = word in _SKIP_ON, False
                place.cases -= word == "esac"
            elif word in _PREFIXES:
                options, place.before = _PREFIXES[word]
                place.prefix = options or "-"
                if word not in _BUILTINS:
                    yield word, line
            else:
                place.expecting = False
                if word not in _BUILTINS and _PROGRAM.fullmatch(word):
                    yield word, line
        yield from self._inner

    def _next(self) -> tuple[str, int] | None:
        """The next word or operator, with its line. A word that is not known before it runs has a `$` in it."""
        text = self._text
        while self._at < len(text) and text[self._at] in " \t\r\\":
            if text.startswith("\\\n", self._at):
                self._at += 2
                self._line += 1
            elif text[self._at] == "\\":
                break
            else:
                self._at += 1
        if self._at >= len(text):
            return None
        character, line = text[self._at], self._line
        if character == "#":
            end = text.find("\n", self._at)
            self._at = len(text) if end < 0 else end
            return self._next() if self._at < len(text) else None
        if character in "\n;&|()":
            self._at += 1
            self._line += character == "\n"
            if character == "&" and text.startswith(">", self._at):
                self._at += 1
                return ">", line
            return character, line
        if character in "<>":
            while self._at < len(text) and text[self._at] in "<>&|-":
                self._at += 1
            return character, line
        return self._word(), line

    def _word(self) -> str:
        text, word = self._text, ""
        while self._at < len(text) and text[self._at] not in " \t\r\n;&|()<>":
            character = text[self._at]
            if character == "\\":
                word += text[self._at + 1 : self._at + 2].strip("\n")
                self._line += text.startswith("\n", self._at + 1)
                self._at += 2
            elif character == "'":
                word += self._until("'")
            elif character == '"':
                word += self._quoted()
            elif character in "$`":
                word += self._substituted()
            else:
                word += character
                self._at += 1
        if text.startswith(">", self._at) or text.startswith("<", self._at):
            return "" if word.isdigit() else word  # 2>&1
        if text.startswith("(", self._at) and word.endswith("="):  # an array
            self._parenthesis(1)
        return word

    def _until(self, end: str) -> str:
        found = self._text.find(end, self._at + 1)
        found = len(self._text) if found < 0 else found
        inside = self._text[self._at + 1 : found]
        self._line += inside.count("\n")
        self._at = found + 1
        return inside

    def _quoted(self) -> str:
        text, word = self._text, ""
        self._at += 1
        while self._at < len(text) and text[self._at] != '"':
            if text[self._at] in "$`":
                word += self._substituted()
                continue
            if text[self._at] == "\\":
                self._at += 1
            self._line += text.startswith("\n", self._at)
            word += text[self._at : self._at + 1]
            self._at += 1
        self._at += 1
        return word

    def _substituted(self) -> str:
        """A `$…` or backquotes; what is called in them is noted."""
        text = self._text
        if text[self._at] == "`":
            line, inside = self._line, self._until("`")
            self._go_into(inside, line)
        elif text.startswith("$((", self._at):
            self._parenthesis(2)
        elif text.startswith("$(", self._at):
            line, inside = self._line, self._parenthesis(1)
            self._go_into(inside, line)
        elif text.startswith("${", self._at):
            self._until("}")
        elif text.startswith("$'", self._at):
            self._at += 1
            self._until("'")
        else:
            self._at += 1
        return "$"

    def _parenthesis(self, skip: int) -> str:
        """What stands between parentheses, which may hold others and quotes, without its first `skip` characters."""
        text = self._text
        start = text.find("(", self._at)
        at, depth, quote = start, 0, ""
        while at < len(text):
            character = text[at]
            if character == "\\":
                at += 1
            elif quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            elif character == "(":
                depth += 1
            elif character == ")":
                depth -= 1
                if depth == 0:
                    break
            at += 1
        inside = text[start + skip : at]
        self._line += text.count("\n", self._at, at)
        self._at = at + 1
        return inside

    def _go_into(self, text: str, line: int) -> None:
        if self._depth < 5:
            self._inner += _Reader(text, line, self._depth + 1).commands()
