"""Trees: tensors in nested tuples, NamedTuples, lists and dicts, for states, inputs, outputs and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Tree = Any
"""A tensor, or a tuple, NamedTuple, list or dict of trees. A number or None in a tree is left unchanged."""


def mapped(function: Callable[..., Any], tree: Tree, leaves: type | tuple[type, ...] = Tensor) -> Any:
    """Return a tree with the function applied to each leaf, in the order of `tensors`.

    Args:
        function: maps a leaf to its replacement.
        tree: the tree, which is not modified.
        leaves: the types of leaves.
    """
    if isinstance(tree, leaves):
        return function(tree)
    if isinstance(tree, dict):
        return {key: mapped(function, part, leaves) for key, part in tree.items()}
    if not isinstance(tree, tuple | list):
        return tree
    parts = [mapped(function, part, leaves) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def tensors(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree, in a fixed order."""
    leaves: list[Tensor] = []
    mapped(leaves.append, tree)
    return leaves


def detached(tree: Tree) -> Any:
    """Return the tree with detached tensors."""
    return mapped(Tensor.detach, tree)


def last(tree: Tree) -> Any:
    """Return the last entry of each tensor along the first dimension, such as the last step."""
    return mapped(lambda tensor: tensor[-1], tree)


def rows(tree: Tree) -> Any:
    """Merge the first two dimensions of each tensor: [steps, batch, ...] to one row for each step and sequence."""
    return mapped(lambda tensor: tensor.flatten(0, 1), tree)


def entries(tree: Tree) -> list[Any]:
    """Return a tree for each entry of the first dimension. The gradient takes time O(entries), while that of indexed
    tensors takes O(entries²)."""
    parts = [tensor.unbind(0) for tensor in tensors(tree)]
    trees = []
    for leaves in zip(*parts, strict=True):
        leaf = iter(leaves)
        trees.append(mapped(lambda _, leaf=leaf: next(leaf), tree))
    return trees


def joined(trees: list[Any]) -> Any:
    """Concatenate trees of one structure along the first dimension of their tensors."""
    parts = iter([torch.cat(leaves) for leaves in zip(*map(tensors, trees), strict=True)])
    return mapped(lambda _: next(parts), trees[0])


def stacked(trees: Sequence[Any]) -> Any:
    """Stack trees of one structure along a new first dimension of their tensors. A single tree is not copied."""
    if len(trees) == 1:
        return mapped(lambda tensor: tensor[None], trees[0])
    parts = iter([torch.stack(leaves) for leaves in zip(*map(tensors, trees), strict=True)])
    return mapped(lambda _: next(parts), trees[0])


def nbytes(tree: Tree) -> int:
    """Return the bytes of the storages behind the tensors of a tree, each counted once: an expanded view counts as its
    base."""
    storages = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors(tree))}
    return sum(storage.nbytes() for storage in storages.values())
