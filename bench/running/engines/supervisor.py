"""The supervisor of a child process: enforces its limits, records how it ended, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from throughtime.records.files import DISK_FULL
from throughtime.records.pass_result import PassResult, pass_file
from throughtime.records.provenance import machine, versions
from throughtime.records.record import Failure, Status
from throughtime.running.limits import Limits, resident_bytes
from throughtime.spec import Pass
from throughtime.whole_files import write_whole

GRACE_SECONDS = 10.0
"""Time between the signal that requests a child to stop and the signal that ends it and its descendants."""
KERNEL_COUNTERS = Path("/proc/vmstat")


class Supervisor:
    """Supervises the child that runs one pass, in a process group of its own.

    Args:
        pid: process id of the child, and of its group, once the child has created one.
        exit_code: returns the child's exit code as in `multiprocessing` (negative: the signal that ended it), or None
            while the child runs.
        name: name of the pass.
        threads: number of threads of the pass.
        folder: folder of the child's result.
        limits: limits of the pass.
    """

    def __init__(
        self, pid: int, exit_code: Callable[[], int | None], name: Pass, threads: int, folder: Path, limits: Limits
    ) -> None:
        self.pid, self._exit_code, self._limits = pid, exit_code, limits
        self._name, self._threads, self._folder = name, threads, folder
        self._began = time.monotonic()
        self._exceeded: tuple[Status, str] | None = None
        self._end_at = float("inf")
        self._kernel_kills = _kernel_kills()

    def over(self) -> bool:
        """Return whether the child and its descendants have ended; if not, enforce its limits."""
        if self._exit_code() is None:
            self._enforce_limits()
            return False
        self.kill()  # its descendants may still run
        return True

    def ask_to_stop(self) -> None:
        """Request the child to write a checkpoint and end; it is killed if it still runs GRACE_SECONDS later."""
        if self._end_at == float("inf"):
            self._end_at = time.monotonic() + GRACE_SECONDS
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the child and its descendants immediately."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._exit_code() is None:  # the child is not yet the leader of a group
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def write_failure(self) -> None:
        """Write a result with the reason of the child's end, if it has ended without a result.

        Raises:
            OSError: the disk is full, or the result cannot be written.
        """
        code, path = self._exit_code(), pass_file(self._folder, self._name)
        if path.exists() or code is None:
            return
        for full, exit_code in DISK_FULL.items():
            if code == exit_code:
                raise OSError(full, os.strerror(full), str(self._folder))
        if self._exceeded:
            status, reason = self._exceeded
        elif code == -signal.SIGKILL and _kernel_kills() > self._kernel_kills:
            status, reason = "oom", "ended by the kernel for lack of memory"
        elif code < 0:
            status, reason = "killed", f"ended by {_name(-code)}"
        else:
            status, reason = "error", f"the process left with exit code {code} and no result"
        result = PassResult(
            status=status,
            failure=Failure(reason=reason, exit_code=code),
            seconds=time.monotonic() - self._began,
            machine=machine(self._threads, None),
            versions=versions(),
        )
        write_whole(path, result.model_dump_json())

    def _enforce_limits(self) -> None:
        spent = time.monotonic() - self._began
        if self._exceeded is None:
            timeout, memory = self._limits
            if timeout is not None and spent > timeout:
                self._exceeded = "timeout", f"not done after the {timeout:g} s it was given"
            elif memory is not None and (used := resident_bytes(self.pid)) > memory:
                self._exceeded = (
                    "oom",
                    f"took {used / 2**20:.0f} MiB of memory, over the limit of {memory / 2**20:.0f} MiB",
                )
            if self._exceeded:
                self.ask_to_stop()
        if time.monotonic() > self._end_at:
            self.kill()


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # one of the real-time signals
        return f"signal {signum}"


def _kernel_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory; 0 where it does not count them."""
    with suppress(OSError):
        for line in KERNEL_COUNTERS.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
