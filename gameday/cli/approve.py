"""`gameday approve`: the consent of a second person, where the policy wants it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.asking import confirm
from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import read_session, user

if TYPE_CHECKING:
    from gameday.cli.load import SessionSpec
    from gameday.people.consent import Consent

_MAX_CHARACTERS = 1000


@click.command("approve")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--env", "environment", help="Environment; default: the game day's, or the lab.")
@click.option("--author", help="Who consents, such as @ada; default: who is logged in.")
@click.option("--comment", default="", help="On what condition, say.")
@click.option("--withdraw", is_flag=True, help="Take your consent back.")
@click.option("--list", "listing", is_flag=True, help="Show who consents; exit 0 when it is enough, else 1.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def command(
    path: Path, environment: str | None, author: str | None, comment: str, withdraw: bool, listing: bool, yes: bool
) -> None:
    """Consent to that PATH is run: by somebody else, in this environment, as its files are now.

    A changed file voids it. The policy says whose consent counts, and for how long. It is a record, and no proof of who
    you are.
    """
    from gameday.people.consent import Consent, add_consent, consent_path, fingerprint, has_consented, read_consent

    spec = read_session(path, environment)
    approval, name = spec.environment.policy.approval, spec.environment.name
    if approval is None:
        fail(f"the policy of `{name}` wants no consent: it has no `approval`")
    root = spec.project.root
    where = consent_path(approval, root)
    sha256 = fingerprint(name, path if spec.game_day else None, spec.experiments, spec.contents)
    title = spec.game_day.title if spec.game_day else spec.experiments[0].title
    try:
        if listing:
            _list(spec, read_consent(where, sha256))
        if len(comment) > _MAX_CHARACTERS:
            fail(f"the comment has {len(comment)} characters; at most {_MAX_CHARACTERS} are taken")
        who = author or user()
        if withdraw and not has_consented(who, read_consent(where, sha256)):
            fail(f"there is no consent of {who} to these files as they are (see --list; --author names another)", 3)
        if not yes and not withdraw:
            _show(title, spec)
            if not confirm(f"Do you, {who}, consent to that somebody else runs this on `{name}`?"):
                fail("no consent is given", 3)
        consent = Consent(
            at=time.time(),
            author=who,
            login=user(),
            sha256=sha256,
            title=title,
            environment=name,
            comment=comment,
            is_withdrawn=withdraw,
        )
        add_consent(where, consent)
    except click.Abort:
        fail("no consent is given", 3)
    except OSError as error:
        fail(f"consent cannot be kept: {reason_of(error)}", 3)
    say(f"{who} {'no longer consents' if withdraw else 'consents'} to “{title}” on `{name}`, as its files are now")


def _list(spec: "SessionSpec", consents: "tuple[Consent, ...]") -> None:
    """Who consents, and whether that is enough for whoever is logged in. Ends the program."""
    from gameday.people.consent import find_consent

    approval = spec.environment.policy.approval
    assert approval is not None
    for consent in consents:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(consent.at))
        click.echo(f"{consent.author}, {when}" + (f": {consent.comment}" if consent.comment else ""))
    found, reason = find_consent(approval, spec.project, consents, user(), time.time())
    say(f"{user()} may run it" if found else f"{user()} may not run it: {reason}")
    raise SystemExit(0 if found else 1)


def _show(title: str, spec: "SessionSpec") -> None:
    """What is to be run."""
    from gameday.spec.model import FaultStep

    say(f"{title}, on {spec.environment.name}")
    for number, experiment in enumerate(spec.experiments, 1):
        say(f"{number}. {experiment.title}")
        for step in experiment.method:
            if isinstance(step, FaultStep):
                ladder = ", ".join(map(str, step.ladder))
                say(f"   {step.fault} on {step.target}: {ladder}")
            else:
                say(f"   {step.kind}: {step.name}")
