"""A neuron's step and its adjoint written out on buffers: the fast path of a window, without autograd's graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from throughtime.neurons.base import Derivative, Neuron
from throughtime.neurons.surrogate import SURROGATES, SurrogateName
from throughtime.numerics.spike_product import SpikeProduct

AnyKernel = TypeVar("AnyKernel", bound="Kernel")


class Kernel(ABC):
    """One window of one layer: what `forward` and autograd compute, to rounding, in fewer operations and less memory.

        forward     for t = 0 ... T−1:     step(t):  I_t, z_{t−1}  ->  z_t;  what is kept may take the place of I_t
        backward    for t = T−1 ... 0:     back(t):  δz_t, δv_t    ->  δI_t takes the place of δz_t

    δs is ∂E/∂s; what reaches step t from t + 1 inside the neuron the kernel carries itself. A neuron gets a kernel by
    `kernel_for`; one without goes step by step through autograd. All tensors are [batch, size], those
    of a window [steps, batch, size]. One object serves one window; the way back may be gone twice.

    Args:
        neuron: whose step it is.
        I: the window's slots; the currents come into them one by one.
        keep: whether there will be a way back, or `states` will be asked for.
        reads_v: whether `membranes` will be asked for.
    """

    def __init__(self, neuron: Neuron, I: Tensor, keep: bool, reads_v: bool) -> None:
        self.neuron, self.I, self.keep, self.reads_v = neuron, I, keep, reads_v

    @abstractmethod
    def begin(self, state: Any) -> None:
        """The state before step 0."""

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
    def begin_back(self, δ: Any, z: Tensor, to_state: bool) -> None:
        """δ of the state after the last step, whose v and z come with that step's; all spikes, as bytes; and whether δ
        of the state before step 0 will be asked for."""

    @abstractmethod
    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        """From δz_t and δv_t, of all that reads them outside of the neuron, make δI_t in the memory of δz."""

    @abstractmethod
    def state_gradient(self) -> Any:
        """δ of the state before step 0, without what z sends through synapses."""

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        """Of what the neuron learns itself, by name."""
        return {}


class Backward:
    """Something elementwise that each step needs on the way back, made for several steps at once: few calls, and
    scratch that stays in the caches whatever T is.

    Args:
        make: from the first step and the one after the last to [steps, batch, size].
        like: the window.
    """

    def __init__(self, make: Callable[[int, int], Tensor], like: Tensor) -> None:
        self.make, self.at_once = make, max(1, 2**16 // like[0].numel())
        self.begin, self.made = len(like), ()

    def __getitem__(self, t: int) -> Tensor:
        if t < self.begin:
            self.begin, self.made = max(0, t + 1 - self.at_once), ()  # the old ones give their memory to the new
            self.made = self.make(self.begin, t + 1).unbind(0)
        return self.made[t - self.begin]


def surrogate_factors(surrogate: SurrogateName, y: Tensor, θ: float, scale: Derivative) -> Backward:
    """scale h((y_t − θ) / θ) of all steps of y."""
    # Nothing here refers to the kernel, which keeps the result: a circle would be freed by the garbage collector alone.
    h = SURROGATES[surrogate].h
    return Backward(lambda begin, end: h((y[begin:end] - θ).div_(θ)).mul_(scale), y)


def slots(like: Tensor, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Memory for something of each step, like a window: the window and its steps. Where nothing is to be kept two steps
    take turns in it: a step never writes over the one before, which it reads."""
    window = torch.empty_like(like if keep else like[:2])
    steps = window.unbind(0)
    return window, steps if keep else tuple(steps[t % len(steps)] for t in range(len(like)))


def add_product(sums: Tensor, factor: Derivative, x: Tensor) -> Tensor:
    """sums ← sums + factor x, whether the factor is a number or a tensor."""
    return sums.addcmul_(x, factor) if isinstance(factor, Tensor) else sums.add_(x, alpha=factor)


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


def kernel_of(neuron: Neuron) -> type[Kernel] | None:
    """The kernel registered for exactly this class: a subclass may override the step, and registers its own."""
    return KERNELS.get(type(neuron))
