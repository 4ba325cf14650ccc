"""spikingjelly: `LIFNode`, soft reset, one step at a time with a recurrent product.

    H_t = V_{t−1} + (X_t − V_{t−1})/τ,      S_t = H(H_t − 1),      V_t = H_t − S_t

1/τ = 1 − α. Like norse's it resets in the step of the spike; 1/α in place of 1 makes it our LIF in units of θ, and is
all that is changed. Its recurrent container is not used: it indexes the sequence at each step, O(T²) backward.
"""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Triangle, Unrolled, UnrolledJob
from throughtime.peers.job import Question


class Node(neuron.LIFNode):
    """Its step, with the reset that is ours."""

    def single_step_functional_forward(self, inputs, states, **options):
        (x,), (v, *others) = inputs, states
        v = v + (x - v) / self.tau
        z = self.surrogate_function(v - self.v_threshold)
        v = v - z.detach() * self.taken_off
        return (z,), (v, *others)


class LIFLoop(Unrolled):
    """The loop that its documentation shows for a network with feedback."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        lif = question.network.layers[0].neuron
        α, self.θ = lif.alpha.item(), lif.threshold
        self.recurrent = nn.Linear(lif.size, lif.size, bias=False)
        self.node = Node(
            tau=1 / (1 - α), v_threshold=1.0, v_reset=None, surrogate_function=Triangle.apply, detach_reset=True
        )
        self.node.taken_off = 1 / α

    def scale(self) -> float:
        return 1 / self.θ

    def recurrent_weight(self) -> nn.Parameter:
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
