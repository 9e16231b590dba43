"""Makes reports/sample.html, a rich session on the lab, and with Chromium docs/report.png, its picture in the README.

Takes a minute and a half: `.venv/bin/python scripts/sample_report.py`, on a quiet machine; then look at both.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parents[1]
GAMEDAY = str(Path(sys.executable).parent / "gameday")
PREDICTIONS = (
    ("checkout-loses-payments", "@grace", "builder", "holds", "PaymentsReplicaDown=10s", "no",
     "Envoy takes dead replicas out at once."),
    ("checkout-loses-payments", "@ken", "sre", "breaks", "PaymentsReplicaDown=30s", "unsure", ""),
    ("checkout-slow-inventory", "@linus", "builder", "holds", "InventoryLatencyHigh=10s", "no", ""),
    ("checkout-slow-inventory", "@margaret", "sre", "breaks", "InventoryLatencyHigh=20s", "yes", ""),
)  # fmt: skip
_MEANWHILE_S = 20.0  # until a person sees that a replica is gone
_STEP_S = 0.3
_STEPS = 11  # of the runbook, that help


class Project:
    """A copy of the lab's project, in which the session runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        for name in ("experiments", "runbooks"):
            shutil.copytree(ROOT / name, root / name)
        shutil.copy(ROOT / "gameday.yaml", root)

    def gameday(self, *arguments: str, said: str | None = None, held: bool = True) -> None:
        """`held`: it is to end with status 0."""
        environment = os.environ | {"LOGNAME": "ada", "GAMEDAY_TOOLS": str(ROOT / ".tools")}
        command = [GAMEDAY, *arguments]
        subprocess.run(command, cwd=self.root, env=environment, input=said, text=True, check=held)

    def predict(self) -> None:
        for name, author, role, outlook, alert, users, note in PREDICTIONS:
            said = ["--author", author, "--role", role, "--alert", alert, "--users", users]
            said += ["--signal", f"checkout.latency.p99={outlook}", *(["--note", note] if note else [])]
            self.gameday("predict", f"experiments/{name}.yaml", *said)

    def take_part(self) -> None:
        """What people do while the first experiment runs."""
        time.sleep(_MEANWHILE_S)
        self.gameday("note", "--author", "@ada", "payments-2 is gone, and nobody at the till has noticed")
        self.gameday("mark", "--author", "@ken", "detected", "PaymentsReplicaDown paged")
        time.sleep(1)
        self.gameday("ack", "PaymentsReplicaDown", "--author", "@ken")
        said = "t\n" * _STEPS + "n the status names the pid, which is what I looked for\nt\nq\n"
        self.gameday("runbook", "follow", "replica-down", "--author", "@ken", said=said)
        self.gameday("mark", "--author", "@ken", "diagnosed", "two of four replicas are gone")

    def run(self) -> Path:
        """The report of the session, signed."""
        people = Thread(target=self.take_part)
        people.start()
        try:
            self.gameday("run", "experiments/gamedays/lab.yaml", "--unattended", "--seed", "7", held=False)
            people.join()
            self.gameday("sign", "--role", "builder", "--author", "@grace")
            comment = "once slow inventory has an alert of its own"
            self.gameday("sign", "--role", "sre", "--author", "@margaret", "--comment", comment)
            self.gameday("report")
        finally:
            self.gameday("lab", "down")
        (report,) = (path for path in (self.root / "reports").glob("*.html") if path.name != "index.html")
        return report


def draw(report: Path, picture: Path, scratch: Path) -> None:
    """Its top, and beside it the charts of the third experiment."""
    sys.path.insert(0, str(ROOT))
    from tests import browser

    with browser.launch() as chromium:
        with chromium.page(1280) as page:
            page.open(report)
            page.settle()
            tops = page.evaluate(
                "[...document.querySelectorAll('h3')].filter((one) => one.textContent.trim() === 'Golden signals')"
                ".map((one) => one.getBoundingClientRect().top + scrollY)"
            )
            for name, top in (("left", 20), ("right", tops[2] - 20)):
                page.screenshot(scratch / f"{name}.png", clip=(90, top, 1100, 1240))
        both = scratch / "both.html"
        images = "".join(f'<img src="{name}.png" width="726">' for name in ("left", "right"))
        both.write_text(
            f'<body style="margin:0;background:#f4f5f7;display:flex;align-items:flex-start;gap:14px">{images}'
        )
        with chromium.page(1466) as page:
            page.open(both)
            page.settle()
            page.screenshot(picture, clip=(0, 0, 1466, 818))


def main() -> None:
    """Both files, in their places."""
    with tempfile.TemporaryDirectory(prefix="gameday-sample-") as name:
        project = Project(Path(name) / "shop")
        project.predict()
        report = project.run()
        sample = ROOT / "reports" / "sample.html"
        shutil.copy(report, sample)
        draw(sample, ROOT / "docs" / "report.png", Path(name))


if __name__ == "__main__":
    main()
