"""The process's peak: seen when it is there, gone after a reset, and told when it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from throughtime import process_memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc here")

MIB = 2**20


def test_a_block_that_came_and_went_is_in_the_peak_until_the_reset():
    # In a process of its own: what the tests before left in the allocator would hide it.
    program = """
from throughtime import process_memory as m
m.give_back_freed(); m.reset_peak(); level = m.resident_bytes()
block = bytearray(64 * 2**20); block[::4096] = b"x" * len(block[::4096]); del block
grown = m.peak_bytes() - level
m.reset_peak()
print(grown, m.peak_bytes() - level)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grown, after = map(int, done.stdout.split())
    # The kernel counts resident pages in batches of 64 a thread; a few threads are a fraction of a MiB.
    assert abs(grown - 64 * MIB) < MIB
    assert after < 2 * MIB


def test_without_the_kernels_help_there_is_a_reason(monkeypatch):
    def refuse(*_):
        raise PermissionError("not allowed")

    monkeypatch.setattr(process_memory, "reset_peak", refuse)
    assert process_memory.available() == "no process peak on this system: not allowed"
