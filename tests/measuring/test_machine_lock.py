"""The lock of the machine: one holder, whose name the others see; usable whoever made the file."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from tests.children import child, without_locks
from throughtime.errors import UsageError
from throughtime.measuring import machine_lock
from throughtime.measuring.machine_lock import MachineLock

HOLDS = """
import sys
from pathlib import Path
from throughtime.measuring import machine_lock
machine_lock.MACHINE_LOCK = Path(sys.argv[1])
machine_lock.MachineLock().acquire(print)
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_lock, "MACHINE_LOCK", tmp_path / "machine.lock")
    return tmp_path / "machine.lock"


def test_who_waits_is_told_whom_for_and_gives_up_after_a_time(path, monkeypatch):
    monkeypatch.setattr(machine_lock, "WAIT_SECONDS", 0.5)
    words = [sys.executable, "-c", HOLDS, str(path)]
    with child(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holds\n"
        said, lock = [], MachineLock()
        name = f"process {holder.pid} ("
        with pytest.raises(UsageError, match=r"waited 0\.000139 h for the measuring pass of process") as caught:
            lock.acquire(said.append)
        assert len(said) == 1 and name in said[0] and sys.executable in said[0] and name in caught.value.what
        assert not lock.acquire(said.append, iter([False, False, True]).__next__), "it stops when it is told to"
        holder.kill()
        holder.wait()
        assert lock.acquire(said.append) and len(said) == 2
        lock.release()
        assert MachineLock().acquire(said.append)


def test_the_file_of_another_user_can_be_locked(path, monkeypatch):
    path.touch()
    path.chmod(0o444)
    opened = os.open

    def protected(name, flags, *mode):  # as the kernel with fs.protected_regular
        if flags & os.O_CREAT or flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return opened(name, flags, *mode)

    monkeypatch.setattr(machine_lock.os, "open", protected)
    lock = MachineLock()
    assert lock.acquire(print)
    lock.release()


def test_others_may_use_the_file_whatever_the_umask(path):
    before = os.umask(0o077)
    try:
        MachineLock().acquire(print)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_link_or_a_folder_in_its_place_is_named(path, tmp_path):
    (tmp_path / "victim").touch()
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(UsageError, match=r"machine\.lock: the lock of the machine cannot be used: "):
        MachineLock().acquire(print)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_folder_without_locks_is_named(path, number, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_locks(number))
    with pytest.raises(UsageError, match=rf"machine\.lock: .* cannot be used: {os.strerror(number)}\n.*TMPDIR"):
        MachineLock().acquire(print)
