"""A child of the fork server starts with imports, tables of the compiler and digests of the code."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

from throughtime.records.code_digest import module_digest
from throughtime.running.engines.local import PRELOADED, start_fork_server

LOOK = """
import ast, gc, sys
import numba
from throughtime.records.code_digest import module_digest
ast.parse = None  # so that no file can be read again
before = set(sys.modules)
digest = module_digest("throughtime.passes.passes")
numba.njit("float64(float64)")(lambda x: x)
sender.send((before, set(sys.modules) - before, digest, gc.get_freeze_count()))
"""


def test_a_child_has_what_every_pass_needs():
    start_fork_server()
    processes = multiprocessing.get_context("forkserver")
    receiver, sender = processes.Pipe(duplex=False)
    processes.Process(target=exec, args=(LOOK, {"sender": sender}), daemon=True).start()
    assert receiver.poll(60)
    imported, later, digest, frozen = receiver.recv()
    components = {
        f"throughtime.{room}" for room in ("algorithms.bptt", "neurons.lif", "networks.recurrent", "datasets.digits")
    }
    assert {"torch._dynamo", "numba", *components} <= imported and later == set()
    assert "tonic" not in imported, "its licence is GPL-3.0-only: see tests/contracts/test_licences.py"
    assert digest == module_digest("throughtime.passes.passes")
    assert frozen > 100_000, "collections skip the objects of all these modules"


def test_the_collector_sees_all_objects_again_when_the_server_ends():
    """Extension modules print their objects as leaks at the end of a process that has frozen them."""
    code = "import atexit, gc, importlib, sys; atexit.register(lambda: print(gc.get_freeze_count()))"
    code += "; importlib.import_module(sys.argv[1]); print(gc.get_freeze_count())"
    ended = subprocess.run([sys.executable, "-c", code, PRELOADED], capture_output=True, text=True, check=True)
    frozen, at_end = map(int, ended.stdout.split())
    assert frozen > 100_000 and at_end < frozen // 100
