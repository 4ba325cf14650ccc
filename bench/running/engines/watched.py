"""A child process at work on a pass: its limits kept, its end told, and nothing of it left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from throughtime.records.files import DISK_FULL, write_whole
from throughtime.records.pass_result import PassResult, pass_file
from throughtime.records.provenance import machine, versions
from throughtime.records.record import Failure, Status
from throughtime.running.limits import Limits, resident_bytes
from throughtime.spec import Pass

GRACE_SECONDS = 10.0
"""Between the signal that asks a child to stop and the one that ends it and all it started."""
KERNEL_COUNTERS = Path("/proc/vmstat")


class Watched:
    """The child that runs one pass, in a process group of its own.

    Args:
        pid: of the child; also its group, from the moment it has made one.
        exit_code: the child's, as `multiprocessing` has it (negative: the signal that ended it); None: it still runs.
        name: which pass.
        threads: it was given.
        folder: where it leaves its result.
        limits: it must keep.
    """

    def __init__(
        self, pid: int, exit_code: Callable[[], int | None], name: Pass, threads: int, folder: Path, limits: Limits
    ) -> None:
        self.pid, self._exit_code, self._limits = pid, exit_code, limits
        self._name, self._threads, self._folder = name, threads, folder
        self._began = time.monotonic()
        self._broke: tuple[Status, str] | None = None
        self._end_at = float("inf")
        self._kernel_kills = _kernel_kills()

    def over(self) -> bool:
        """Whether it has ended, and with it all it started; if not, see to its limits."""
        if self._exit_code() is None:
            self._keep_limits()
            return False
        self.kill()  # what it started may have survived it
        return True

    def ask_to_stop(self) -> None:
        """Have it keep a checkpoint and leave; killed if it is still there GRACE_SECONDS later."""
        if self._end_at == float("inf"):
            self._end_at = time.monotonic() + GRACE_SECONDS
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the child and all it started, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._exit_code() is None:  # not yet the leader of a group
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def settle(self) -> None:
        """It is over: if it left no result it was ended from outside or left on its own; write that down in its place.

        Raises:
            OSError: that cannot be written.
        """
        code, path = self._exit_code(), pass_file(self._folder, self._name)
        if path.exists() or code is None:
            return
        for full, told in DISK_FULL.items():
            if code == told:
                raise OSError(full, os.strerror(full), str(self._folder))
        if self._broke:
            status, reason = self._broke
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

    def _keep_limits(self) -> None:
        spent = time.monotonic() - self._began
        if self._broke is None:
            timeout, memory = self._limits
            if timeout is not None and spent > timeout:
                self._broke = "timeout", f"not done after the {timeout:g} s it was given"
            elif memory is not None and (used := resident_bytes(self.pid)) > memory:
                self._broke = (
                    "oom",
                    f"took {used / 2**20:.0f} MiB of memory, over the limit of {memory / 2**20:.0f} MiB",
                )
            if self._broke:
                self.ask_to_stop()
        if time.monotonic() > self._end_at:
            self.kill()


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # one of the real-time signals
        return f"signal {signum}"


def _kernel_kills() -> int:
    """Processes of this machine that the kernel has killed for lack of memory; 0 where it does not say."""
    with suppress(OSError):
        for line in KERNEL_COUNTERS.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
