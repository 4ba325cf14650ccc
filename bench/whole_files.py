"""Atomic writes of files: a reader sees the old file, the new one, or none."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: str | bytes, lasting: bool = True) -> None:
    """Write a file in one step: to a temporary file beside it, flushed to disk, then renamed.

    Args:
        path: the file; its folder is created if it does not exist.
        content: bytes, or text to write as UTF-8.
        lasting: whether to flush the content to disk before the rename. False is faster, for files that may be lost
            when the machine crashes.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
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
