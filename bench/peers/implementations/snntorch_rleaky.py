"""snntorch: `RLeaky`, reset by subtraction.

    U_t = β U_{t−1} + I′_t + V S_{t−1} − R_t,      R_t = H(U_{t−1} − 1),      S_t = H(U_t − 1)

With U = v/θ, β = α, I′ = (1 − α)(W x + c)/θ and V = (1 − α) R/θ it is our LIF; both hold R_t constant in the gradient.
"""

from __future__ import annotations

import snntorch
import torch
from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Triangle, Unrolled, UnrolledJob
from throughtime.peers.job import Question


class RLeaky(Unrolled):
    """The neuron with its own recurrent map, but without the bias of that map."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        size, α, θ, _ = question.lif()
        self.g = (1 - α) / θ
        self.rleaky = snntorch.RLeaky(beta=α, threshold=1.0, linear_features=size, spike_grad=Triangle.apply)
        self.rleaky.recurrent = nn.Linear(size, size, bias=False)

    def scale(self) -> float:
        return self.g

    def recurrent_weight(self) -> Tensor:
        return self.rleaky.recurrent.weight

    def forward(self, x: Tensor) -> Tensor:
        drive, spikes = self.inward(x), []
        S = U = torch.zeros_like(drive[0])
        for drive_t in drive.unbind(0):
            S, U = self.rleaky(drive_t, S, U)
            spikes.append(S)
        return self.readout(torch.stack(spikes))


def build(question: Question) -> UnrolledJob:
    return UnrolledJob(question, RLeaky(question))
