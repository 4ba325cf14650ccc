"""Rules, neurons and networks under both default types of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from throughtime.checks import tiny
from throughtime.checks.fact import Fact, Observed
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree, tensors
from throughtime.registry import Component

TYPES = ((torch.float64, torch.float64), (torch.float64, torch.float32), (torch.float32, torch.float32))
"""Pairs of torch's default type and the type of the network. All other facts are of float64 under float32."""
SHOWN = "3 pairs of types"


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default type in the context."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def in_both(computed: Callable[[Component, torch.dtype], Sequence[Tensor]]) -> Fact:
    """Return the fact whose value is the number of pairs of types with a tensor of another type than the network's, or
    not finite.

    Args:
        computed: returns tensors that a component computes with a network of a type.
    """

    def find(component: Component) -> Observed:
        faults = []
        for default, dtype in TYPES:
            with default_dtype(default):
                results = computed(component, dtype)
            wrong = sum(g.dtype != dtype or not bool(g.isfinite().all()) for g in results)
            faults += [f"{wrong} tensors of a network in {dtype} under {default}"] * (wrong > 0)
        return Observed(len(faults), "; ".join(faults).replace("torch.", "") or SHOWN)

    return Fact("works under both default types of torch", 0, find)


def window_tensors(
    network: Network, x: Tensor, loss: Callable[[Tree], Tensor], dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """Return the gradients of a loss of the outputs of a window by a network of a type, its outputs and last state."""
    trained = [p for p in network.to(dtype).parameters() if p.requires_grad]
    with tiny.seeded(11):
        window = network.unroll(x.to(dtype), network.initial_state(x.shape[1]))
    gradients = torch.autograd.grad(loss(window.steps()), trained, allow_unused=True, materialize_grads=True)
    return (*gradients, *tensors(window.outputs), *tensors(window.state))
