"""Conversion of Ctrl-C and the signals of a batch system to the same exception."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class AskedToStop(KeyboardInterrupt):
    """Exception for a signal that requests this process to stop."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise AskedToStop in the main thread, as Ctrl-C raises KeyboardInterrupt."""

    def ask(signum: int, frame: Any) -> None:
        raise AskedToStop(signum)

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with suppress(AttributeError, ValueError):  # on another system, or outside the main thread
            signum = getattr(signal, name)
            if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup remains effective
                before[signum] = signal.signal(signum, ask)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
