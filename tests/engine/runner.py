"""Runs a session on a pretend system, as a process of its own that tests may kill: `runner.py ROOT`."""

import asyncio
import sys
from pathlib import Path

from pretend import PretendSystem

from gameday.engine.session import run_session


class Printer:
    """A sink that says what happens, one word a line, so that a test knows when to strike."""

    name = "printer"

    def handle(self, event: object) -> None:
        print(type(event).__name__, getattr(event, "phase", ""), flush=True)

    def close(self) -> None:
        return None


def main() -> int:
    root = Path(sys.argv[1])
    system = PretendSystem(root, create=False)
    texts = [path.read_text() for path in sorted(root.glob("given-*.yaml"))]
    result = asyncio.run(
        run_session(system.session(*texts), [Printer()], tell=lambda text: print("TELL", text, flush=True))
    )
    return result.verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
