"""Bytes of live tensors, counted storage by storage from birth to death.

Every operation is seen, forward and backward: a storage that comes out of one and was not known is born there, one
first met as an argument existed before and is not counted. A weak reference tells its death. So the number belongs to
the program, not to the machine: bytes asked for, without the allocator's rounding or the freed blocks it keeps.

Not seen: scratch inside a kernel; memory made past the dispatcher (numpy arrays, Python objects, the storages of
`copy.deepcopy`, `torch.load`, `torch.frombuffer`, `torch.from_dlpack`); the 0-dimensional tensor autograd makes of the
number in `x * 2.0` and saves, 8 bytes. An array under `torch.from_numpy` is counted from then on, each time anew. Code
under `torch.compile` is counted as PyTorch runs it here: uncompiled; `torch.cond` and its like raise an error.

Changed by being watched: under any dispatch mode autograd adds gradients that meet out of place, even where it would
add in place. If that is the moment of the peak, the peak is larger by one such gradient.

Deterministic as far as nothing waits for the garbage collector: a tensor in a reference cycle lives until that runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode

# torch.tensor, as_tensor and from_numpy fill a storage unseen and then hand it to this operation.
_LIFT_FRESH = torch.ops.aten.lift_fresh.default

# copy.deepcopy and torch.load fill a storage unseen and then give it to a tensor by one of these; but so may a storage
# that existed before be given.
_SET_STORAGE = (torch.ops.aten.set_.source_Storage, torch.ops.aten.set_.source_Storage_storage_offset)

# A sparse tensor has no storage but those of its parts.
_SPARSE_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages born in a `with` block, as long as they live.

        with LiveBytes() as live:
            loss = model(x).sum()
            graph = live.current
            loss.backward()
        print(live.peak)

    Deaths after the block still lower `current`; a second block with the same object goes on from there. It makes no
    tensor and keeps none alive. It costs some microseconds an operation: time nothing under it.

    Attributes:
        current: bytes of the storages born under the mode and alive now. A view adds nothing to what it views; growth
            in place is counted when an operation does it, or else when one next meets the storage.
        peak: largest value of `current` since the beginning or the last `reset_peak`.
        peak_at: the operation after which `current` was that large, counted since then, from 1; 0: before the first.
        look: what is called after operation `look_at` since then, within the operation and unseen by the mode.
        uncounted: how often there was memory that may belong to the count and could not be counted: a result that shows
            no storage (mkldnn, strided nested tensors), a storage of unknown age given to a tensor (`copy.deepcopy`,
            `torch.load`). Where it is not 0, `current` and `peak` may be too small.
    """

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = self.uncounted = 0
        self.operations = self.peak_at = self.look_at = 0
        self.look: Callable[[], None] | None = None
        self._known: dict[int, _Known] = {}

    def reset_peak(self) -> None:
        """Start the peak and the count of operations again, from what is alive now."""
        self.peak, self.operations, self.peak_at = self.current, 0, 0

    def alive(self) -> dict[int, int]:
        """Bytes of each storage born under the mode and alive now, by the id of its Python object."""
        return {key: known.nbytes for key, known in self._known.items() if known.born}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented  # a wrapper of tensors: it unpacks itself, and the operations on them come here
        kwargs = kwargs or {}
        if func in _SET_STORAGE and id(args[1]) not in self._known:
            self.uncounted += 1
        self._meet((*args, *kwargs.values()), born=func is _LIFT_FRESH)
        result = func(*args, **kwargs)
        self._meet(result, born=True)
        self.operations += 1
        if self.current > self.peak:
            self.peak, self.peak_at = self.current, self.operations
        if self.look is not None and self.operations == self.look_at:
            self.look()
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # if True, the first operation would import the compiler: a second, and much memory

    def _meet(self, values: Any, *, born: bool) -> None:
        """Count what in the arguments or the result of an operation is new and `born`, and what has grown."""
        for storage in _storages(values):
            if storage is None:
                self.uncounted += born
                continue
            # A storage keeps one Python object until it dies, and `_forget` is called while that goes. So its id names
            # the storage, and has left the dictionary before another object can have it.
            known = self._known.get(id(storage))
            if known is None:
                known = self._known[id(storage)] = _Known(storage, self._forget)
                # Meta and fake tensors have sizes, but no memory.
                known.key, known.nbytes, known.born = id(storage), 0, born and storage.device.type != "meta"
            if known.born:
                nbytes = storage.nbytes()
                self.current += nbytes - known.nbytes
                known.nbytes = nbytes

    def _forget(self, known: _Known) -> None:
        del self._known[known.key]
        self.current -= known.nbytes


class _Known(weakref.ref):
    """A storage met before; `nbytes` is its part in `current`."""

    __slots__ = ("born", "key", "nbytes")


def _storages(values: Any) -> Iterator[UntypedStorage | None]:
    """Every storage in the arguments or the result of an operation, None for a tensor that shows none."""
    if isinstance(values, Tensor):
        if values.layout in _SPARSE_PARTS:
            for part in _SPARSE_PARTS[values.layout]:
                yield getattr(values, part)().untyped_storage()
            return
        try:
            yield values.untyped_storage()
        except (NotImplementedError, RuntimeError):
            yield None
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _storages(value)
    elif isinstance(values, UntypedStorage):
        yield values
