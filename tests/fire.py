"""Kills of the processes of a running sweep: children of all passes, the server that they start from, the runner."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess

import psutil


def hit(process: subprocess.Popen, dice: random.Random) -> str:
    """Kill something, mostly a child; a runner only once it has some, or on a slow machine none would ever begin."""
    children = workers(process.pid)
    if not children:
        return "nothing there"
    chance = dice.random()
    if chance < 0.06:
        process.kill()
        process.wait()
        return "the runner killed"
    if chance < 0.12:
        process.send_signal(dice.choice([signal.SIGINT, signal.SIGTERM]))
        return "the runner asked to stop"
    if chance < 0.16:
        for server in servers(process.pid):
            server.kill()
        return "the server killed"
    victim, how = dice.choice(children), dice.choice([signal.SIGKILL, signal.SIGTERM])
    try:
        victim.send_signal(how)
    except psutil.NoSuchProcess:
        return "already over"
    return f"a child {'killed' if how == signal.SIGKILL else 'asked to stop'}"


def workers(runner: int) -> list[psutil.Process]:
    """The children that run a pass: each leads a group of its own."""
    result = []
    try:
        family = psutil.Process(runner).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for process in family:
        try:
            if process.pid == os.getpgid(process.pid):
                result.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return result


def servers(runner: int) -> list[psutil.Process]:
    """The fork server of a runner."""
    result = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(runner).children():
            if any("multiprocessing.forkserver" in word for word in process.cmdline()):
                result.append(process)
    return result
