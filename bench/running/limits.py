"""How long each pass of a run may take, and how much memory."""

from __future__ import annotations

import re
from typing import NamedTuple

import psutil

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {
    "": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


class Limits(NamedTuple):
    """Of one pass; None: no limit."""

    timeout: float | None = None
    """Seconds of wall time."""
    memory: int | None = None
    """Bytes of resident memory, of its process and all that this started, pages that they share counted in each."""


def seconds(text: str) -> float:
    """`90`, `90s`, `15m`, `2.5h`, `3d` in seconds.

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([smhd]?)", text.strip().lower())
    if not found or float(found[1]) == 0:
        raise ValueError(f'"{text}" is no time; for example 90s, 15m, 2.5h or 3d')
    return float(found[1]) * SECONDS[found[2] or "s"]


def size(text: str) -> int:
    """`2GiB`, `1500 MB`, `800000000` in bytes.

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([a-z]*)", text.strip().lower())
    if not found or found[2].upper() not in BYTES or float(found[1]) == 0:
        raise ValueError(f'"{text}" is no size; for example 2GiB, 1500MB or a number of bytes')
    return int(float(found[1]) * BYTES[found[2].upper()])


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
