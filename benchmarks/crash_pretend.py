"""Where runs are killed cheaply: a pretend system made of files, and a session of two experiments on it."""

import asyncio
import shutil

from crash_harness import SHUT_AND_OPEN, Place
from pretend import PretendSystem

from gameday.engine.session import run_session

_TIMING = "timing: {interval: 50ms, baseline: 150ms, steady: 100ms, recovery: 1s}"
_HYPOTHESIS = 'steady-state-hypothesis: {title: It answers, signals: {errors: {ratio: "< 1%", for: 1s}}}'
FIRST = f"""
title: Two stages and a rollback
service: shop
{_HYPOTHESIS}
method:
  - {{fault: testkit/mark, target: {{service: shop}}, blast-radius: [1, 50%], hold: 100ms}}
{SHUT_AND_OPEN.strip("\n")}
{_TIMING}
"""
SECOND = f"""
title: One stage
service: shop
{_HYPOTHESIS}
method:
  - {{fault: testkit/mark, target: {{service: shop}}, blast-radius: 1, hold: 100ms}}
{_TIMING}
"""


class Pretend(Place):
    """Four instances, each a file."""

    name = "pretend"
    environment = "pretend"
    services = ("shop", "stock")

    def prepare(self) -> None:
        super().prepare()
        shutil.rmtree(self.root / "system", ignore_errors=True)
        PretendSystem(self.root)

    def run(self) -> int:
        system = PretendSystem(self.root, create=False)
        return asyncio.run(run_session(system.session(FIRST, SECOND), [])).verdict.exit_code

    def broken(self) -> list[str]:
        instances = PretendSystem(self.root, create=False).broken
        return [*(f"{name} is broken" for name in instances), *super().broken()]
