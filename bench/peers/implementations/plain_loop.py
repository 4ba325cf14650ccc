"""PyTorch without a library: the neuron's equations in a Python loop, differentiated by autograd."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Triangle, Unrolled, UnrolledJob
from throughtime.peers.job import Question


class PlainLoop(Unrolled):
    """LIF or ALIF by the equations in their docstrings."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        size, self.α, self.θ, self.adaptation = question.lif()
        self.recurrent = nn.Linear(size, size, bias=False)

    def recurrent_weight(self) -> Tensor:
        return self.recurrent.weight

    def forward(self, x: Tensor) -> Tensor:
        α, θ = self.α, self.θ
        drive, spikes = self.inward(x), []
        v = a = z = torch.zeros_like(drive[0])
        A: Tensor | float = θ
        for drive_t in drive.unbind(0):
            v = α * v + (1 - α) * (drive_t + self.recurrent(z)) - z.detach() * θ
            if self.adaptation is not None:
                ρ, β = self.adaptation
                a = ρ * a + (1 - ρ) * z
                A = θ + β * a
            z = Triangle.apply((v - A) / θ)
            spikes.append(z)
        return self.readout(torch.stack(spikes))


def build(question: Question) -> UnrolledJob:
    return UnrolledJob(question, PlainLoop(question))
