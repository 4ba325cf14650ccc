"""Writing a file whole: a reader sees the old file, the new one, or none."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: str | bytes, lasting: bool = True) -> None:
    """Write a file in one step: to a temporary file beside it, flushed to disk, then renamed.

    Args:
        path: its folder is made if it does not exist.
        content: text is written as UTF-8.
        lasting: whether the content must be on disk before the file gets its name. False is faster, and right for a
            file that may be lost when the machine crashes.

    Raises:
        OSError: the file cannot be written; the old one is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        # The error of a full disk does not name the file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)
