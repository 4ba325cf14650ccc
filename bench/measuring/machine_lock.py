"""The lock under which measuring passes run on a machine, one at a time, whoever started them."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from throughtime.errors import UsageError

MACHINE_LOCK = Path(tempfile.gettempdir()) / "throughtime.lock"
WAIT_SECONDS = 2 * 3600.0
"""Longest time that a pass waits for those of others."""
POLL_SECONDS = 0.25


class MachineLock:
    """The lock of this machine. It ends with the process that holds it, however that process ends.

    The file is locked through a descriptor for reading, so that users share it whichever of them created it.
    """

    def __init__(self) -> None:
        self._file: int | None = None

    def acquire(self, tell: Callable[[str], None], stopping: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the lock, and tell once who holds it; return False if `stopping` became true.

        Raises:
            UsageError: the file cannot be opened or locked, or another process has held the lock for WAIT_SECONDS.
        """
        file, announced, end = _opened(), False, time.monotonic() + WAIT_SECONDS
        try:
            while not stopping():
                if _locked(file):
                    self._file, file = file, -1
                    return True
                if not announced:
                    tell(f"waiting for the measuring pass of {owner()}")
                    announced = True
                if time.monotonic() > end:
                    what = f"waited {WAIT_SECONDS / 3600:.3g} h for the measuring pass of {owner()}"
                    raise UsageError(what, str(MACHINE_LOCK), "end that process, or repeat the command later")
                time.sleep(POLL_SECONDS)
            return False
        finally:
            if file >= 0:
                os.close(file)

    def release(self) -> None:
        """Release the lock, if this object holds it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def owner() -> str:
    """Return process, user and command of the holder of the lock, as far as the kernel and the process show them."""
    try:
        status = MACHINE_LOCK.stat()
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
        # 1: FLOCK ADVISORY WRITE <process> <device>:<inode> ...; a process that waits has `->` in the second column.
        (pid,) = (int(words[4]) for words in locks if words[1] == "FLOCK" and words[5] == place)
        process = psutil.Process(pid)
        return f"process {pid} ({process.username()}: {' '.join(process.cmdline()[:8])[:120]})"
    except (OSError, ValueError, IndexError, psutil.Error):  # another system, or a process of another container
        return "another process"


def _opened() -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            file = os.open(MACHINE_LOCK, flags | os.O_CREAT, 0o644)
        except PermissionError:  # the kernel may refuse O_CREAT for a file of another user in /tmp
            return os.open(MACHINE_LOCK, flags)
        with suppress(PermissionError):
            os.fchmod(file, 0o644)  # whatever the umask of the user who created it
        return file
    except OSError as error:
        raise _unusable(error) from error


def _locked(file: int) -> bool:
    """Lock a file and return True; return False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unusable(error) from error
    return True


def _unusable(error: OSError) -> UsageError:
    hint = "remove it, or let TMPDIR name another folder for all who measure on this machine"
    return UsageError(f"the lock of the machine cannot be used: {error.strerror}", str(MACHINE_LOCK), hint)
