"""Leaky integrate-and-fire."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.refractory import refractory
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
from throughtime.neurons.time_constant import decay
from throughtime.registry import neuron


class LIFState(NamedTuple):
    """Membrane potential and spikes, [batch, size]."""

    v: Tensor
    z: Tensor


class RefractoryLIFState(NamedTuple):
    """LIFState, and the steps that remain of the refractory period."""

    v: Tensor
    z: Tensor
    r: Tensor


@neuron("lif", order=0)
class LIF(Neuron):
    """Leaky integrate-and-fire neuron, reset by subtraction.

        v_t = α v_{t−1} + (1 − α) I_t − z_{t−1} θ        α = exp(−1/τ)
        z_t = H((v_t − θ) / θ)

    With `input_gain: unit` the input I_t has no factor 1 − α; with `reset: zero` the last term is α v_{t−1} z_{t−1}.
    The gradient does not flow through the reset. Cost: 4 elementwise operations per step; state 2 × size numbers, 3
    with a refractory period. Source: Bellec et al. 2020, equations 6-8, in the form of LightLIF of their tutorials
    (1 − α on the input, no refractory period) with its τ of 20 steps; θ = 0.1 is our choice.

    Args:
        shape: neurons, their number or their arrangement.
        tau: membrane time constant τ, in steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`.
        threshold: θ, in the unit of the current.
        input_gain: factor of the input: `leak`, 1 − α, or `unit`, 1.
        reset: of the membrane after a spike: `subtract`, by θ, or to `zero`.
        refractory: refractory period n in steps: no spikes in the n − 1 steps after a spike (`refractory.py`).
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("lif")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Bellec et al. 2020: https://doi.org/10.1038/s41467-020-17236-y
    """

    elementwise: ClassVar[bool] = True
    reset_step, reset_gradient = "next_step", False
    alpha: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        tau: PositiveFloat = 20.0,
        tau_max: PositiveFloat | None = None,
        threshold: PositiveFloat = 0.1,
        input_gain: Literal["leak", "unit"] = "leak",
        reset: Literal["subtract", "zero"] = "subtract",
        refractory: NonNegativeInt = 0,
        surrogate: SurrogateOption = "triangle",
    ) -> None:
        super().__init__(shape)
        self.register_buffer("alpha", decay(self.shape, tau, tau_max))
        self.threshold, self.surrogate = threshold, surrogate
        self.input_gain, self.reset, self.refractory = input_gain, reset, refractory

    def initial_state(self, batch: int, like: Tensor) -> LIFState | RefractoryLIFState:
        zeros = like.new_zeros(batch, *self.shape)
        return RefractoryLIFState(v=zeros, z=zeros, r=zeros) if self.refractory else LIFState(v=zeros, z=zeros)

    def step(self, I: Tensor, s: Any) -> LIFState | RefractoryLIFState:
        α, θ = self.alpha, self.threshold
        v = s.v + (1 - α) * (I - s.v) if self.input_gain == "leak" else α * s.v + I
        v = v - constant(s.z) * (θ if self.reset == "subtract" else α * s.v)
        z = spike((v - θ) / θ, self.surrogate)
        return RefractoryLIFState(v, *refractory(z, s.r, self.refractory)) if self.refractory else LIFState(v, z)
