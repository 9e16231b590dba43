"""A Chaos Toolkit control that keeps the Toolkit's method in step with the session's, where users' actions are in it.

An action that fails is a weakness, and ends the method, as one does that the policy refuses; once that is over, what is
left of it is passed over. Format:
https://chaostoolkit.org/reference/extending/create-control-extension/.
"""

import contextlib
import logging

from gameday.chaostoolkit import current
from gameday.chaostoolkit.adapter import interruption, pass_over, put_back
from gameday.common.json import JsonObject
from gameday.engine.driven import DrivenError, EndedError

_logger = logging.getLogger("chaostoolkit")
_in_method = False


def before_method_control(context: JsonObject) -> None:
    """The Toolkit begins the method."""
    global _in_method  # noqa: PLW0603 - `chaos run` executes one experiment in one process
    _in_method = True


def after_method_control(context: JsonObject) -> None:
    """The Toolkit has ended the method."""
    global _in_method  # noqa: PLW0603
    _in_method = False


def before_activity_control(context: JsonObject) -> None:
    """Pass it over when the method is over, or the policy does not allow it."""
    if not _concerns(context):
        return
    reason = current.driver().passes_over
    if not reason and context.get("type") == "action":
        try:
            current.driver().allow(str(context.get("name")), context)
        except EndedError as error:
            raise interruption(f"gameday: {error}") from None
        except DrivenError as error:
            reason = str(error)
    if reason:
        _logger.warning(f"Passed over: {context.get('name')} ({reason})")
        pass_over(context)


def after_activity_control(context: JsonObject, state: JsonObject | None = None) -> None:
    """Tell the session of an action that has failed."""
    run = state or {}
    put_back(context, run)
    if _concerns(context) and context.get("type") == "action" and run.get("status") == "failed":
        error = "".join(run.get("exception") or ()).strip().splitlines()
        with contextlib.suppress(DrivenError, EndedError):  # then it has ended, and says so itself
            current.driver().fail(str(context.get("name")), error[-1] if error else "")


def _concerns(activity: JsonObject) -> bool:
    """Whether it is the user's, in the method of a session."""
    provider = activity.get("provider", {})
    return _in_method and current.is_open() and not str(provider.get("module", "")).startswith(__package__)
