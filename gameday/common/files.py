"""Files that are either wholly written or not at all, and logs that lines are appended to."""

import os
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether it is a file, as far as one may look: `Path.is_file` raises where one may not."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_directory(path: Path) -> bool:
    """The same for a directory."""
    try:
        return path.is_dir()
    except OSError:
        return False


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
    raw = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    # As tempfile does it, whose import takes longer than all of this.
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_lines(descriptor: int, lines: bytes, name: str) -> None:
    """Append whole lines to a file that was opened for reading and appending, on disk when this returns. A line that
    was torn does not take the next with it. `name`: of the file. Raises OSError, also when only a part was written."""
    size = os.fstat(descriptor).st_size
    start = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
    data = start + lines
    if os.write(descriptor, data) != len(data):
        raise OSError(None, "only a part of the line could be written", name)
    os.fsync(descriptor)
