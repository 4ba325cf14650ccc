"""Conversion between numbers and text such as `15m` and `2GiB`."""

from __future__ import annotations

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {
    "B": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
LONGEST = 10 * 365 * 86400
"""Largest time limit, in seconds: an operating system refuses to wait for much longer."""
LARGEST = 2**63
"""Bytes that no size may reach: the operating system counts them in 64 bits."""


def seconds(text: str) -> float:
    """Convert text such as `90`, `90s`, `15m`, `2.5h` or `3d` to seconds.

    Raises:
        ValueError: the text has another form, or the time is 0 or above `LONGEST`.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([smhd]?)", text.strip().lower())
    if not match or float(match[1]) == 0:
        raise ValueError(f'"{text}" is not a time; for example 90s, 15m, 2.5h or 3d')
    if (time := float(match[1]) * SECONDS[match[2] or "s"]) > LONGEST:
        raise ValueError(f'"{text}" is more than 10 years')
    return time


def size(text: str) -> int:
    """Convert text such as `2GiB`, `1500 MB` or `800000000B` to bytes. A unit is required: 4 could mean bytes or GiB.

    Raises:
        ValueError: the text has another form, or the size is less than a byte, or `LARGEST` or more.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([a-z]+)", text.strip().lower())
    count = float(match[1]) * BYTES.get(match[2].upper(), 0) if match else 0
    if count < 1:
        raise ValueError(f'"{text}" is not a size; for example 2GiB, 1500MB or 800000000B')
    if count >= LARGEST:
        raise ValueError(f'"{text}" is 8 EiB or more')
    return int(count)


def bytes_as_text(count: int) -> str:
    """Format bytes as `312 B`, `4.2 MiB` or `10.9 TiB`, in the largest unit of which there is one."""
    unit, size = max(
        (item for item in BYTES.items() if item[0][-2:] == "IB" and item[1] <= count),
        default=("B", 1),
        key=lambda item: item[1],
    )
    return f"{count / size:.{3 if count < 999.5 * size else 4}g} {unit.replace('I', 'i')}"


def duration(seconds: float) -> str:
    """Format seconds as `about 40 s`, `about 12 min` or `about 3.5 h`."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
