"""Mixed precision: matrix products of bfloat16 operands, everything else as it was.

A linear map, an nn.Linear of the network, is told once how its products are taken, by the harness as it builds a run:

    y = W x + c,      W and x rounded to bfloat16, the sum taken in float32, rounded to bfloat16 once, and added to c

and likewise of the products of its backward pass, δx = Wᵀ δy and δW = δy xᵀ. Weights, states, thresholds, surrogates,
gradients and the optimiser stay float32, and so does what no map is: sums over steps, norms, the traces of e-prop.
Spikes are exact in bfloat16. It has 8 bits where float32 has 24: operands are off by 2⁻⁹ of themselves at most.
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
    """The products of a map, for code that writes them out; in float32 they are PyTorch's own functions, but for maps
    of one input."""

    operand: Callable[[Tensor], Tensor]
    """What a product reads of a tensor; of weights taken once a window, for each step would do it again."""
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
        return torch.addcmul(c, x, W.t())  # one input: nothing is summed, and a product takes twice the time
    return F.linear(x, W, c)


FLOAT32 = Products(lambda x: x, _plain_linear, torch.matmul, torch.addmm)
"""As they are, whatever the dtype."""
BFLOAT16 = Products(_rounded, _linear, _matmul, _addmm)


class BFloat16Linear(nn.Linear):
    """An nn.Linear whose products have operands in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return _linear(x, self.weight, self.bias)


def products_of(map: nn.Linear) -> Products:
    """How a map's products are taken."""
    return BFLOAT16 if isinstance(map, BFloat16Linear) else FLOAT32


def in_precision(network: Any, precision: Precision) -> Any:
    """The network itself, whose maps from now on take their products so; its parameters stay the same tensors.

    Raises:
        ValueError: it has no nn.Linear to tell. Other modules, subclasses of nn.Linear among them, multiply by
            themselves and are left as they are.
    """
    if precision == "bfloat16":
        maps = [module for module in network.modules() if type(module) is nn.Linear]
        if not maps:
            raise ValueError("precision bfloat16: the network has no nn.Linear, whose products it is about")
        for map in maps:
            map.__class__ = BFloat16Linear
    return network
