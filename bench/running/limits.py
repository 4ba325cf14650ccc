"""How long each pass of a run may take, and how much memory."""

from __future__ import annotations

from typing import NamedTuple

import psutil


class Limits(NamedTuple):
    """Of one pass; None: no limit."""

    timeout: float | None = None
    """Seconds of wall time."""
    memory: int | None = None
    """Bytes of resident memory, of its process and all that this started, pages that they share counted in each."""


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and of its descendants, bytes; 0 if it is gone."""
    total = 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:  # it ended since
            continue
    return total
