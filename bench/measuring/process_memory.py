"""Peak resident memory of this process: the kernel's high-water mark, or samples on systems without one.

On Linux it is `VmHWM` after a reset through `/proc/self/clear_refs`, in a fresh process. `ru_maxrss` does not serve: it
cannot be reset, and a child process inherits its parent's value. The resolution is one page, and memory that the
allocator keeps after a free still counts.

On systems without that mark (macOS) a thread reads the resident size every few milliseconds. It misses memory that is
allocated and freed between two samples, so the peak may be too low.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from pathlib import Path

import psutil

INTERVAL = 0.005
"""Seconds between two samples."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters in glibc's malloc.h: the free bytes at the end of the heap above which malloc returns them to the kernel,
and the number of blocks that may have a mapping of their own."""


class KernelPeak:
    """Context manager that measures the process's growth by VmHWM; raises OSError where the kernel does not support it.

    Attributes:
        level: resident bytes at the start of the block.
        growth: largest resident size inside the block minus the level, after the block.
        method: description of the measurement for the record.
    """

    method = "VmHWM after a reset, over VmRSS"

    def __enter__(self) -> KernelPeak:
        Path("/proc/self/clear_refs").write_text("5")
        self.level = _status("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        self.growth = _status("VmHWM") - self.level


class SampledPeak:
    """The same measurement by a thread that samples the resident size; `method` gives the number of samples.

    A sample costs about 20 µs and needs the interpreter's lock: gaps exceed `interval` while Python code runs, and a
    kernel that holds the lock is not sampled. The longest gap is in `method`.

    Args:
        interval: seconds between two samples.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self.interval = interval

    def __enter__(self) -> SampledPeak:
        self._process, self._over = psutil.Process(), threading.Event()
        self.level = self._peak = self._resident()
        self._samples, self._longest, self._last = 1, 0.0, time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="resident size", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.growth = self._peak - self.level
        self.method = (
            f"largest of {self._samples} samples of RSS every {1e3 * self.interval:g} ms (longest gap "
            f"{1e3 * self._longest:.0f} ms), over RSS"
        )

    def _watch(self) -> None:
        while not self._over.wait(self.interval):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        self._peak = max(self._peak, self._resident())
        now = time.monotonic()
        self._samples, self._longest, self._last = self._samples + 1, max(self._longest, now - self._last), now

    def _resident(self) -> int:
        return self._process.memory_info().rss


def process_peak() -> KernelPeak | SampledPeak:
    """Return the more exact of the two methods that this system supports."""
    try:
        with KernelPeak() as peak:
            pass
    except OSError:
        return SampledPeak()
    return peak


def give_back_freed() -> None:
    """Collect garbage and return freed pages to the kernel, so that a later peak does not reuse them.

    It calls glibc's `malloc_trim` or macOS's `malloc_zone_pressure_relief`. With another C library the level is higher
    and the growth an underestimate.
    """
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))
    elif hasattr(library, "malloc_zone_pressure_relief"):
        library.malloc_zone_pressure_relief(None, ctypes.c_size_t(0))


def keep_freed() -> bool:
    """Make the C library keep freed memory for reuse by this process; return whether it supports that.

    By default glibc returns the free end of its heap to the kernel, and large blocks (above a threshold between 128 KiB
    and 32 MiB), which have mappings of their own. When they are allocated again the kernel zeroes each page at its
    first access, and training allocates and frees the same blocks in every batch. Only glibc has these settings. With
    them the process keeps its peak memory until it ends.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    never_trimmed = library.mallopt(M_TRIM_THRESHOLD, -1)
    return bool(library.mallopt(M_MMAP_MAX, 0) and never_trimmed)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{field} is not in /proc/self/status")
