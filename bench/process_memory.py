"""Peak resident memory of this process, by the kernel's own high-water mark.

`VmHWM` after a reset through `/proc/self/clear_refs`, in a fresh process. Not `ru_maxrss`: it cannot be reset, and
a child starts with its parent's. Granularity: one page; what the allocator keeps after a free still counts.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


def available() -> str | None:
    """None where the method works, else the reason why not."""
    try:
        reset_peak()
        peak_bytes()
    except OSError as error:
        return f"no process peak on this system: {error}"
    return None


def reset_peak() -> None:
    """Set the high-water mark to the present resident size; OSError where the kernel does not offer it."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Largest resident size since the last reset, bytes."""
    return _status("VmHWM")


def resident_bytes() -> int:
    """Present resident size, bytes."""
    return _status("VmRSS")


def give_back_freed() -> None:
    """Collect garbage and hand freed pages back to the kernel, so that a later peak is not hidden in them."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (
        OSError,
        AttributeError,
    ):  # another C library: the level is then higher, and the growth an underestimate
        return


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{field} is not in /proc/self/status")
