"""The entry point: begins what takes long before it imports anything, and ends without ado."""

import gc
import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the verb. An error that nobody foresaw ends in one line and a file, never in a traceback."""
    zygote = None
    # A file of variables may change the environment, which what is started before would not know.
    if sys.argv[1:2] == ["run"] and not any(word.startswith("--var-file") for word in sys.argv):
        gc.disable()  # what is imported stays; `run` turns it on again
        # What both it and this process need is imported once.
        import yaml  # noqa: F401

        import gameday.engine.zygote  # noqa: F401
        from gameday.engine.launch import launch_zygote

        with suppress(OSError):  # then the session tries again, and says why it cannot start
            zygote = launch_zygote(chaos_toolkit=True, early=True)
    from gameday.cli.verbs import cli

    try:
        cli(obj=zygote)
    except SystemExit as end:
        if zygote:
            zygote.process.kill()  # it may still be importing what nobody needs any more
        _leave(end)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        from gameday.cli.output import crash

        crash(error)
        sys.exit(70)  # EX_SOFTWARE of sysexits.h: none of the statuses that mean something


def _leave(end: SystemExit) -> None:
    """End the process now: to take the interpreter down piece by piece would take 15 ms more."""
    if isinstance(end.code, str):
        raise end
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(end.code or 0)


if __name__ == "__main__":
    main()
