"""Where runs are killed for real: the embedded lab, and a game day on it with every fault that there is."""

import sys
import time
from pathlib import Path

from crash_harness import SHUT_AND_OPEN, Place
from measure import GAMEDAY, run
from shop import Shop, wait_for

from gameday.cli.main import main

PROJECT = """
project: shop
environments:
  lab: {kind: lab}
services:
  checkout: {depends-on: [payments, inventory]}
  payments: {}
  inventory: {}
"""
# The killed first: they are undone last, and meanwhile their supervisor, which takes two seconds, starts them again.
EXPERIMENT = f"""
title: Everything at once
service: checkout
method:
  - {{fault: process/kill, target: {{service: payments}}, blast-radius: [1, 50%], hold: 50ms}}
  - {{fault: process/pause, target: {{service: inventory}}, blast-radius: [1, 2], hold: 50ms}}
  - {{fault: dependency/delay, target: {{service: payments}}, delay: 20ms, blast-radius: [1, 2], hold: 50ms}}
  - {{fault: dependency/abort, target: {{service: payments}}, blast-radius: [10%, 20%], hold: 50ms}}
  - {{fault: dependency/blackhole, target: {{service: inventory}}, blast-radius: [25%, 50%], hold: 50ms}}
{SHUT_AND_OPEN.strip("\n")}
abort-when: {{errors: {{ratio: "> 99%", for: 30s}}}}
timing: {{interval: 200ms, baseline: 300ms, recovery: 500ms, blind-after: 30s}}
"""
GAME_DAY = """
title: Everything at once
environment: lab
experiments: [everything.yaml]
"""
_RESTARTED = "payments-"  # whose processes may be others than before
WHOLE_AGAIN_S = 10.0  # the supervisor starts what has died after two
_STEADY_S = 60.0


class OnLab(Place):
    """The shop in a project whose lab is up."""

    name = "lab"
    environment = "lab"
    services = ("checkout", "payments", "inventory")

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._shop = Shop(root)
        self._before: dict[str, int | None] = {}

    def open(self) -> None:
        (self.root / "gameday.yaml").write_text(PROJECT)
        run([GAMEDAY, "lab", "up"], self.root)
        self._shop.wait_steady(_STEADY_S)

    def prepare(self) -> None:
        super().prepare()
        (self.root / "game-day.yaml").write_text(GAME_DAY)
        (self.root / "everything.yaml").write_text(EXPERIMENT)
        self._shop.mend()
        wait_for(lambda: not self._shop.silent(), WHOLE_AGAIN_S, lambda: str(self._shop.silent()))
        self._before = self._shop.pids()

    def run(self) -> int:
        sys.argv = ["gameday", "run", "game-day.yaml"]
        main()  # ends the process
        return 0

    def broken(self) -> list[str]:
        # Overrides and stopped processes are the undo's alone, and are looked at at once.
        found = {*self._shop.still_set(), *super().broken()}
        deadline = time.monotonic() + WHOLE_AGAIN_S
        while (left := [*self._shop.broken(), *self._shop.silent()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        others = [
            f"{name} is another process than before"
            for name, pid in self._shop.pids().items()
            if pid != self._before[name] and not name.startswith(_RESTARTED)
        ]
        return [*sorted({*found, *left}), *others]

    def close(self) -> None:
        run([GAMEDAY, "lab", "down"], self.root)
