"""Readouts: from the spikes or membranes of a layer to an output of the network."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.dropout import Dropout

TAU = 20.0
"""Default time constant of a leak, in steps."""


def decay_of(tau: float) -> float:
    """Return κ = exp(−1/τ), the decay in a step, of a time constant in steps; 0: no memory, κ = 0."""
    return math.exp(-1 / tau) if tau else 0.0


class Readout(nn.Module):
    """A linear map of a layer's spikes or membranes, d_t = W o_t + c, then a leaky integration over time.

    W is initialised by Glorot's normal rule, c by 0.

    Args:
        size: number of neurons of the layer.
        outputs: width of the output.
        reads: `z` or `v`, the field of the neurons' State that it reads.
        layer: name of the layer that it reads.
        name: key of its output in a network with several readouts.
        norm: normalisation of d_t, with the statistics of the time step.
        dropout: dropout of o_t.

    Attributes:
        decay: κ, if the readout is a leaky integrator with a constant leak; else None.
        gate: map that computes the leak at each step; None if there is none.
    """

    decay: float | None
    gate: nn.Linear | None

    def __init__(
        self,
        size: int,
        outputs: int,
        reads: Literal["z", "v"],
        *,
        layer: str,
        name: str = "readout",
        norm: StepBatchNorm | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        super().__init__()
        self.reads, self.layer, self.name, self.dropout = reads, layer, name, dropout
        self.linear = nn.Linear(size, outputs)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm = norm

    def drive(self, o: Tensor, t: int, key: int = 0) -> Tensor:
        """Compute d_t [batch, outputs] of step t from o_t, an image as a vector; normalised if the readout has a norm.

        Args:
            o: [batch, *shape].
            t: number of the step.
            key: key of the sequence, on which masks of dropout depend.
        """
        o = o if self.dropout is None else self.dropout(o, key, t)
        d = self.linear(o.flatten(1))
        return d if self.norm is None else self.norm(d, t)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state before the first step: the output y, [batch, outputs], unless a subclass needs more."""
        return self.linear.weight.new_zeros(batch, self.linear.out_features)

    def output(self, y: Tensor) -> Tensor:
        """Return the outputs [..., batch, outputs] that a state, or the states of several steps, contains."""
        return y

    @abstractmethod
    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        """Compute the state y_t from d_t and y_{t−1}, all [batch, outputs]."""

    def unroll(self, d: Tensor, y: Tensor) -> Tensor:
        """Compute y [steps, batch, outputs] of a window from d [steps, batch, outputs] and the y before it."""
        ys = []
        for d_t in d.unbind(0):
            y = self(d_t, y)
            ys.append(y)
        return torch.stack(ys)


class LeakyReadout(Readout):
    """Readout with a constant leak.

        y_t = κ y_{t−1} + (1 − κ) d_t,      y_0 = 0

    With o = z and κ = exp(−1/τ) it is the leaky integrator of Bellec et al. 2020, equation 11, scaled as in their
    tutorials; with o = v and κ = 0 the linear membrane readout of the adding task of Yin, Corradi and Bohte 2023.

    Args:
        decay: κ.
        options: `layer`, `name` and `norm` of `Readout`.
    """

    decay: float
    gate: None

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], decay: float, **options: Any) -> None:
        super().__init__(size, outputs, reads, **options)
        self.decay, self.gate = decay, None

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(d, y, self.decay)

    def unroll(self, d: Tensor, y: Tensor) -> Tensor:
        return super().unroll(d, y) if self.decay else d


class GatedReadout(Readout):
    """Readout that computes the leak of each output at each step.

        λ_t = σ(κ₃ (W_τ [d_t ; y_{t−1}] + b_τ))
        y_t = y_{t−1} + λ_t (d_t − y_{t−1}),       y_0 = 0

    Initial values: W_τ by Glorot's normal rule, b_τ = 0; the slope κ₃ starts at 1. Source: Yin, Corradi and Bohte 2023,
    as released (S-MNIST; with a fixed slope, DVS Gesture).

    Args:
        trained_slope: whether κ₃ is trained; if not, it is no parameter.
        options: `layer`, `name`, `norm` and `dropout` of `Readout`.
    """

    decay: None
    gate: nn.Linear
    slope: Tensor

    def __init__(
        self, size: int, outputs: int, reads: Literal["z", "v"], trained_slope: bool = True, **options: Any
    ) -> None:
        super().__init__(size, outputs, reads, **options)
        self.decay, self.gate = None, nn.Linear(2 * outputs, outputs)
        nn.init.xavier_normal_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        if trained_slope:
            self.slope = nn.Parameter(torch.ones(()))
        else:
            self.register_buffer("slope", torch.ones(()), persistent=False)

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        λ = torch.sigmoid(self.slope * self.gate(torch.cat((d, y), 1)))
        return torch.lerp(y, d, λ)


class TrainedReadout(Readout):
    """Readout with a trained leak of each output.

        y_t = κ y_{t−1} + (1 − κ) d_t,      κ = exp(−1/|τ|),      y_0 = 0

    τ is drawn from a normal distribution of standard deviation 1. A window takes log₂ T tensor operations, since
    y_t = Σ_s κ^s (1 − κ) d_{t−s} doubles its reach with each of them. Source: Higuchi et al. 2024, as released
    (snn/modules/li.py).

    Args:
        tau: mean of the initial τ, in steps.
        options: `layer`, `name` and `norm` of `Readout`.
    """

    decay: None
    gate: None

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], tau: float, **options: Any) -> None:
        super().__init__(size, outputs, reads, **options)
        self.decay, self.gate = None, None
        self.tau = nn.Parameter(tau + torch.randn(outputs))

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(d, y, torch.exp(-1 / self.tau.abs()))

    def unroll(self, d: Tensor, y: Tensor) -> Tensor:
        κ = torch.exp(-1 / self.tau.abs())
        ys = torch.cat(((κ * y)[None] + (1 - κ) * d[:1], (1 - κ) * d[1:]))
        reach = 1
        while reach < len(d):
            ys = torch.cat((ys[:reach], ys[reach:] + κ**reach * ys[:-reach]))
            reach *= 2
        return ys


class SigmoidReadout(Readout):
    """Readout whose leak is the sigmoid of a trained number of each output.

        y_t = y_{t−1} + σ(w) (d_t − y_{t−1}),       y_0 = 0

    w starts at 0. Source: Yin, Corradi and Bohte 2023, as released (the shallow network of DVS Gesture).
    """

    decay: None
    gate: None

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], **options: Any) -> None:
        super().__init__(size, outputs, reads, **options)
        self.decay, self.gate = None, None
        self.w = nn.Parameter(torch.zeros(outputs))

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(y, d, torch.sigmoid(self.w))


class GridReadout(Readout):
    """Linear map of the channels of an image at each of its positions, without a memory.

        y_t[p] = W o_t[p] + c       for each position p; a convolution with kernels of 1 x 1

    Args:
        shape: (channels, rows, columns) of the layer that it reads.
        outputs: channels of the output [batch, outputs, rows, columns].
        options: `layer`, `name` and `dropout` of `Readout`.
    """

    decay: None
    gate: None

    def __init__(self, shape: tuple[int, int, int], outputs: int, reads: Literal["z", "v"], **options: Any) -> None:
        super().__init__(shape[0], outputs, reads, **options)
        self.decay, self.gate, self.positions = None, None, shape[1:]

    def drive(self, o: Tensor, t: int, key: int = 0) -> Tensor:
        o = o if self.dropout is None else self.dropout(o, key, t)
        return self.linear(o.movedim(1, -1)).movedim(-1, 1).contiguous()

    def initial_state(self, batch: int) -> Tensor:
        return self.linear.weight.new_zeros(batch, self.linear.out_features, *self.positions)

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        return d

    def unroll(self, d: Tensor, y: Tensor) -> Tensor:
        return d


class MaxReadout(Readout):
    """Maximum over time of a readout with a constant leak.

        u_t = κ u_{t−1} + (1 − κ) d_t,      u_0 = 0
        y_t = max(y_{t−1}, u_t),            y_0 = −∞

    With a loss at the last step each output learns from the step of its maximum alone. The state holds y and u,
    [batch, 2, outputs]. Source: Cramer et al. 2022, the maximum-over-time loss of the Heidelberg spiking datasets.

    Args:
        leak: κ.
        options: `layer`, `name` and `norm` of `Readout`.
    """

    decay: None
    gate: None

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], leak: float, **options: Any) -> None:
        super().__init__(size, outputs, reads, **options)
        self.decay, self.gate, self.leak = None, None, leak

    def initial_state(self, batch: int) -> Tensor:
        u = super().initial_state(batch)
        return torch.stack((torch.full_like(u, -torch.inf), u), 1)

    def output(self, y: Tensor) -> Tensor:
        return y.select(-2, 0)

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        largest, u = y.unbind(1)
        u = torch.lerp(d, u, self.leak)
        return torch.stack((torch.maximum(largest, u), u), 1)
