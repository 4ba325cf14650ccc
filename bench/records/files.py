"""The files of a run's folder, and writing one whole."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

CURVE, LOG, CHECKPOINT, POSITION = "curve.jsonl", "log", "checkpoint.pt", "position.json"


DISK_FULL = {errno.ENOSPC: 71, errno.EDQUOT: 72, errno.EFBIG: 73}
"""Errors of a disk with no room, and the exit codes by which a child tells of them."""


def write_whole(path: Path, content: str | bytes, lasting: bool = True) -> None:
    """Write a file so that a reader sees the old one, the new one, or none: temp file, flush to disk, rename.

    Args:
        path: its folder is made if it is not there.
        content: text is written as UTF-8.
        lasting: whether its bytes must be on disk before it gets its name; where a crash of the machine may lose them,
            they need not.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        # A full disk is told of without the name of the file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)


def parse_json(text: str | bytes) -> tuple[Any, str | None]:
    """Parse JSON; return what it holds, or None and the reason why it cannot be read."""
    try:
        return json.loads(text), None
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        return None, f"not a whole JSON file ({error})"


def read_position(folder: Path) -> dict[str, float] | None:
    """What a training pass last wrote of where it is: epoch, epochs, update, sequences, seconds; None: nothing yet."""
    try:
        found, _ = parse_json((folder / POSITION).read_bytes())
    except OSError:
        return None
    numbers = isinstance(found, dict) and all(isinstance(found.get(name), int) for name in ("epoch", "update"))
    return found if numbers else None
