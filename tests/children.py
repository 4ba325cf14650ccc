"""Processes that a test starts and that end with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def child(words: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process that hears Ctrl-C, as in a terminal, even where the tests themselves run with SIGINT ignored.

    It is killed at the end of the block if it still runs, with its whole group where it has a session of its own: a
    test that fails would otherwise wait for it for ever.
    """
    process = subprocess.Popen(words, preexec_fn=hear_ctrl_c, **options)
    with process:
        try:
            yield process
        finally:
            if options.get("start_new_session"):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()


def hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def without_locks(number: int) -> Callable[..., None]:
    """Return a `flock` that fails with this error, as in a folder on some network file systems."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock
