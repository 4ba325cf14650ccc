"""A child of the fork server starts with imports, tables of the compiler and digests of the code."""

from __future__ import annotations

import atexit
import gc
import importlib
import multiprocessing
import sys
from unittest import mock

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


def test_the_collector_sees_all_objects_again_when_the_server_ends(monkeypatch):
    """Extension modules print their objects as leaks at the end of a process that has frozen them."""
    monkeypatch.delitem(sys.modules, PRELOADED, raising=False)
    gc.unfreeze()
    with mock.patch("atexit.register", wraps=atexit.register) as register:
        importlib.import_module(PRELOADED)
    assert gc.get_freeze_count() > 100_000
    register.call_args.args[0]()
    assert gc.get_freeze_count() == 0
