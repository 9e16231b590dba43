"""What people do from another terminal while a run lasts, and what `plan` leaves untouched."""

import json

import pytest
from e2etools import IN_PLACE, Desk, last_lines
from shop import Shop

pytestmark = pytest.mark.lab

EXPERIMENT = "experiments/two-faults.yaml"


def test_plan_changes_nothing(desk: Desk, shop: Shop) -> None:
    pids, runs = shop.pids(), desk.runs()
    plan = desk.run("plan", EXPERIMENT)
    assert plan.process.returncode == 0, plan.said
    assert "payments-" in plan.printed  # names the very targets
    assert "checkout-1→payments" in plan.printed
    assert shop.pids() == pids
    assert shop.broken() == []
    assert desk.runs() == runs


def test_status_note_second_run_and_abort(desk: Desk, shop: Shop) -> None:
    program = desk.start("run", EXPERIMENT)
    program.wait_said(IN_PLACE)
    run = desk.runs()[-1]
    in_place = shop.overrides(), shop.stopped()

    status = desk.run("status", "--json")
    assert status.process.returncode == 0
    [row] = json.loads(status.printed)
    assert (row["run"], row["life"], row["faults"]) == (run.name, "running", 2)

    refused = desk.run("run", EXPERIMENT)
    assert refused.process.returncode == 3
    assert f"held by run {run.name}" in refused.said
    assert desk.run("recover", run.name).process.returncode == 3

    note = desk.run("note", "--run", run.name, "--author", "ada", "pager", "rang", "<now>")
    assert note.process.returncode == 0, note.said
    assert (shop.overrides(), shop.stopped()) == in_place

    abort = desk.run("abort", run.name, "--reason", "seen enough")
    assert abort.process.returncode == 0, abort.said
    assert "everything is undone" in last_lines(abort.said, 1)
    assert shop.broken() == []
    assert program.end() == 4
    assert "seen enough" in program.said
    notes = [(event["author"], event["text"]) for event in desk.journal(run) if event["event"] == "note-added"]
    assert notes == [("ada", "pager rang <now>")]
    [asked] = [event for event in desk.journal(run) if event["event"] == "abort-requested"]
    assert (asked["source"], asked["reason"]) == ("command", "seen enough")
    assert desk.run("abort").process.returncode == 3


def test_abort_all(desk: Desk, shop: Shop) -> None:
    program = desk.start("run", EXPERIMENT)
    program.wait_said(IN_PLACE)
    done = desk.run("abort", "--all", "--reason", "fire drill")
    assert done.process.returncode == 0, done.said
    assert shop.broken() == []
    assert program.end() == 4
    assert "fire drill" in program.said
    assert desk.run("abort", "--all").process.returncode == 3


def test_stop_switch_ends_what_runs_and_lets_nothing_start(desk: Desk, shop: Shop) -> None:
    program = desk.start("run", EXPERIMENT)
    program.wait_said(IN_PLACE)
    try:
        stop = desk.run("stop", "--reason", "the incident is real")
        assert stop.process.returncode == 0, stop.said
        assert "everything is undone" in last_lines(stop.said, 1)
        assert shop.broken() == []
        assert program.end() == 4
        assert "the incident is real" in program.said

        refused = desk.run("run", EXPERIMENT)
        assert refused.process.returncode == 3
        assert "the incident is real" in refused.said
        plan = desk.run("plan", EXPERIMENT)
        assert "gameday stop --release" in plan.printed + plan.said
        assert "the incident is real" in desk.run("status").said
        again = desk.run("stop", "--reason", "another")
        assert "the incident is real" in again.said
    finally:
        release = desk.run("stop", "--release")
    assert "released" in release.said
    assert "No run starts" not in desk.run("status").said
    assert "not engaged" in desk.run("stop", "--release").said
