"""Limits of time and memory for each pass of a run."""

from __future__ import annotations

from typing import NamedTuple

import psutil


class Limits(NamedTuple):
    """Limits of one pass; None: no limit."""

    timeout: float | None = None
    """Seconds of wall time."""
    memory: int | None = None
    """Bytes of resident memory of the pass's process and its descendants; a shared page counts once for each."""


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and of its descendants, bytes; 0 if the process has ended."""
    total = 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:  # it has ended since
            continue
    return total
