"""Imports and tables that every pass needs; the fork server imports this module once, and children inherit them.

They would take each child a second: the first optimiser imports dynamo, the first compiled loop numba and the tables of
its compiler, the first component all others, and the digest of the code reads every file; the search for components of
other packages takes 40 ms, and the digests 20 to 50 ms. No component of another package is imported, and no tensor is
computed: threads of OpenMP would not survive the fork.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import pkgutil

import numba
import torch._dynamo  # noqa: F401

import throughtime.passes.child  # noqa: F401
from throughtime.records.code_digest import FOLLOWED, HARNESS, module_digest
from throughtime.registry import REGISTRIES
from throughtime.source_digest import read_imported

for registry in REGISTRIES.values():
    package = importlib.import_module(f"throughtime.{registry.folder}")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
read_imported(FOLLOWED)
module_digest(HARNESS)
for registry in REGISTRIES.values():
    for name in registry.displays():
        module_digest(registry.module_of(name))
numba.njit("void()")(lambda: None)  # the first compilation fills the tables of the compiler
gc.collect()
gc.freeze()  # collections in children skip these objects, which takes 0.3 s off each
atexit.register(gc.unfreeze)  # at the server's end: libraries print what the interpreter then does not collect
