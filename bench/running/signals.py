"""Handlers of the signals that end a runner: Ctrl-C, and those of a batch system."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class AskedToStop(KeyboardInterrupt):
    """Exception for a signal that requests this process to stop."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


@contextmanager
def _handled_by(handler: Callable[[int, Any], object] | signal.Handlers) -> Iterator[None]:
    """Let a handler receive SIGINT, SIGTERM and SIGHUP, except for a signal that is ignored already."""
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with suppress(AttributeError, ValueError):  # on another system, or outside the main thread
            signum = getattr(signal, name)
            if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup remains effective
                before[signum] = signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)


@contextmanager
def signals_raised() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise AskedToStop in the main thread, as Ctrl-C raises KeyboardInterrupt."""

    def ask(signum: int, frame: Any) -> None:
        raise AskedToStop(signum)

    with _handled_by(ask):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let a process that starts in this context ignore the signals that end a runner."""
    with _handled_by(signal.SIG_IGN):
        yield


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let a signal that arrives in this context have its effect at the end of the context."""
    arrived: list[int] = []
    try:
        with _handled_by(lambda signum, frame: arrived.append(signum)):
            yield
    finally:
        for signum in arrived[:1]:
            signal.raise_signal(signum)
