"""`gameday lab`: the embedded environment, up, down, and how it is."""

import sys

import click

from gameday.cli.output import fail, say


@click.group("lab")
def command() -> None:
    """The embedded environment: a small shop of real processes, with a real Envoy, Prometheus and Alertmanager.

    All of it listens on 127.0.0.1 only; its state is under .gameday/lab of the project.
    """


@command.command("up")
def up() -> None:
    """Start it. Harmless when it is up. Exit 3 when it cannot be started."""
    import time

    from gameday.common.project import find_root
    from gameday.lab import Lab, LabError

    lab = Lab(find_root())
    before, started = lab.status().healthy, time.monotonic()
    try:
        info = lab.up(lambda text: say(f"  {text}"), signals=False)
    except LabError as error:
        fail(str(error), 3)
    say("The lab was up already:" if before else f"The lab is up after {time.monotonic() - started:.1f} s:")
    for name, address in (
        ("shop", info.shop_url),
        ("Prometheus", info.prometheus_url),
        ("alerts", f"{info.prometheus_url}/alerts"),
        ("Alertmanager", info.alertmanager_url),
        ("notifications", f"{info.receiver_url}/notifications"),
        ("Envoy admin", info.envoy_admin),
        ("inventory", str(info.inventory)),
    ):
        say(f"  {name:<14} {address}")
    if not before:
        say("Prometheus has all signals after ten seconds. `gameday lab down` ends all of it.")


@command.command("down")
@click.option("--force", is_flag=True, help="Even under a run that lives, whose undo will then fail.")
def down(force: bool) -> None:
    """End every process of it. Harmless when it is down. Exit 3 when a run lives, and nothing was ended."""
    from gameday.common.project import find_root
    from gameday.engine.runs import all_runs
    from gameday.lab import Lab, LabError

    root = find_root()
    living = [run.name for run in all_runs(root) if run.is_written()]
    if living and not force:
        say(f"{living[0]} lives; end it first, with `gameday abort {living[0]}`. Nothing was ended.")
        sys.exit(3)
    try:
        ended = Lab(root).down()
    except LabError as error:
        fail(str(error), 3)
    say(f"Ended {len(ended)} processes: {', '.join(ended)}." if ended else "The lab was not running.")


@command.command("url")
@click.argument("part", type=click.Choice(["shop", "prometheus", "alertmanager", "receiver", "envoy"]))
def url(part: str) -> None:
    """Print a part's URL, for a shell. Its port is another each time. Exit 3 when the lab is not running."""
    from gameday.common.project import find_root
    from gameday.lab import Lab

    info = Lab(find_root()).info()
    if info is None:
        say("The lab is not running; `gameday lab up` starts it.")
        sys.exit(3)
    urls = {
        "shop": info.shop_url,
        "prometheus": info.prometheus_url,
        "alertmanager": info.alertmanager_url,
        "receiver": info.receiver_url,
        "envoy": info.envoy_admin,
    }
    click.echo(urls[part])


@command.command("status")
def status() -> None:
    """Show each part. Exit 0 when all are up, 1 when one is dead, 3 when the lab is not running."""
    from gameday.common.project import find_root
    from gameday.common.texts import one_line
    from gameday.lab import Lab

    state = Lab(find_root()).status()
    if state.parts:
        say(f"{'PART':<13} STATE  PORT      PID")
    for part in state.parts:
        mark = click.style("up  ", fg="green") if part.alive else click.style("dead", fg="red")
        detail = "" if part.alive else "\n".join(map(one_line, part.detail.splitlines()))
        say(f"{part.name:<13} {mark}  {part.port or '':>5} {part.pid or '':>8}  {detail}".rstrip())
    if not state.running:
        say("The lab is not running; `gameday lab up` starts it.")
        sys.exit(3)
    sys.exit(0 if state.healthy else 1)
