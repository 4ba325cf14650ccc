"""Bytes of live tensors, counted for each storage from its allocation to its release.

A dispatch mode observes every operation, forward and backward. An unknown storage in a result was allocated there; one
that first appears as an argument existed before and does not count. A weak reference reports its release. The count is
a property of the program, not of the machine: requested bytes, without rounding or cached blocks of the allocator.

The count does not include: temporaries inside a kernel; memory allocated without the dispatcher (numpy arrays, Python
objects, the storages of `copy.deepcopy`, `torch.load`, `torch.frombuffer`, `torch.from_dlpack`); the 0-dimensional
tensor of 8 bytes that autograd saves for the number in `x * 2.0`. An array under `torch.from_numpy` counts from that
call on, at each call again. Code under `torch.compile` runs uncompiled here; `torch.cond` and the like raise an error.

The dispatch mode changes one thing: autograd then sums gradients out of place where it would otherwise sum in place.
If that happens at the peak, the peak is larger by one gradient.

The count is deterministic unless a tensor waits for the garbage collector in a reference cycle.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode

# torch.tensor, as_tensor and from_numpy fill a storage without the dispatcher and then pass it to this operation.
_LIFT_FRESH = torch.ops.aten.lift_fresh.default

# copy.deepcopy and torch.load fill a storage without the dispatcher and pass it to one of these operations; but the
# argument may also be a storage that existed before.
_SET_STORAGE = (torch.ops.aten.set_.source_Storage, torch.ops.aten.set_.source_Storage_storage_offset)

# The storages of a sparse tensor are those of its components.
_SPARSE_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


class LiveBytes(TorchDispatchMode):
    """Context manager that counts the bytes of live storages which were allocated inside the block.

        with LiveBytes() as live:
            loss = model(x).sum()
            graph = live.current
            loss.backward()
        print(live.peak)

    Releases after the block still decrease `current`; a second block with the same object continues the count. The
    mode allocates no tensors and keeps none alive. It costs some microseconds per operation, so code inside the
    block should not be timed.

    Attributes:
        current: bytes of live storages that were allocated under the mode. A view adds nothing; growth in place counts
            when an operation causes it, or at the next operation with the storage.
        peak: largest value of `current` since the start or the last `reset_peak`.
        peak_at: number of the first operation after which `current` was largest, from 1 since the start or
            `reset_peak`; 0: before the first operation.
        look: function that is called after operation `look_at`, inside that operation and not observed by the mode.
        uncounted: number of cases in which memory may belong to the count but its size is unknown: a result without a
            storage (mkldnn, strided nested tensors), or a storage of unknown origin (`copy.deepcopy`, `torch.load`). If
            it is not 0, `current` and `peak` may be too small.
    """

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = self.uncounted = 0
        self.operations = self.peak_at = self.look_at = 0
        self.look: Callable[[], None] | None = None
        self._known: dict[int, _Known] = {}

    def reset_peak(self) -> None:
        """Restart the peak and the count of operations from the current state."""
        self.peak, self.operations, self.peak_at = self.current, 0, 0

    def alive(self) -> dict[int, int]:
        """Return the bytes of each live storage allocated under the mode, by the id of its Python object."""
        return {key: known.nbytes for key, known in self._known.items() if known.born}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented  # a wrapper of tensors unwraps itself, and its operations come here
        kwargs = kwargs or {}
        if func in _SET_STORAGE and id(args[1]) not in self._known:
            self.uncounted += 1
        fresh = func is _LIFT_FRESH
        for value in args:
            self._meet(value, fresh)
        for value in kwargs.values():
            self._meet(value, fresh)
        result = func(*args, **kwargs)
        self._meet(result, True)
        self.operations += 1
        if self.current > self.peak:
            self.peak, self.peak_at = self.current, self.operations
        if self.look is not None and self.operations == self.look_at:
            self.look()
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler at the first operation, which takes a second and much memory

    def _meet(self, values: Any, born: bool) -> None:
        """Count storages in arguments or result of an operation that are new and `born` there, and growth of others."""
        if isinstance(values, Tensor):
            if values.layout in _SPARSE_PARTS:
                for part in _SPARSE_PARTS[values.layout]:
                    self._meet(getattr(values, part)(), born)
                return
            try:
                storage = values.untyped_storage()
            except (NotImplementedError, RuntimeError):
                self.uncounted += born
                return
        elif isinstance(values, UntypedStorage):
            storage = values
        else:
            if isinstance(values, (list, tuple)):
                for value in values:
                    self._meet(value, born)
            return
        # A storage has one Python object for its whole life, and `_forget` runs when that object is released. So its id
        # identifies the storage, and leaves the dictionary before another object can have the same id.
        known = self._known.get(id(storage))
        if known is None:
            known = self._known[id(storage)] = _Known(storage, self._forget)
            # Meta and fake tensors have a size but no memory.
            known.key, known.nbytes, known.born = id(storage), 0, born and storage.device.type != "meta"
        if known.born:
            nbytes = storage.nbytes()
            self.current += nbytes - known.nbytes
            known.nbytes = nbytes

    def _forget(self, known: _Known) -> None:
        del self._known[known.key]
        self.current -= known.nbytes


class _Known(weakref.ref[UntypedStorage]):
    """Weak reference to a known storage; `nbytes` is its share of `current`."""

    __slots__ = ("born", "key", "nbytes")
    born: bool
    key: int
    nbytes: int
