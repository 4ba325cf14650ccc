"""Integrators: neurons of readouts. They do not spike, and their output is their membrane, z_t = v_t = y_t."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.gate import Gate, dense
from throughtime.numerics.equations.operations import absolute, exp, σ


class IntegratorState(NamedTuple):
    """y twice, as v and as z, [batch, *shape]."""

    v: Tensor
    z: Tensor


class Integrator(Neuron):
    """Base of integrators, which begin at 0.

    Attributes:
        decay: κ, if the leak is one constant number; else None.
    """

    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True
    decay: float | None = None

    def initial_state(self, batch: int, like: Tensor) -> Any:
        y = like.new_zeros(batch, *self.shape)
        return IntegratorState(y, y)

    def pack(self, state: Any) -> Any:
        """Return the state without repetition: y alone, if v_t = z_t = y_t."""
        return state.z

    def unpack(self, y: Any) -> Any:
        """Return the state of which `pack` returns y."""
        return IntegratorState(y, y)


class LeakyIntegrator(Integrator):
    """Integrator with a constant leak: y_t = κ y_{t−1} + (1 − κ) I_t.

    On spikes, with κ = exp(−1/τ), it is the leaky integrator of Bellec et al. 2020, equation 11, scaled as in their
    tutorials; on membranes, with κ = 0, the linear membrane readout of the adding task of Yin, Corradi and Bohte 2023.
    Cost: 3 elementwise operations per step.

    Args:
        shape: neurons, their number or their arrangement.
        decay: κ; 0: no memory, y_t = I_t.
    """

    decay: float

    def __init__(self, shape: Shape, *, decay: float) -> None:
        super().__init__(shape)
        self.decay = decay

    def step(self, I: Tensor, s: IntegratorState) -> IntegratorState:
        y = I + self.decay * (s.v - I)
        return IntegratorState(y, y)

    def filtered(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y of all steps for inputs x [steps, batch, n] and the y before them, for any n and without a graph."""
        if not self.decay:
            return x
        ys = torch.empty_like(x)
        for x_t, y_t in zip(x.unbind(0), ys.unbind(0), strict=True):
            y = torch.lerp(x_t, y, self.decay, out=y_t)
        return ys


class GatedIntegrator(Integrator):
    """Integrator that computes the leak of each neuron at each step.

        λ_t = σ(κ₃ (W_τ [I_t ; y_{t−1}] + b_τ))
        y_t = y_{t−1} + λ_t (I_t − y_{t−1})

    Initial values: W_τ by Glorot's normal rule, b_τ = 0; the slope κ₃ starts at 1. Cost per step: a product with a
    [size, 2 size] matrix and 8 elementwise operations. Source: Yin, Corradi and Bohte 2023, as released (S-MNIST; with
    a fixed slope, DVS Gesture).

    Args:
        shape: neurons, their number or their arrangement.
        trained_slope: whether κ₃ is trained; if not, it is not a parameter.
    """

    elementwise: ClassVar[bool] = False

    def __init__(self, shape: Shape, *, trained_slope: bool = True) -> None:
        super().__init__(shape)
        self.gate = dense((2 * self.shape[0], *self.shape[1:]), self.shape)
        nn.init.xavier_normal_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.gates["λ"] = Gate("gate", "v")
        self.slope: Any = nn.Parameter(torch.ones(())) if trained_slope else 1.0

    def step(self, I: Tensor, s: IntegratorState, g: Any) -> IntegratorState:
        y = s.v + σ(self.slope * g.λ) * (I - s.v)
        return IntegratorState(y, y)


class TrainedIntegrator(Integrator):
    """Integrator with a trained time constant of each neuron.

        y_t = κ y_{t−1} + (1 − κ) I_t,      κ = exp(−1/|τ|)

    τ is drawn from a normal distribution of standard deviation 1, as in their experiments/ecg/ecg_train.py. Cost: 3
    elementwise operations per step. Source: Higuchi et al. 2024, as released (LICell of snn/modules/lif.py, whose own
    default is 5).

    Args:
        shape: neurons, their number or their arrangement.
        tau: mean of the initial τ, in steps.
    """

    def __init__(self, shape: Shape, *, tau: float) -> None:
        super().__init__(shape)
        self.tau = nn.Parameter(tau + torch.randn(self.shape))

    def step(self, I: Tensor, s: IntegratorState) -> IntegratorState:
        y = I + exp(-1 / absolute(self.tau)) * (s.v - I)
        return IntegratorState(y, y)


class SigmoidIntegrator(Integrator):
    """Integrator whose leak is the sigmoid of a trained number of each neuron: y_t = y_{t−1} + σ(w) (I_t − y_{t−1}).

    w starts at 0. Cost: 3 elementwise operations per step. Source: Yin, Corradi and Bohte 2023, as released (the
    shallow network of DVS Gesture).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.w = nn.Parameter(torch.zeros(self.shape))

    def step(self, I: Tensor, s: IntegratorState) -> IntegratorState:
        y = s.v + σ(self.w) * (I - s.v)
        return IntegratorState(y, y)


class SynapticState(NamedTuple):
    """The synaptic current i, and y twice, as v and as z, [batch, *shape]."""

    i: Tensor
    v: Tensor
    z: Tensor


class SynapticIntegrator(Integrator):
    """Integrator with a constant leak of a current that decays: a synapse, then a membrane.

        i_t = γ i_{t−1} + I_t
        y_t = κ y_{t−1} + g i_{t−delay},      g = 1 − κ or, with gain: unit, 1

    Cost: 4 elementwise operations per step. Source, with `delay: 1` and `gain: unit`: the readout of SpyTorch (Neftci,
    Mostafa and Zenke 2019, tutorials 2 and 3).

    Args:
        shape: neurons, their number or their arrangement.
        leak: κ.
        synapse: γ.
        delay: steps after which y integrates a current, 0 or 1.
        gain: `leak` or `unit`.
    """

    def __init__(
        self, shape: Shape, *, leak: float, synapse: float, delay: int = 0, gain: Literal["leak", "unit"] = "leak"
    ) -> None:
        super().__init__(shape)
        self.leak, self.synapse, self.delay, self.gain = leak, synapse, delay, gain

    def initial_state(self, batch: int, like: Tensor) -> SynapticState:
        zeros = like.new_zeros(batch, *self.shape)
        return SynapticState(zeros, zeros, zeros)

    def pack(self, state: SynapticState) -> tuple[Tensor, Tensor]:
        return state.i, state.z

    def unpack(self, y: tuple[Tensor, Tensor]) -> SynapticState:
        return SynapticState(y[0], y[1], y[1])

    def step(self, I: Tensor, s: SynapticState) -> SynapticState:
        i = self.synapse * s.i + I
        integrated = s.i if self.delay else i
        y = self.leak * s.v + ((1 - self.leak) * integrated if self.gain == "leak" else integrated)
        return SynapticState(i, y, y)


class MaxState(NamedTuple):
    """The state u of the integrator, without repetition, as v, and the maximum y as z, [batch, *shape]."""

    v: Any
    z: Tensor


class MaxIntegrator(Integrator):
    """Maximum over time of what another integrator computes.

        y_t = max(y_{t−1}, u_t),      y_0 = −∞

    With a loss at the last step each output learns from the step of its maximum alone. Cost: one elementwise operation
    per step more. Source: Cramer et al. 2022, the maximum-over-time loss of the Heidelberg spiking datasets.

    Args:
        shape: neurons, their number or their arrangement.
        integrator: function from a shape to the integrator of u.
    """

    def __init__(self, shape: Shape, *, integrator: Callable[[Shape], Integrator]) -> None:
        super().__init__(shape)
        self.integrator = integrator(shape)

    def initial_state(self, batch: int, like: Tensor) -> MaxState:
        u = self.integrator.initial_state(batch, like)
        return MaxState(self.integrator.pack(u), torch.full_like(u.z, -torch.inf))

    def pack(self, state: MaxState) -> MaxState:
        return state

    def unpack(self, y: MaxState) -> MaxState:
        return y

    def forward(self, current: Tensor, state: MaxState) -> tuple[Tensor, MaxState]:
        u_t, u = self.integrator(current, self.integrator.unpack(state.v))
        y = torch.maximum(state.z, u_t)
        return y, MaxState(self.integrator.pack(u), y)
