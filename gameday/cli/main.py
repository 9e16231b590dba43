"""The entry point: begins what takes long before it imports anything, and ends without ado."""

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gameday.engine.launch import Helper


def main() -> None:
    """Run the verb. An error that nobody foresaw ends in one line and a file, never in a traceback."""
    zygote = None
    try:
        try:
            _open_streams()
            _check_arguments()
            # A file of variables may change the environment, which what is started before would not know.
            if sys.argv[1:2] == ["run"] and not any(word.startswith("--var-file") for word in sys.argv):
                zygote = _begin()
            from gameday.cli.verbs import cli

            cli(obj=zygote)
        except KeyboardInterrupt:
            from gameday.cli.output import interrupted

            interrupted(sys.argv[1] if len(sys.argv) > 1 else None)
    except SystemExit as end:
        _leave(end, zygote)
    except OSError as error:  # a disk that is full, a directory that may not be read
        from gameday.cli.output import fail, reason_of

        fail(reason_of(error) or type(error).__name__, 3)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        from gameday.cli.output import crash

        crash(error)
        sys.exit(70)  # EX_SOFTWARE of sysexits.h: none of the statuses that mean something


def _open_streams() -> None:
    """Whoever starts us without stdin, stdout or stderr gives us /dev/null. Else the next file that is opened, the
    journal say, would have its number, and whatever a child or a library prints would be written into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115


def _check_arguments() -> None:
    """Python takes bytes that are no text for halves of characters, which no journal can hold. Ends with status 2."""
    for number, word in enumerate(sys.argv[1:], 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            from gameday.cli.output import fail

            fail(f"argument {number}: found {os.fsencode(word)!r}, expected text in {sys.getfilesystemencoding()}")


def _begin() -> "Helper | None":
    """Have the Chaos Toolkit imported in a process of its own meanwhile."""
    gc.disable()  # what is imported stays; `run` turns it on again
    # What both that and this process need is imported once.
    import yaml  # noqa: F401

    import gameday.engine.zygote  # noqa: F401
    from gameday.engine.launch import launch_zygote

    with suppress(OSError):  # then the session tries again, and says why it cannot start
        return launch_zygote(chaos_toolkit=True, early=True)
    return None


def _leave(end: SystemExit, zygote: "Helper | None") -> None:
    """End the process now: to take the interpreter down piece by piece would take 15 ms more."""
    if isinstance(end.code, str):
        raise end
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    if zygote:
        from gameday.engine.launch import wait_for_ends

        zygote.process.kill()  # it may still be importing what nobody needs any more
        wait_for_ends()
    os._exit(end.code or 0)


if __name__ == "__main__":
    main()
