"""The interface of kernels, which compute a window of a neuron on buffers, without autograd's graph."""

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
    """One window of one layer, equal to `forward` and autograd up to rounding, with fewer operations and less memory.

        forward     for t = 0 ... T−1:     step(t):  I_t, z_{t−1}  ->  z_t;  stored values may overwrite I_t
        backward    for t = T−1 ... 0:     back(t):  δz_t, δv_t    ->  δI_t overwrites δz_t

    δs is ∂E/∂s; the kernel itself carries the gradient that reaches step t from t + 1 inside the neuron. A neuron with
    equations has the `GeneratedKernel`; `kernel_for` registers a hand-written kernel. All tensors are [batch, size],
    those of a window [steps, batch, size]. An object is used for one window; backward may run twice.

    Args:
        neuron: the layer of neurons.
        I: memory for the currents of the window, which is filled step by step.
        keep: whether the backward pass or `states` will be called.
        shows: fields of the state that `membranes` (v) or `states` (all) will return for all steps.
    """

    def __init__(self, neuron: Neuron, I: Tensor, keep: bool, shows: Collection[str]) -> None:
        self.neuron, self.I, self.keep, self.shows = neuron, I, keep, shows
        self.reads_v = "v" in shows

    @abstractmethod
    def begin(self, state: Any, Z: Tensor) -> None:
        """Begin the window, from the state before step 0; `Z` is the memory for the spikes of all steps."""

    @abstractmethod
    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        """Compute z_t from I_t and z_{t−1} and write it to `z`; `I` is row t of the window."""

    def run(self, t: int, z_before: Tensor, Z: Tensor, rows: Tensor) -> int:
        """Take steps from t on in a compiled loop, if the neuron has one. A step adds the row of `rows` of each neuron
        that spiked at t − 1 to I_t; the loop ends when spikes are no longer sparse. All z are written to `Z`.

        Returns:
            The next step; t if no step was taken.
        """
        return t

    def take_steps(self, product: SpikeProduct, z_before: Tensor, Z: Tensor) -> None:
        """Take all steps of the window, with I_t ← I_t + R z_{t−1} before each; the spikes are written to `Z`."""
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
        """Return the state after the last step, whose spikes are z, in separate memory."""

    def own(self, s: Tensor) -> Tensor:
        """Return s of the last step in separate memory, since a view would keep the whole window alive; a window of one
        step needs no copy."""
        return s.detach() if self.I.shape[0] == 1 else s.clone()

    @abstractmethod
    def membranes(self) -> Tensor:
        """Return v of all steps; called after the last step if `reads_v`."""

    def states(self, z: Tensor) -> Any:
        """Return the states after all steps, [steps, batch, size], whose spikes are z; called instead of the backward
        pass if `keep` and `reads_v`. If a kernel does not implement it, the caller uses the neuron's `forward`."""
        raise NotImplementedError

    @abstractmethod
    def begin_back(self, δ: Any, z: Tensor, to_state: bool, δZ: Tensor) -> None:
        """Begin the backward pass.

        Args:
            δ: gradient of the state after the last step; its v and z are in δv and δz of that step.
            z: all spikes, as bytes.
            to_state: whether `state_gradient` will be called.
            δZ: the window whose rows δz_t `back` receives step by step.
        """

    @abstractmethod
    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        """Compute δI_t in the memory of δz, from δz_t and δv_t, which come from all readers outside the neuron."""

    @abstractmethod
    def state_gradient(self) -> Any:
        """Return the gradient of the state before step 0, without the contribution of z through synapses."""

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        """Return the gradients of the neuron's parameters, by name."""
        return {}


def slots(like: Tensor, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return memory for a value of each step, and the memory of each single step. Without `keep` the steps alternate
    between two rows, since a step reads the value of the step before it."""
    window = torch.empty_like(like if keep else like[:2])
    steps = window.unbind(0)
    return window, steps if keep else tuple(steps[t % len(steps)] for t in range(len(like)))


def number_or_tensor(constant: Derivative) -> Derivative:
    """Return a constant of one element as a number, which is cheaper in operations. On devices other than the CPU it
    stays a tensor, since reading it would synchronise."""
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
