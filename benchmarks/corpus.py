"""What `gameday check` says about experiments that other people wrote: figures per repository, as a Markdown table.

    corpus.py [--mistakes] [--jobs N] DIRECTORY

Below DIRECTORY stand copies of public Chaos Toolkit experiments as `owner__repository/path.json` (or .yaml, .yml);
none is kept with gameday. Each is checked as a user would check it: alone, from its own directory. A file needs an
extension, or a program, when all that is wrong with it is a Python module, or an executable, that this machine does not
have: `chaos validate` fails for the same reason. With --mistakes the words of every other rejection follow.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

GAMEDAY = Path(sys.executable).parent / "gameday"  # not resolved: the program of this environment
SUFFIXES = (".json", ".yaml", ".yml")
_TIMEOUT_S = 60.0
_MISTAKE = re.compile(r"^.*?:\d+:\d+: found .*$", re.MULTILINE)


class Verdict(StrEnum):
    """What came of a file."""

    READ = "read"
    EXTENSION = "needs an extension"
    PROGRAM = "needs a program"
    REJECTED = "rejected"
    BROKE = "broke"  # neither accepted nor told what is wrong: a bug


@dataclass(frozen=True, slots=True)
class Checked:
    """One file, with every mistake that was found in it."""

    repository: str
    path: str
    verdict: Verdict
    mistakes: tuple[str, ...]


def check(root: Path, file: Path) -> Checked:
    """Run `gameday check` on the file."""
    owner, _, repository = file.relative_to(root).parts[0].partition("__")
    path = Path(*file.relative_to(root).parts[1:])
    try:
        done = subprocess.run(
            [GAMEDAY, "check", file.name],
            cwd=file.parent,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        code, said = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        code, said = -1, f"no answer within {_TIMEOUT_S:g} s"
    mistakes = tuple(match[0] for match in _MISTAKE.finditer(said))
    verdict = judge(code, mistakes)
    return Checked(f"{owner}/{repository}", str(path), verdict, mistakes or ((said.strip(),) if code else ()))


def judge(code: int, mistakes: tuple[str, ...]) -> Verdict:
    """What the exit status and the mistakes amount to."""
    if code == 0:
        return Verdict.READ
    if code != 2 or not mistakes:
        return Verdict.BROKE
    found = {_kind(mistake) for mistake in mistakes}
    if found == {Verdict.EXTENSION}:
        return Verdict.EXTENSION
    return Verdict.PROGRAM if found <= {Verdict.EXTENSION, Verdict.PROGRAM} else Verdict.REJECTED


def _kind(mistake: str) -> Verdict:
    if "could not find Python module" in mistake or "Install the `jsonpath2` package" in mistake:
        return Verdict.EXTENSION
    is_program = re.search(r"\(path '.*' cannot be found, in activity|no access permission to '", mistake)
    return Verdict.PROGRAM if is_program else Verdict.REJECTED


def table(results: Iterable[Checked]) -> list[str]:
    """The rows, one a repository, with a last one for all of them."""
    by_repository: dict[str, Counter[Verdict]] = {}
    for result in results:
        by_repository.setdefault(result.repository, Counter())[result.verdict] += 1
    shown = [
        verdict
        for verdict in Verdict
        if verdict is not Verdict.BROKE or any(c[verdict] for c in by_repository.values())
    ]
    lines = [
        f"| repository | files | {' | '.join(shown)} |",
        f"|---|---:|{'---:|' * len(shown)}",
    ]
    total: Counter[Verdict] = Counter()
    for repository, counts in sorted(by_repository.items(), key=lambda item: item[0].lower()):
        lines.append(_row(repository, counts, shown))
        total += counts
    return [*lines, _row(f"**{len(by_repository)} repositories**", total, shown)]


def _row(name: str, counts: Counter[Verdict], shown: Iterable[Verdict]) -> str:
    return f"| {name} | {counts.total()} | {' | '.join(str(counts[verdict] or '') for verdict in shown)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--mistakes", action="store_true", help="print what is wrong with each rejected file")
    parser.add_argument("--jobs", type=int, default=2, help="how many are checked at once (default: 2)")
    arguments = parser.parse_args()
    root = arguments.directory.resolve()
    files = sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    with ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
        results = list(pool.map(lambda file: check(root, file), files))
    print("\n".join(table(results)))
    wrong = [result for result in results if result.verdict in (Verdict.REJECTED, Verdict.BROKE)]
    for result in wrong if arguments.mistakes else ():
        print(f"\n{result.repository} {result.path}")
        print("\n".join(f"- {mistake}" for mistake in result.mistakes))
    return 1 if any(result.verdict is Verdict.BROKE for result in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
