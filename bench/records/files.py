"""The files in the folder of a run."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

RECORD, CURVE, LOG = "record.json", "curve.jsonl", "log"
CHECKPOINT, POSITION, WEIGHTS = "checkpoint.pt", "position.json", "weights.pt"


DISK_FULL = {errno.ENOSPC: 71, errno.EDQUOT: 72, errno.EFBIG: 73}
"""`errno` of a full disk or an exhausted quota, and the exit code with which a child reports it."""


def parse_json(text: str | bytes) -> tuple[Any, str | None]:
    """Parse JSON; return the value and None, or None and the reason why it cannot be read."""
    try:
        return json.loads(text), None
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        return None, f"not a complete JSON file ({error})"


def read_position(folder: Path) -> dict[str, float] | None:
    """Read the position of a training pass: epoch, epochs, update, sequences, seconds; None: not written yet."""
    try:
        position, _ = parse_json((folder / POSITION).read_bytes())
    except OSError:
        return None
    numbers = isinstance(position, dict) and all(isinstance(position.get(name), int) for name in ("epoch", "update"))
    return position if numbers else None
