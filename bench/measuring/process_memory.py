"""Peak resident memory of this process: by the kernel's own high-water mark, or by sampling where there is none.

`VmHWM` after a reset through `/proc/self/clear_refs`, in a fresh process. Not `ru_maxrss`: it cannot be reset, and
a child starts with its parent's. Granularity: one page; what the allocator keeps after a free still counts.

Where the kernel has no such mark (macOS), a thread reads the resident size every few milliseconds: what comes and goes
between two samples is not seen, so that the peak is, if anything, too low.
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
"""Of glibc's malloc.h: free bytes at the heap's end above which they are given back, and how many blocks may be mapped
by themselves."""


class KernelPeak:
    """What the process grows by in a `with` block, by VmHWM; OSError at its start where the kernel does not offer it.

    Attributes:
        level: resident bytes as the block begins.
        growth: largest resident size within it, less the level; there when the block is over.
        method: how the growth was got, in a few words.
    """

    method = "VmHWM after a reset, over VmRSS"

    def __enter__(self) -> KernelPeak:
        Path("/proc/self/clear_refs").write_text("5")
        self.level = _status("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        self.growth = _status("VmHWM") - self.level


class SampledPeak:
    """The same by sampling the resident size in a thread; `method` tells how often it could.

    A sample costs some 20 µs, and waits for the interpreter's lock: while Python code runs the gaps are longer than
    `interval`, and within one call of a kernel that holds the lock there is none. The longest gap is in `method`.

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
    """The better of the two that works here."""
    try:
        with KernelPeak() as peak:
            pass
    except OSError:
        return SampledPeak()
    return peak


def give_back_freed() -> None:
    """Collect garbage and hand freed pages back to the kernel, so that a later peak is not hidden in them.

    By glibc's `malloc_trim` or macOS's `malloc_zone_pressure_relief`; with another C library the level is higher, and
    the growth an underestimate.
    """
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))
    elif hasattr(library, "malloc_zone_pressure_relief"):
        library.malloc_zone_pressure_relief(None, ctypes.c_size_t(0))


def keep_freed() -> bool:
    """Have the C library keep what is freed from now on, for this process to use again; whether it does.

    glibc gives back what is free at the end of its heap, and large blocks, which it maps by themselves (above 128 KiB
    at first, above 32 MiB at most). Taken again they are zeroed by the kernel page by page as they are touched, and a
    training takes and frees the same blocks in every batch. Nothing where there is no glibc. The process holds on to
    its peak until it ends.
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
