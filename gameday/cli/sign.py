"""`gameday sign`: a builder and an SRE accept what a session has shown."""

import time

import click

from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import project_root, user

_MAX_CHARACTERS = 1000


@click.command("sign")
@click.argument("run", required=False)
@click.option("--role", type=click.Choice(("builder", "sre")), help="As what you sign; without it, show who has.")
@click.option("--author", help="Who signs, such as @ada; default: who is logged in.")
@click.option("--comment", default="", help="On what condition, say.")
def command(run: str | None, role: str | None, author: str | None, comment: str) -> None:
    """Sign RUN (default: the latest), which must have ended: you accept its journal as it is.

    A signature is void once the journal has changed. Without --role: who has signed; exit 0 when a builder and an SRE
    have, else 1.
    """
    from gameday.engine.runs import RunError, RunLife, find_run
    from gameday.journal.events import Role
    from gameday.journal.log import JournalError
    from gameday.journal.signatures import Signature, add_signature, journal_hash, read_signatures

    try:
        found = find_run(project_root(), run)
        state = found.state()
    except (RunError, JournalError) as error:
        fail(str(error))
    if role is None:
        signed = read_signatures(found.directory)
        for one in signed:
            when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.signature.at))
            void = "" if one.is_valid else ": void, for the journal has changed since"
            said = f": {one.signature.comment}" if one.signature.comment else ""
            click.echo(f"{one.signature.author} ({one.signature.role}), {when}{said}{void}")
        missing = [
            one for one in (Role.BUILDER, Role.SRE) if one not in {s.signature.role for s in signed if s.is_valid}
        ]
        say(f"{found.name} is signed by both sides" if not missing else f"not signed by: {', '.join(missing)}")
        raise SystemExit(1 if missing else 0)
    if found.life(state) is not RunLife.ENDED:
        fail(f"{found.name} has not ended, or has left something behind; there is nothing to sign yet", 3)
    if len(comment) > _MAX_CHARACTERS:
        fail(f"the comment has {len(comment)} characters; at most {_MAX_CHARACTERS} are taken")
    who, as_what = author or user(), Role(role)
    others = {one.signature.role for one in read_signatures(found.directory) if one.signature.author == who}
    if others - {as_what}:
        fail(f"{who} has signed as {' and '.join(sorted(others))}: builder and SRE are two people", 3)
    try:
        signature = Signature(who, as_what, time.time(), journal_hash(found.directory), comment)
        add_signature(found.directory, signature)
    except OSError as error:
        fail(f"it cannot be signed: {reason_of(error)}", 3)
    say(f"{who} has signed {found.name} as {as_what}; `gameday report {found.name}` shows it")
