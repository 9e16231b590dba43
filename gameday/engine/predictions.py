"""Predictions that were made before their session began: one file for each person and experiment, until it is run."""

import contextlib
import hashlib
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import write_atomically
from gameday.journal.events import PredictionInfo, Role

_MAX_BYTES = 64 * 1024
_MOST = 1000


class Prediction(msgspec.Struct, frozen=True):
    """What somebody says of one experiment. `experiment` is its file, relative to the project; `at` a Unix time."""

    experiment: str
    author: str
    at: float
    prediction: PredictionInfo
    role: Role | None = None


def predictions_directory(root: Path) -> Path:
    """Where the predictions of a project wait."""
    return root / ".gameday" / "predictions"


def keep_prediction(root: Path, prediction: Prediction) -> None:
    """Write it down in place of an earlier one of the same person. Raises OSError."""
    write_atomically(_path(root, prediction.experiment, prediction.author), msgspec.json.encode(prediction))


def waiting_predictions(root: Path, experiment: str) -> tuple[Prediction, ...]:
    """Those that wait for a session of the experiment, the oldest first. Damaged ones are passed over."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(predictions_directory(root).glob(f"{_key(experiment)}-*.json"))[:_MOST]:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                if path.stat().st_size <= _MAX_BYTES:
                    found.append(decode(path.read_bytes(), Prediction))
    return tuple(sorted(found, key=lambda prediction: prediction.at))


def forget_predictions(root: Path, experiment: str) -> None:
    """The experiment has been run: what was said of it is in the journal, and is not said of the next session."""
    with contextlib.suppress(OSError):
        for path in predictions_directory(root).glob(f"{_key(experiment)}-*.json"):
            path.unlink(missing_ok=True)


def _path(root: Path, experiment: str, author: str) -> Path:
    return predictions_directory(root) / f"{_key(experiment)}-{_key(author)}.json"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
