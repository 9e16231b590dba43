"""Files that are either wholly written or not at all."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make a rename or creation in `directory` survive a power cut. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step, on disk when this returns. Raises OSError; then `path` is as it was."""
    replace_file(path, data)
    sync_directory(path.parent)


def replace_file(path: Path, data: bytes | str) -> None:
    """The same, for several files of a directory: a power cut before `sync_directory` leaves the old ones or these."""
    from tempfile import mkstemp

    raw = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
