"""Mixed precision: matrix products of bfloat16 operands, and all other operations in float32.

The harness sets the precision of the products of each nn.Linear of the network when it builds a run:

    y = W x + c,      W and x rounded to bfloat16, the sum taken in float32, rounded to bfloat16 once, and added to c

and likewise for the products of the backward pass, δx = Wᵀ δy and δW = δy xᵀ. Weights, states, thresholds, surrogates,
gradients and the optimiser stay in float32, as do all operations outside linear maps: sums over steps, norms, and the
traces of e-prop. Spikes are exact in bfloat16. bfloat16 has 8 significant bits and float32 24: the relative rounding
error of operands is at most 2⁻⁹.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime.numerics.loops import is_instrumented

Precision = Literal["float32", "bfloat16"]


class Products(NamedTuple):
    """The products of a map, for code without nn.Linear; in float32 they are PyTorch's functions, except for maps with
    one input."""

    operand: Callable[[Tensor], Tensor]
    """Converts a tensor to an operand; for weights once per window, to avoid a conversion at each step."""
    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    """x, W, c  ->  W x + c, in the dtype of x."""
    matmul: Callable[..., Tensor]
    """a, b, out=None  ->  a b, in the dtype of a."""
    addmm: Callable[..., Tensor]
    """c, a, b, out=None  ->  c + a b, in the dtype of c."""


def _rounded(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16)


def _linear(x: Tensor, W: Tensor, c: Tensor | None) -> Tensor:
    y = F.linear(_rounded(x), _rounded(W)).to(x.dtype)
    return y if c is None else y + c


def _matmul(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    product = torch.matmul(_rounded(a), _rounded(b))
    return product.to(a.dtype) if out is None else out.copy_(product)


def _addmm(c: Tensor, a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    return torch.add(c, torch.mm(_rounded(a), _rounded(b)), out=out)


def _plain_linear(x: Tensor, W: Tensor, c: Tensor | None) -> Tensor:
    if W.shape[1] == 1 and c is not None and not is_instrumented():
        return torch.addcmul(c, x, W.t())  # one input: there is no sum, and a matrix product takes twice the time
    return F.linear(x, W, c)


FLOAT32 = Products(lambda x: x, _plain_linear, torch.matmul, torch.addmm)
"""Products in the dtype of the operands."""
BFLOAT16 = Products(_rounded, _linear, _matmul, _addmm)


class BFloat16Linear(nn.Linear):
    """An nn.Linear whose products have bfloat16 operands."""

    def forward(self, x: Tensor) -> Tensor:
        return _linear(x, self.weight, self.bias)


def products_of(map: nn.Linear) -> Products:
    """Return the products of a map."""
    return BFLOAT16 if isinstance(map, BFloat16Linear) else FLOAT32


def in_precision(network: Any, precision: Precision) -> Any:
    """Set the precision of the products of a network's maps; return the network, with the same parameters.

    Raises:
        ValueError: the network has no nn.Linear. Other modules, including subclasses of nn.Linear, compute their own
            products and are unchanged.
    """
    if precision == "bfloat16":
        maps = [module for module in network.modules() if type(module) is nn.Linear]
        if not maps:
            raise ValueError("precision bfloat16: the network has no nn.Linear, whose products it would change")
        for map in maps:
            map.__class__ = BFloat16Linear
    return network
