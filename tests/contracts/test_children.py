"""A test that fails while it waits for a process leaves none behind, and Ctrl-C reaches a child wherever tests run."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.children import child

SLEEP = "import time; print(flush=True); time.sleep(1000)"


def test_a_child_is_killed_when_its_test_fails():
    with (
        pytest.raises(AssertionError),
        child([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE, start_new_session=True) as process,
    ):
        raise AssertionError
    assert process.returncode == -signal.SIGKILL


def test_a_child_hears_ctrl_c_where_the_tests_do_not():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with child([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)
