"""A neuron's step and its adjoint written out on buffers: the fast path of a window, without autograd's graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from throughtime.neurons.base import Factor, Neuron
from throughtime.neurons.surrogate import SURROGATES

CHUNK = 32
"""Steps for which something is computed at once on the way back: few calls, and little scratch whatever T is."""


class Kernel(ABC):
    """One window of one layer: what `forward` and autograd compute, to rounding, in fewer operations and less memory.

        forward     for t = 0 ... T−1:     step(t):  I_t, z_{t−1}  ->  z_t;  what is kept takes the place of I_t
        backward    for t = T−1 ... 0:     back(t):  δz_t, δv_t    ->  δI_t takes the place of δz_t

    δs is ∂E/∂s; what reaches step t from t + 1 inside the neuron the kernel carries itself. A neuron offers a kernel by
    its class attribute `kernel`; one without goes step by step through autograd. All tensors are [batch, size], those
    of a window [steps, batch, size].

    Args:
        neuron: whose step it is.
        I: the window's slots; the currents come into them one by one.
        keep: whether there will be a way back.
        reads_v: whether `membranes` will be asked for.
    """

    kept: ClassVar[tuple[str, ...]] = ("I",)
    """Attributes that the way back reads: tensors, or None where there is nothing to keep."""

    def __init__(self, neuron: Neuron, I: Tensor, keep: bool, reads_v: bool) -> None:
        self.neuron, self.I, self.keep, self.reads_v = neuron, I, keep, reads_v
        self._h_from = len(I)
        self._h: tuple[Tensor, ...] = ()

    @abstractmethod
    def begin(self, state: Any) -> None:
        """The state before step 0."""

    @abstractmethod
    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        """From I_t and z_{t−1} write z_t into `z`; I is slot t."""

    @abstractmethod
    def end(self, z: Tensor) -> Any:
        """The state after the last step, whose spikes are z, in memory of its own."""

    @abstractmethod
    def membranes(self) -> Tensor:
        """v of all steps, after the last one; asked for where `reads_v`."""

    @abstractmethod
    def x(self, begin: int, end: int) -> Tensor:
        """What z = H(x) was taken of, in some steps, from what is kept."""

    @abstractmethod
    def begin_back(self, δ: Any) -> None:
        """δ of the last state, without its v and z, which come with δv and δz of the last step."""

    @abstractmethod
    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        """From δz_t and δv_t, of all that reads them outside of the neuron, make δI_t in the memory of δz."""

    @abstractmethod
    def end_back(self) -> tuple[Any, dict[str, Tensor]]:
        """δ of the state before step 0, and of the neuron's parameters, by name."""

    def spikes(self, begin: int, end: int) -> Tensor:
        """z of some steps, made again."""
        x = self.x(begin, end)
        return torch.gt(x, 0, out=torch.empty_like(x))

    def h(self, t: int) -> Tensor:
        """The surrogate gradient h(x_t), on the way back; it is made for CHUNK steps at once."""
        if t < self._h_from:
            self._h_from = max(0, t + 1 - CHUNK)
            self._h = self.factor(SURROGATES[self.neuron.surrogate].h(self.x(self._h_from, t + 1))).unbind(0)
        return self._h[t - self._h_from]

    def factor(self, h: Tensor) -> Tensor:
        """Of [steps, batch, size] surrogate gradients what `h` shall give: h itself, or with a factor of the kernel."""
        return h


def add_product(sums: Tensor, factor: Factor, x: Tensor) -> Tensor:
    """sums ← sums + factor x, whether the factor is a number or a tensor."""
    return sums.addcmul_(x, factor) if isinstance(factor, Tensor) else sums.add_(x, alpha=factor)


def number_or_tensor(constant: Tensor) -> Factor:
    """A constant of one element as a number: operations then take it along."""
    return constant.item() if constant.numel() == 1 else constant


def kernel_of(neuron: Neuron) -> type[Kernel] | None:
    """The kernel of this neuron's own `forward`; None where there is none, or a subclass has another `forward`."""
    for kind in type(neuron).__mro__:
        if "kernel" in vars(kind):
            return kind.kernel
        if "forward" in vars(kind):
            return None
    return None
