"""`gameday recover --env`: undo what runs have left in a cluster, from the marks there alone."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.cli.load import print_mistakes
from gameday.cli.output import fail, say
from gameday.cli.shared_locks import free_services

if TYPE_CHECKING:
    from gameday.faults.base import System
    from gameday.faults.cluster.found import Found

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0


def recover_cluster(environment: str, run: str | None) -> None:
    """Undo what dead runs left there: those whose time is over, or `run`. Ends with status 5 when something is left."""
    from gameday.kubernetes.reference import ClusterError

    try:
        from gameday.faults.cluster.found import find_marks

        found, unseen = find_marks(_system(environment))
    except ClusterError as error:
        fail(str(error), 5)
    for what in unseen:
        say(f"Not looked through: {what}.")
    if run:
        found = [item for item in found if item.run == run]
    if not found:
        say(f"Nothing to recover: no {'mark of that run' if run else 'run left a mark'} in {environment}.")
        return
    left = False
    unfinished = set[str]()  # runs that may live, or have left something
    for item in found:
        if not run and item.until > time.time():
            unfinished.add(item.run)
            over = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(item.until))
            say(f"{item.what}: {item.fault} of run {item.run}, which may be alive until {over}; left alone.")
            say(f"  If it is dead: gameday recover --env {environment} {item.run}")
        elif not run and (command := _said_by_mark(item)):
            say(f"{item.what}: {item.fault} of run {item.run} is undone by what its mark says; left alone.")
            say(f"  It says: {command}")
            say(f"  If that is what you want: gameday recover --env {environment} {item.run}")
            unfinished.add(item.run)
            left = True
        elif not _undo(item):
            unfinished.add(item.run)
            left = True
    if not unseen:
        from gameday.spec.project import read_project

        project, _ = read_project(Path.cwd())
        for name in sorted({item.run for item in found} - unfinished):
            free_services(project, name, is_dead=False)
    sys.exit(5 if left else 0)


def _system(environment: str) -> "System":
    from gameday.engine.preparation import system_of
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_environment, read_project

    try:
        project, _ = read_project(Path.cwd())
        return system_of(load_environment(project, environment))
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)


def _said_by_mark(item: "Found") -> str:
    """The commands of an undo that only the mark vouches for, which whoever may write there could have chosen."""
    from gameday.common.codec import decode
    from gameday.faults.cluster.base import ClusterFault
    from gameday.faults.registry import load_fault

    fault = load_fault(item.fault) if not item.problem else None
    if not isinstance(fault, ClusterFault) or not fault.undo_is_said_by_mark:
        return ""
    return fault.by_hand(decode(item.plan, fault.plan_type))


def _undo(item: "Found") -> bool:
    """Whether it is undone and verified; else what is left, and how to remove it by hand, is said."""
    from gameday.common.codec import decode
    from gameday.engine.jobs import Job, JobKind, perform
    from gameday.faults.registry import load_fault

    say(f"{item.what}: {item.fault or 'a fault'} of run {item.run}")
    if item.problem:
        say(f"  not undone: {item.problem}")
        return False
    fault = load_fault(item.fault)
    plan = decode(item.plan, fault.plan_type)
    deadline, pause = time.monotonic() + fault.patience(plan).undo_s, _FIRST_PAUSE_S
    job = Job(kind=JobKind.UNDO, fault=item.fault, plan=item.plan)
    while True:
        result = perform(job)
        wrong = (*result.left, *filter(None, [result.error]))
        if not wrong:
            say("  undone and verified")
            return True
        if result.is_final or time.monotonic() + pause > deadline:
            break
        say(f"  not yet: {wrong[0]}")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
    for what in wrong:
        say(f"  still so: {what}")
    say(f"  by hand:  {fault.by_hand(plan)}")
    return False
