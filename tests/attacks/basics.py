"""Parts of all kinds of attacks: damage, calls in this process, in a fork, and in a process of their own."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from throughtime.commands.main import main as throughtime
from throughtime.errors import UsageError

ROOT = Path(__file__).parents[2]
Attempt = Callable[[], object]
"""One attempt; it returns `Injected` if it is more than one."""
Attack = Callable[[random.Random, Path], Iterator[Attempt]]
"""A kind of attack: yields attempts, which are made before the next one is asked for, in a folder of its own."""
WORDS = ["0", "-1", "1e308", "nan", "null", "[]", "{}", "''", "\x1b[2J", "../..", "é" * 40, "999999999999", "true", "*"]
FORK_BYTES = 4 << 30
"""Memory that a fork may allocate beside that of this process."""
FORK_SECONDS = 60
"""Processor time that a fork may take."""


class Injected(NamedTuple):
    """The number of faults that an attempt injected."""

    faults: int


class FaultError(Exception):
    """The package did not answer as it should; the message has the input."""


class NotRunError(Exception):
    """This machine lacks what the attack needs; the message says what."""


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Return content with one to four damages, half of them in the first 128 bytes: bits, cuts, repetitions, zeros,
    large numbers."""
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(min(len(content), 128 if dice.random() < 0.5 else len(content)) + 1)
        end = min(len(content), start + dice.choice([1, 2, 4, 8, 64, 4096]))
        size = end - start
        new = dice.choice([bytes(size), b"\xff" * size, dice.randbytes(size), b"", content[start:end] * 2])
        content = content[:start] if dice.random() < 0.1 else content[:start] + new + content[end:]
    return content


def reworded(text: str, dice: random.Random) -> str:
    """Return text in which one to three words are other words."""
    words = text.split(" ")
    for _ in range(dice.randint(1, 3)):
        words[dice.randrange(len(words))] = dice.choice(WORDS)
    return " ".join(words)


def require_answer(code: int, printed: str, command: object) -> None:
    """Raise FaultError unless a command ended with exit code 0, 1 or 2 and without a traceback."""
    if code not in (0, 1, 2) or "Traceback" in printed:
        raise FaultError(f"exit code {code}: {command}\n{printed[-2000:]}")


def call(*words: str) -> int:
    """Run a command in this process; return its exit code."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = throughtime(list(words))
    require_answer(code, out.getvalue(), " ".join(words))
    return code


def fork(act: Callable[[], object]) -> None:
    """Act in a fork of this process, which a native library may crash, with limits of memory and time.

    Raises:
        FaultError: it crashed, or raised an exception other than UsageError and MemoryError, or a RuntimeWarning.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 dislikes forks beside threads
        pid = os.fork()
    if not pid:
        try:
            os.close(reader)
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + FORK_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CPU, (FORK_SECONDS, FORK_SECONDS + 1))
            warnings.simplefilter("error", RuntimeWarning)
            act()
        except (UsageError, MemoryError):
            pass
        except BaseException:
            os.write(writer, traceback.format_exc()[-3000:].encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as stream:
            raised = stream.read()
    except BaseException:  # the time limit
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    if raised or status:
        raise FaultError(raised.decode() or f"the process ended with status {status}")
