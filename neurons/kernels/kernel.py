"""A neuron's window on buffers: the fast path, without autograd's graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch
from torch import Tensor

from throughtime.neurons.base import Derivative, Neuron
from throughtime.numerics.spike_product import SpikeProduct

AnyKernel = TypeVar("AnyKernel", bound="Kernel")


class Kernel(ABC):
    """One window of one layer: what `forward` and autograd compute, to rounding, in fewer operations and less memory.

        forward     for t = 0 ... T−1:     step(t):  I_t, z_{t−1}  ->  z_t;  what is kept may take the place of I_t
        backward    for t = T−1 ... 0:     back(t):  δz_t, δv_t    ->  δI_t takes the place of δz_t

    δs is ∂E/∂s; the kernel itself carries the gradient that reaches step t from t + 1 inside the neuron. A neuron with
    equations has the `GeneratedKernel`; `kernel_for` registers one that is written by hand. All tensors are
    [batch, size], those of a window [steps, batch, size]. One object serves one window; backward may run twice.

    Args:
        neuron: whose step it is.
        I: the window's slots; the currents come into them one by one.
        keep: whether there will be a way back, or `states` will be asked for.
        shows: fields of the state whose windows will be asked for, by `membranes` (v) or `states` (all).
    """

    def __init__(self, neuron: Neuron, I: Tensor, keep: bool, shows: Collection[str]) -> None:
        self.neuron, self.I, self.keep, self.shows = neuron, I, keep, shows
        self.reads_v = "v" in shows

    @abstractmethod
    def begin(self, state: Any, Z: Tensor) -> None:
        """The state before step 0, and the window that the spikes will be written into."""

    @abstractmethod
    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        """From I_t and z_{t−1} write z_t into `z`; I is slot t."""

    def run(self, t: int, z_before: Tensor, Z: Tensor, rows: Tensor) -> int:
        """Where the neuron has a compiled loop for it: take steps from t on, each from I_t and what the spikes z_{t−1}
        add to it, rows of `rows`, as long as they are few. All z are written into `Z`.

        Returns:
            The step that is next; t where nothing was done.
        """
        return t

    def take_steps(self, product: SpikeProduct, z_before: Tensor, Z: Tensor) -> None:
        """All steps of the window, I_t ← I_t + R z_{t−1} before each; `Z` is filled with the spikes."""
        t, z, I_steps, Z_steps = 0, z_before, self.I.unbind(0), Z.unbind(0)
        while t < len(Z):
            if product.rows is not None and not product.pause:
                t_next = self.run(t, z, Z, product.rows)
                if t_next > t:
                    t, z = t_next, Z_steps[t_next - 1]
                    continue
            self.step(t, product.add(I_steps[t], z), z, Z_steps[t])
            t, z = t + 1, Z_steps[t]

    @abstractmethod
    def end(self, z: Tensor) -> Any:
        """The state after the last step, whose spikes are z, in memory of its own."""

    def own(self, s: Tensor) -> Tensor:
        """Something of the last step in memory of its own, for the window's would live as long as the state; where the
        window is that step it is its own."""
        return s.detach() if self.I.shape[0] == 1 else s.clone()

    @abstractmethod
    def membranes(self) -> Tensor:
        """v of all steps, after the last one; asked for where `reads_v`."""

    def states(self, z: Tensor) -> Any:
        """The states after all steps, [steps, batch, size], whose spikes are z; asked for in place of the way back,
        where `keep` and `reads_v`. Where a kernel does not have this, whoever needs it takes the neuron's own steps."""
        raise NotImplementedError

    @abstractmethod
    def begin_back(self, δ: Any, z: Tensor, to_state: bool, δZ: Tensor) -> None:
        """δ of the state after the last step, whose v and z come with that step's; all spikes, as bytes; whether δ of
        the state before step 0 will be asked for; and the window of which `back` gets δz_t step by step."""

    @abstractmethod
    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        """From δz_t and δv_t, of all that reads them outside of the neuron, make δI_t in the memory of δz."""

    @abstractmethod
    def state_gradient(self) -> Any:
        """δ of the state before step 0, without what z sends through synapses."""

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        """Of what the neuron learns itself, by name."""
        return {}


def slots(like: Tensor, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Memory for something of each step, like a window: the window and its steps. Where nothing is to be kept two steps
    take turns in it: a step never writes over the one before, which it reads."""
    window = torch.empty_like(like if keep else like[:2])
    steps = window.unbind(0)
    return window, steps if keep else tuple(steps[t % len(steps)] for t in range(len(like)))


def number_or_tensor(constant: Derivative) -> Derivative:
    """A constant of one element as a number, which operations take along; on other devices than the processor asking
    for it would mean waiting, and it stays a tensor."""
    if not isinstance(constant, Tensor):
        return constant
    return constant.item() if constant.numel() == 1 and constant.device.type == "cpu" else constant


KERNELS: dict[type[Neuron], type[Kernel]] = {}
"""The kernel of each neuron class that has one."""


def kernel_for(neuron: type[Neuron]) -> Callable[[type[AnyKernel]], type[AnyKernel]]:
    """Register the decorated class as the kernel of this neuron class."""

    def register(kernel: type[AnyKernel]) -> type[AnyKernel]:
        KERNELS[neuron] = kernel
        return kernel

    return register
