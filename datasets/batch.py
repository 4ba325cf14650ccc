"""A batch of sequences with their targets; all slicing of either happens here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.numerics.trees import Tree, mapped, nbytes, tensors

PARTS = (Tensor, list)
"""Types of the parts of a target with one row per sequence or per step; a list has one entry per row."""


class Batch(NamedTuple):
    """Sequences and their targets.

    Inputs and targets may be trees (`numerics/trees.py`). In a target, tuples and dicts hold parts, and a list holds
    one entry per sequence, such as boxes whose number differs between sequences.
    """

    x: Tree
    """[steps, batch, inputs], float32; an expanded view where all steps are the same."""
    target: Tree
    """One target per sequence: [batch] int64 for classification, [batch, outputs] float32 for regression, or a list.
    One target per step: [steps, batch] int64, −1 where a step has no label; [steps, batch, outputs] float32, NaN where
    it has none; or a list with a list for each step."""
    per_step: bool = False
    """Whether there is one target per step, as in `Task.per_step`."""

    @property
    def steps(self) -> int:
        return len(tensors(self.x)[0])

    @property
    def sequences(self) -> int:
        return tensors(self.x)[0].shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the storages behind inputs and targets, each counted once."""
        return nbytes((self.x, self.target))

    def window(self, t: int, steps: int) -> Batch:
        """Return the steps t ... t + steps − 1 with their targets; views."""
        x = mapped(lambda part: part[t : t + steps], self.x)
        if not self.per_step:
            return self._replace(x=x)
        return self._replace(x=x, target=mapped(lambda part: part[t : t + steps], self.target, PARTS))

    def first(self, n: int) -> Batch:
        """Return the first n sequences with their targets; views."""
        return self._only(slice(n))

    def singles(self) -> Iterator[Batch]:
        """Yield the sequences with their targets one by one, as batches of one; views."""
        for i in range(self.sequences):
            yield self._only(slice(i, i + 1))

    def select(self, chosen: Tensor) -> Batch:
        """Return the sequences at these positions, int64, with their targets; copies."""
        return self._only(chosen)

    def _only(self, which: slice | Tensor) -> Batch:
        """Return some of the sequences: views for a slice, copies for positions."""

        def rows(part: Any, dimension: int) -> Any:
            if isinstance(part, list):
                if dimension:
                    return [rows(step, 0) for step in part]
                return part[which] if isinstance(which, slice) else [part[i] for i in which.tolist()]
            if isinstance(which, Tensor):
                return part.index_select(dimension, which)
            return part[:, which] if dimension else part[which]

        return self._replace(
            x=mapped(lambda part: rows(part, 1), self.x),
            target=mapped(lambda part: rows(part, int(self.per_step)), self.target, PARTS),
        )

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device. Inputs that are expanded along the steps stay expanded: one step is moved."""

        def moved(part: Tensor) -> Tensor:
            return _along_steps(part, part[:1].to(device)) if _expanded(part) else part.to(device)

        return self._replace(x=mapped(moved, self.x), target=mapped(lambda part: part.to(device), self.target))

    def with_inputs_copied(self) -> Batch:
        """Return the batch with copied inputs; where inputs are expanded along the steps, one step is copied."""

        def copied(part: Tensor) -> Tensor:
            return _along_steps(part, part[:1].clone()) if _expanded(part) else part.clone()

        return self._replace(x=mapped(copied, self.x))


def target_rows(target: Tree, steps: int, per_step: bool) -> Tree:
    """Return a target row for each step and sequence of a window, in the order of `numerics.trees.rows`.

    Args:
        target: the target of the window, as in `Batch`.
        steps: k, the number of steps of the window.
        per_step: whether there is a target at each step; otherwise each step has the target of its sequence.
    """

    def every(part: Tensor | list) -> Tensor | list:
        if isinstance(part, Tensor):
            return part.flatten(0, 1) if per_step else part.repeat(steps, *(1,) * (part.dim() - 1))
        return [row for step in part for row in step] if per_step else part * steps

    return mapped(every, target, PARTS)


def _expanded(x: Tensor) -> bool:
    """Whether all steps of x [steps, batch, ...] share the memory of one step."""
    return x.stride(0) == 0 and len(x) > 1


def _along_steps(x: Tensor, first: Tensor) -> Tensor:
    return first.expand(len(x), *first.shape[1:])
