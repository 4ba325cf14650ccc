"""Parameters that are adjacent in memory, so that one operation on a flat tensor updates them all.

An update does few operations on each weight; over the dozens of small tensors of a network, calls take most of its
time. `flatten` moves parameters into one block of memory without replacing them. `Flat` detects adjacent parameters; a
network that was not flattened trains equally, tensor by tensor.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

LINE = 64
"""Bytes of a cache line."""


@torch.no_grad()
def flatten(parameters: Sequence[nn.Parameter]) -> None:
    """Move parameters into one block of memory for each dtype and device; each becomes a view of its part.

    As after `network.to(device)`, earlier views of the parameters, for instance from `detach()`, keep the old memory.
    Parameters that share a storage, or fill only a part of one, are not moved.
    """
    sharing = Counter(p.untyped_storage()._cdata for p in parameters)
    blocks = defaultdict(list)
    for p in parameters:
        storage = p.untyped_storage()
        if sharing[storage._cdata] == 1 and 0 < p.nbytes == storage.nbytes() and p.is_contiguous():
            blocks[p.dtype, p.device].append(p)
    for block in blocks.values():
        block.sort(
            key=lambda p: p.nbytes % LINE != 0
        )  # multiples of a cache line first, so that large matrices are aligned
        for p, part in zip(block, _unflatten_dense_tensors(_flatten_dense_tensors(block), block), strict=True):
            p.data = part


class Flat:
    """Parameters and their gradients in as few tensors as the parameters' memory allows.

    Attributes:
        parameters: the parameters.
        weights: the same memory: one flat tensor for adjacent parameters, and every other parameter itself.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self._runs = _neighbours(self.parameters)
        """For each of `weights` the positions of its parameters, in memory order."""
        self.weights: list[Tensor] = [
            self.parameters[run[0]] if len(run) == 1 else self._block([self.parameters[n].detach() for n in run])
            for run in self._runs
        ]

    def shares_memory(self) -> bool:
        """Return whether `weights` still are the memory of the parameters: `p.data = ...` and a deep copy end that."""
        for weight, run in zip(self.weights, self._runs, strict=True):
            place = weight.data_ptr()
            for n in run:
                if self.parameters[n].data_ptr() != place:
                    return False
                place += self.parameters[n].nbytes
        return True

    @staticmethod
    def _block(neighbours: Sequence[Tensor]) -> Tensor:
        block = _joined(neighbours)
        assert block is not None, "a run holds neighbours in memory"
        return block

    @torch.no_grad()
    def gradients(self) -> list[Tensor]:
        """Return one tensor for each of `weights`, with the `.grad` of its parameters. Gradients that are not adjacent
        are copied into one block first, one in another layout than its parameter's is copied into that layout, and a
        parameter without a gradient gets one of 0."""
        views = []
        for run in self._runs:
            members = [self.parameters[n] for n in run]
            gradients: list[Tensor] = []
            for p in members:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
                elif p.grad.stride() != p.stride():
                    # Fused optimisers read a gradient in the order of its memory, whatever its strides.
                    p.grad = torch.empty_like(p).copy_(p.grad)
                gradients.append(p.grad)
            flat = gradients[0] if len(run) == 1 else _laid_out_before(gradients)
            if flat is None:
                flat = _joined(gradients)
            if flat is None:
                flat, gradients = _side_by_side(gradients)
                for p, gradient in zip(members, gradients, strict=True):
                    p.grad = gradient
            views.append(flat)
        return views

    def places(self) -> dict[Tensor, Tensor]:
        """Return empty memory for the gradient of each parameter, in the layout of `gradients`."""
        places: dict[Tensor, Tensor] = {}
        for run in self._runs:
            members = [self.parameters[n].detach() for n in run]
            parts = [torch.empty_like(members[0])] if len(run) == 1 else _side_by_side(members)[1]
            places |= {self.parameters[n]: part for n, part in zip(run, parts, strict=True)}
        return places

    def laid_out(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Concatenate values, one tensor for each parameter, to one tensor for each of `weights`."""
        return [
            values[run[0]] if len(run) == 1 else _flatten_dense_tensors([values[n] for n in run]) for run in self._runs
        ]


def _side_by_side(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return a flat copy and its parts. The first part refers to the copy and the other parts, for a fast lookup."""
    flat = _flatten_dense_tensors(tensors)
    first, *others = parts = list(_unflatten_dense_tensors(flat, tensors))
    first.laid_out = flat, others
    return flat, parts


def _laid_out_before(tensors: Sequence[Tensor]) -> Tensor | None:
    """Return the flat tensor of which `_side_by_side` returned exactly these parts; None if there is none."""
    flat, others = getattr(tensors[0], "laid_out", (None, ()))
    return flat if len(others) + 1 == len(tensors) and all(map(operator.is_, tensors[1:], others)) else None


def _joined(tensors: Sequence[Tensor]) -> Tensor | None:
    """Return the flat tensor of which these are consecutive parts; None if they are not adjacent."""
    begins = [tensor.data_ptr() for tensor in tensors]
    ends = [begin + tensor.nbytes for begin, tensor in zip(begins, tensors, strict=True)]
    if begins[1:] != ends[:-1] or not all(map(Tensor.is_contiguous, tensors)):
        return None
    storage = tensors[0].untyped_storage()
    if ends[-1] > storage.data_ptr() + storage.nbytes():
        return None  # adjacent by chance, in several storages
    return tensors[0].as_strided(((ends[-1] - begins[0]) // tensors[0].itemsize,), (1,))


def _neighbours(parameters: Sequence[nn.Parameter]) -> list[list[int]]:
    """Return runs of adjacent parameters. Their order is independent of addresses: storages in the order of their first
    parameter, and within a storage the memory order."""
    storages = [p.untyped_storage()._cdata for p in parameters]
    runs: list[list[int]] = []
    for n in sorted(range(len(storages)), key=lambda n: (storages.index(storages[n]), parameters[n].storage_offset())):
        before = parameters[runs[-1][-1]] if runs else None
        if before is not None and before.dtype == parameters[n].dtype and _joined([before, parameters[n]]) is not None:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs
