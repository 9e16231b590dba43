"""`gameday predict`: what somebody thinks will happen, said before it can be seen."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import ensure_path, user

if TYPE_CHECKING:
    from gameday.engine.runs import Run
    from gameday.journal.events import PredictionInfo, Role
    from gameday.spec.model import Experiment, Project

_USERS = {"yes": True, "no": False, "unsure": None}


@click.command("predict")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--author", help="Who says it, such as @ada; default: who is logged in.")
@click.option("--role", type=click.Choice(("builder", "sre")), help="As what.")
@click.option("--signal", "signals", multiple=True, help="checkout.errors.ratio=breaks (or holds, unsure); several.")
@click.option("--alert", "alerts", multiple=True, help="PaymentsDown=30s (fires within that), or =never; several.")
@click.option("--users", type=click.Choice(tuple(_USERS)), help="Whether users notice.")
@click.option("--note", default="", help="In words.")
def command(
    path: Path,
    author: str | None,
    role: str | None,
    signals: tuple[str, ...],
    alerts: tuple[str, ...],
    users: str | None,
    note: str,
) -> None:
    """Say what will happen in PATH, an experiment or a game day, before it is run; nobody is shown it until then.

    Without options it asks, for each experiment. What is said counts for the next session of the experiment, or for
    the one that runs, as long as nothing has been injected.
    """
    from gameday.journal.events import Role

    experiments, project = _read(ensure_path(path))
    who, what = author or user(), Role(role) if role else None
    is_given = bool(signals or alerts or users or note)
    if is_given and len(experiments) > 1:
        fail(f"{path} has {len(experiments)} experiments: say it of one of them, or without options be asked of each")
    if not is_given and not sys.stdin.isatty():
        fail("there is nobody to ask; say it with --signal, --alert, --users or --note")
    for experiment in experiments:
        if is_given:
            said: PredictionInfo | None = _given(experiment, signals, alerts, users, note)
        else:
            from gameday.cli.predicting import ask_prediction

            said = ask_prediction(experiment, who, what)
        if said is None:
            say(f"nothing said of “{experiment.title}”")
        else:
            _pass_on(experiment, project, who, what, said)


def _read(path: Path) -> "tuple[tuple[Experiment, ...], Project]":
    from gameday.cli.load import parse_path, print_mistakes, project_start
    from gameday.spec.location import SpecError
    from gameday.spec.project import read_project
    from gameday.spec.reader import read_document

    project, _ = read_project(project_start(path))
    try:
        _, experiments = parse_path(path, read_document(path), project, lambda _step: ())
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    return experiments, project


def _given(
    experiment: "Experiment", signals: tuple[str, ...], alerts: tuple[str, ...], users: str | None, note: str
) -> "PredictionInfo":
    from gameday.journal.events import Outlook, PredictionInfo, SignalPrediction
    from gameday.people.predicting import parse_alert
    from gameday.spec.units import UnitError

    known = [str(condition.signal) for condition in experiment.hypothesis.conditions]
    said_of_signals, said_of_alerts = [], []
    for name, text in _pairs("--signal", signals, "checkout.errors.ratio=breaks"):
        _ensure_known("--signal", name, known)
        if text not in tuple(Outlook):
            fail(f"--signal: found `{text}`, expected one of {', '.join(Outlook)}")
        said_of_signals.append(SignalPrediction(signal=name, outlook=Outlook(text)))
    for name, text in _pairs("--alert", alerts, "PaymentsDown=30s"):
        try:
            said_of_alerts.append(parse_alert(name, text))
        except UnitError as error:
            fail(f"--alert: found {error.found}, expected {error.expected}, or `never`")
    return PredictionInfo(
        signals=tuple(said_of_signals),
        alerts=tuple(said_of_alerts),
        users_notice=_USERS[users] if users else None,
        note=note,
    )


def _pairs(option: str, texts: tuple[str, ...], example: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, equals, what = text.partition("=")
        if not (name and equals and what):
            fail(f"{option}: found `{text}`, expected the like of {example}")
        pairs.append((name, what))
    return pairs


def _ensure_known(option: str, name: str, known: list[str]) -> None:
    if name not in known:
        from gameday.common.texts import most_similar

        near = most_similar(name, known)
        hint = f"; did you mean `{near}`?" if near else ""
        fail(f"{option}: found `{name}`, expected one of {', '.join(known) or 'none: it has no signals'}{hint}")


def _pass_on(
    experiment: "Experiment", project: "Project", author: str, role: "Role | None", said: "PredictionInfo"
) -> None:
    from gameday.engine.info import path_in
    from gameday.engine.predictions import Prediction, keep_prediction
    from gameday.engine.runs import Message, MessageKind
    from gameday.people.predicting import say_prediction

    path = path_in(experiment, project)
    live = _living(project.root, path)
    if live is not None:
        run, index, is_too_late = live
        if is_too_late:
            fail(f"{run.name} has injected something already: what is said now is no prediction; `gameday note` it", 3)
        run.send(Message(MessageKind.PREDICTION, author, "", prediction=said, role=role, experiment=index))
        say(f"kept for {run.name}: {say_prediction(said)}")
        return
    try:
        keep_prediction(project.root, Prediction(path, author, time.time(), said, role))
    except OSError as error:
        fail(f"it cannot be kept: {reason_of(error)}", 3)
    say(f"kept for the next session of {path}: {say_prediction(said)}")


def _living(root: Path, path: str) -> "tuple[Run, int, bool] | None":
    """The run that lives and has the experiment before it, its index there, and whether it is too late."""
    from gameday.engine.runs import all_runs
    from gameday.journal.events import ActivityStarted, FaultPlanned, SessionStarted
    from gameday.journal.log import JournalError, read_events

    for run in reversed(all_runs(root)):
        if not run.is_written():
            continue
        index, is_too_late = None, False
        try:
            for event in read_events(run.journal):
                if isinstance(event, SessionStarted):
                    index = next((n for n, info in enumerate(event.experiments) if info.path == path), None)
                    if index is None:
                        break
                elif isinstance(event, FaultPlanned) or (
                    isinstance(event, ActivityStarted) and event.section == "method"
                ):
                    is_too_late |= event.experiment == index
        except JournalError:
            continue
        if index is not None:
            return run, index, is_too_late
    return None
