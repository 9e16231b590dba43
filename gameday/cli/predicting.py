"""Asks somebody at a terminal what they think will happen in an experiment, before they can see it."""

import time

import click

from gameday.cli.asking import ask, confirm
from gameday.engine.info import path_in
from gameday.engine.pairings import pair_session
from gameday.engine.predictions import Prediction, keep_prediction, waiting_predictions
from gameday.engine.preparation import SessionInput
from gameday.journal.events import AlertPrediction, Outlook, PredictionInfo, Role, SignalPrediction
from gameday.people.predicting import parse_alert
from gameday.people.wording import say_signal
from gameday.spec.model import Experiment
from gameday.spec.units import UnitError

_LONGEST = 1000  # characters of what is said in words
_OUTLOOKS = {"h": Outlook.HOLDS, "b": Outlook.BREAKS, "u": Outlook.UNSURE}
_USERS = {"y": True, "n": False}


def ask_pairs(session: SessionInput) -> None:
    """Ask each of every pair that has not said anything yet, one after the other, if they want to. Raises OSError."""
    project = session.project
    waiting = {
        index: {one.author for one in waiting_predictions(project.root, path_in(experiment, project))}
        for index, experiment in enumerate(session.experiments)
    }
    pairs = pair_session(session.people, len(session.experiments), project.root, session.elsewhere)
    silent = [
        (experiment, author, role)
        for index, experiment in enumerate(session.experiments)
        for author, role in ((pairs[index].builder, Role.BUILDER), (pairs[index].sre, Role.SRE))
        if author is not None and author not in waiting[index]
    ]
    if not silent or not confirm("Do the pairs want to say now what will happen, each apart?"):
        return
    for experiment, author, role in silent:
        if said := ask_prediction(experiment, author, role):
            kept = Prediction(path_in(experiment, project), author, time.time(), said, role)
            keep_prediction(project.root, kept)
        click.clear()  # the other is not to read it


def ask_prediction(experiment: Experiment, author: str, role: Role | None) -> PredictionInfo | None:
    """Ask for each signal, each expected alert, and the users; an empty answer says nothing. None when all are."""
    as_what = f", as {'an SRE' if role is Role.SRE else f'a {role}'}" if role else ""
    click.echo(f"\n{author}{as_what}: what will happen in “{experiment.title}”? Enter alone says nothing.", err=True)
    prediction = PredictionInfo(
        signals=tuple(filter(None, (_ask_signal(signal, text) for signal, text in _conditions(experiment)))),
        alerts=tuple(filter(None, (_ask_alert(name) for name in dict.fromkeys(a.name for a in experiment.alerts)))),
        users_notice=_USERS.get(_ask("  Will users notice? (y)es, (n)o", (*_USERS, ""))),
        note=_ask("  Anything else, in words")[:_LONGEST],
    )
    return prediction if prediction != PredictionInfo() else None


def _conditions(experiment: Experiment) -> list[tuple[str, str]]:
    texts = {
        str(condition.signal): f"changes by {condition.text}" if condition.relative else f"stays {condition.text}"
        for condition in experiment.hypothesis.conditions
    }
    return list(texts.items())


def _ask_signal(signal: str, text: str) -> SignalPrediction | None:
    answer = _ask(f"  {say_signal(signal)} {text}: (h)olds, (b)reaks, (u)nsure", (*_OUTLOOKS, ""))
    if not answer:
        return None
    note = _ask("    how, in words")[:_LONGEST]
    return SignalPrediction(signal=signal, outlook=_OUTLOOKS[answer], note=note)


def _ask_alert(name: str) -> AlertPrediction | None:
    while answer := _ask(f"  {name}: after how long does it fire (30s), or (n)ever"):
        try:
            return parse_alert(name, answer)
        except UnitError as error:
            click.echo(f"    found {error.found}, expected {error.expected}", err=True)
    return None


def _ask(question: str, answers: tuple[str, ...] = ()) -> str:
    while True:
        answer = ask(f"{question}: ")
        if not answers or answer.lower()[:1] in answers:
            return answer.lower()[:1] if answers else answer
        click.echo(f"    found `{answer[:20]}`, expected one of {', '.join(filter(None, answers))}", err=True)
