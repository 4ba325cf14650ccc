"""Parameters that lie next to each other in memory: what is done to all of them is done to one tensor.

An update touches each weight a few times and does little with it; over the dozens of small tensors of a network most of
its time goes into calls. `flatten` lays them out in one block, where each stays the parameter it was. A network that
was never flattened is trained alike, tensor by tensor: `Flat` finds out which it is.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

LINE = 64
"""Bytes that a processor fetches at once."""


@torch.no_grad()
def flatten(parameters: Sequence[nn.Parameter]) -> None:
    """Move parameters into one block of memory for each dtype and device; each becomes a view of its part.

    As with `network.to(device)`, what else was made of their old memory, by `detach()` say, is theirs no longer.
    Parameters that share memory, or fill a part of one only, stay where they are.
    """
    sharing = Counter(p.untyped_storage()._cdata for p in parameters)
    blocks = defaultdict(list)
    for p in parameters:
        storage = p.untyped_storage()
        if sharing[storage._cdata] == 1 and 0 < p.nbytes == storage.nbytes() and p.is_contiguous():
            blocks[p.dtype, p.device].append(p)
    for block in blocks.values():
        block.sort(key=lambda p: p.nbytes % LINE != 0)  # whole lines first, so that large matrices begin with one
        for p, part in zip(block, _unflatten_dense_tensors(_flatten_dense_tensors(block), block), strict=True):
            p.data = part


class Flat:
    """Parameters and their gradients in as few tensors as the parameters' memory allows.

    Attributes:
        parameters: one by one.
        weights: the same numbers: one flat tensor of those that lie next to each other, every other parameter itself.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self._runs = _neighbours(self.parameters)
        """Of each of `weights`, which parameters are in it, in the order in which they lie."""
        self.weights: list[Tensor] = [
            self.parameters[run[0]] if len(run) == 1 else self._block([self.parameters[n].detach() for n in run])
            for run in self._runs
        ]

    @staticmethod
    def _block(neighbours: Sequence[Tensor]) -> Tensor:
        block = _joined(neighbours)
        assert block is not None, "a run holds neighbours in memory"
        return block

    @torch.no_grad()
    def gradients(self) -> list[Tensor]:
        """One for each of `weights`: what hangs on `.grad` of its parameters. Where that lay apart, it is laid out
        first; a parameter that has no gradient gets one of 0."""
        found = []
        for run in self._runs:
            of_run = [self.parameters[n] for n in run]
            gradients: list[Tensor] = []
            for p in of_run:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
                gradients.append(p.grad)
            flat = gradients[0] if len(run) == 1 else _laid_out_before(gradients)
            if flat is None:
                flat = _joined(gradients)
            if flat is None:
                flat, gradients = _side_by_side(gradients)
                for p, gradient in zip(of_run, gradients, strict=True):
                    p.grad = gradient
            found.append(flat)
        return found

    def places(self) -> dict[Tensor, Tensor]:
        """Room for a gradient of each parameter, laid out as `gradients` wants them."""
        places: dict[Tensor, Tensor] = {}
        for run in self._runs:
            of_run = [self.parameters[n].detach() for n in run]
            parts = [torch.empty_like(of_run[0])] if len(run) == 1 else _side_by_side(of_run)[1]
            places |= {self.parameters[n]: part for n, part in zip(run, parts, strict=True)}
        return places

    def laid_out(self, values: Sequence[Tensor]) -> list[Tensor]:
        """One tensor for each of `weights`, made of one for each parameter."""
        return [
            values[run[0]] if len(run) == 1 else _flatten_dense_tensors([values[n] for n in run]) for run in self._runs
        ]


def _side_by_side(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """A flat copy, and its parts. The first part knows it and the others, so that neither is looked for again."""
    flat = _flatten_dense_tensors(tensors)
    first, *others = parts = list(_unflatten_dense_tensors(flat, tensors))
    first.laid_out = flat, others
    return flat, parts


def _laid_out_before(tensors: Sequence[Tensor]) -> Tensor | None:
    """The flat tensor that `_side_by_side` made of just these; None if it did not."""
    flat, others = getattr(tensors[0], "laid_out", (None, ()))
    return flat if len(others) + 1 == len(tensors) and all(map(operator.is_, tensors[1:], others)) else None


def _joined(tensors: Sequence[Tensor]) -> Tensor | None:
    """The flat tensor of which these are the parts, one after the other; None where they lie apart."""
    begins = [tensor.data_ptr() for tensor in tensors]
    ends = [begin + tensor.nbytes for begin, tensor in zip(begins, tensors, strict=True)]
    if begins[1:] != ends[:-1] or not all(map(Tensor.is_contiguous, tensors)):
        return None
    storage = tensors[0].untyped_storage()
    if ends[-1] > storage.data_ptr() + storage.nbytes():
        return None  # of several storages, neighbours by chance
    return tensors[0].as_strided(((ends[-1] - begins[0]) // tensors[0].itemsize,), (1,))


def _neighbours(parameters: Sequence[nn.Parameter]) -> list[list[int]]:
    """Which of them lie next to each other. The order depends on no address: that of the first of each storage, and
    within a storage that in memory."""
    storages = [p.untyped_storage()._cdata for p in parameters]
    runs: list[list[int]] = []
    for n in sorted(range(len(storages)), key=lambda n: (storages.index(storages[n]), parameters[n].storage_offset())):
        before = parameters[runs[-1][-1]] if runs else None
        if before is not None and before.dtype == parameters[n].dtype and _joined([before, parameters[n]]) is not None:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs
