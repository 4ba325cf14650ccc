"""Readouts: from the spikes or membranes of a layer to an output of the network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm


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
    ) -> None:
        super().__init__()
        self.reads, self.layer, self.name = reads, layer, name
        self.linear = nn.Linear(size, outputs)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm = norm

    def drive(self, o: Tensor, t: int) -> Tensor:
        """Compute d_t [batch, outputs] of step t, normalised if the readout has a norm."""
        d = self.linear(o)
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

    Initial values: W_τ by Glorot's normal rule, b_τ = 0; the slope κ₃ is trained and starts at 1. Source: Yin,
    Corradi and Bohte 2023, as released (S-MNIST).
    """

    decay: None
    gate: nn.Linear

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], **options: Any) -> None:
        super().__init__(size, outputs, reads, **options)
        self.decay, self.gate = None, nn.Linear(2 * outputs, outputs)
        nn.init.xavier_normal_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.slope = nn.Parameter(torch.ones(()))

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
