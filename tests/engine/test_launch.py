"""Processes beside the runner: forked when that is safe, else new interpreters, and the same either way."""

import _thread
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import pytest

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.engine.jobs import Job, JobKind
from gameday.engine.launch import IGNORED, Forked, Helper, launch_guardian, launch_zygote
from gameday.engine.workers import Question, WorkersError


@contextmanager
def closing(helper: Helper) -> Iterator[Helper]:
    try:
        yield helper
    finally:
        helper.socket.close()
        helper.process.wait(10)


def in_a_new_process(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test where there is one thread: of earlier tests there may be others, and nothing is forked beside them."""

    @wraps(test)
    def run(**parameters: object) -> None:
        code = f"import runpy; runpy.run_path({__file__!r})[{test.__name__!r}].__wrapped__(**{parameters!r})"
        command = [sys.executable, "-W", "error:This process:DeprecationWarning", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    return run


@pytest.mark.skipif(sys.platform != "linux", reason="forked on Linux alone")
@in_a_new_process
def test_early_it_is_forked() -> None:
    with closing(launch_guardian(early=True)) as helper:
        assert isinstance(helper.process, Forked)


def test_later_it_is_a_new_interpreter() -> None:
    with closing(launch_guardian()) as helper:
        assert isinstance(helper.process, subprocess.Popen)


@pytest.mark.parametrize("is_pythons", [True, False])
@in_a_new_process
def test_beside_a_thread_it_is_a_new_interpreter(is_pythons: bool) -> None:
    held = _thread.allocate_lock()
    held.acquire()
    if is_pythons:
        threading.Thread(target=held.acquire, daemon=True).start()
    else:  # as a library's
        _thread.start_new_thread(held.acquire, ())
        assert threading.active_count() == 1
    with closing(launch_guardian(early=True)) as helper:
        assert isinstance(helper.process, subprocess.Popen)
    held.release()


@pytest.mark.skipif(sys.platform != "linux", reason="forked on Linux alone")
@in_a_new_process
def test_a_fork_hears_no_signal_from_its_first_moment() -> None:
    for number in IGNORED:
        with closing(launch_guardian(early=True)) as helper:
            helper.process.send_signal(number)
            time.sleep(0.05)
            with pytest.raises(subprocess.TimeoutExpired):
                helper.process.wait(0)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@pytest.mark.parametrize("early", [True, False])
@in_a_new_process
def test_a_guardian_that_has_nothing_to_watch_goes_with_its_runner(early: bool) -> None:
    helper = launch_guardian(early=early)
    helper.socket.close()
    assert helper.process.wait(10) == 0


@pytest.mark.parametrize("early", [True, False])
@in_a_new_process
def test_a_zygote_answers_before_there_is_an_event_loop(early: bool) -> None:
    with closing(launch_zygote(chaos_toolkit=True, early=early)) as zygote:
        good = {"type": "action", "name": "a", "provider": {"type": "python", "module": "os", "func": "getpid"}}
        bad = {"type": "action", "name": "b", "provider": {"type": "python", "module": "no.such", "func": "f"}}
        questions = [Question(zygote, Job(kind=JobKind.VALIDATE, definitions=(good, bad))) for _ in range(2)]
        for question in questions:
            first, (complaint,) = question.answer(30).complaints
            assert first == ()
            assert "no.such" in complaint


def test_a_question_that_takes_too_long_is_given_up_and_its_child_killed() -> None:
    provider = {"type": "process", "path": "sleep", "arguments": ["60"]}
    request = ActivityRequest({"type": "action", "name": "a", "provider": provider}, {}, {})
    with closing(launch_zygote(chaos_toolkit=True)) as zygote:
        question = Question(zygote, Job(kind=JobKind.ACTIVITY, activity=request))
        with pytest.raises(WorkersError, match="timed out"):
            question.answer(1.0)


def test_a_question_to_a_zygote_that_is_gone_has_no_answer() -> None:
    with closing(launch_zygote(chaos_toolkit=False)) as zygote:
        question = Question(zygote, Job(kind=JobKind.VALIDATE))
        zygote.process.kill()
        zygote.process.wait(10)
        with pytest.raises(WorkersError):
            question.answer(5)
        with pytest.raises(WorkersError, match="gone"):
            Question(zygote, Job(kind=JobKind.VALIDATE))
