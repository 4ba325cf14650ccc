"""spikingjelly: `LIFNode`, soft reset, one step at a time with a recurrent product.

    H_t = V_{t−1} + (X_t − V_{t−1})/τ,      S_t = H(H_t − 1),      V_t = H_t − S_t

1/τ = 1 − α. Like norse's it resets in the step of the spike. A reset by 1/α in place of 1 is the only change; it makes
it our LIF in units of θ. Its recurrent container is not used: it indexes the sequence at each step, O(T²) backward.
"""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Triangle, Unrolled, UnrolledJob
from throughtime.peers.job import Question


class SpikingJellyNode(neuron.LIFNode):
    """`LIFNode` with the reset of our LIF: each spike subtracts `reset_by` from V."""

    reset_by: float

    def single_step_functional_forward(
        self, inputs: tuple[Tensor], states: tuple[Tensor, ...], **options: Any
    ) -> tuple[tuple[Tensor], tuple[Tensor, ...]]:
        (x,), (v, *others) = inputs, states
        v = v + (x - v) / self.tau
        z = self.surrogate_function(v - self.v_threshold)
        v = v - z.detach() * self.reset_by
        return (z,), (v, *others)


class LIFLoop(Unrolled):
    """The loop that its documentation shows for a network with feedback."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        size, α, self.θ, _ = question.lif()
        self.recurrent = nn.Linear(size, size, bias=False)
        self.node = SpikingJellyNode(
            tau=1 / (1 - α), v_threshold=1.0, v_reset=None, surrogate_function=Triangle.apply, detach_reset=True
        )
        self.node.reset_by = 1 / α

    def scale(self) -> float:
        return 1 / self.θ

    def recurrent_weight(self) -> Tensor:
        return self.recurrent.weight

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        drive, spikes = self.inward(x), []
        z = torch.zeros_like(drive[0])
        for drive_t in drive.unbind(0):
            z = self.node(drive_t + self.recurrent(z))
            spikes.append(z)
        return self.readout(torch.stack(spikes))


def build(question: Question) -> UnrolledJob:
    return UnrolledJob(question, LIFLoop(question))
