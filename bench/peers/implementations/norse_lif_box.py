"""norse: `lif_box_feed_forward_step`, which has no synaptic current, with a recurrent product.

    v_t = α v⁺_{t−1} + (1 − α) I_t,      z_t = H(v_t − 1),      v⁺_t = reset(v_t)

It resets in the step of the spike, and the subtracted voltage decays with v: subtracting 1/α makes it our LIF in units
of θ. norse's `LIFRecurrent` is another neuron: it resets v to 0, and a spike reaches v two steps later.
"""

from __future__ import annotations

import torch
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Unrolled, UnrolledJob
from throughtime.peers.job import Question


class LIFBox(Unrolled):
    """The layer with norse's triangle of height 0.3 as surrogate; the spike is held constant in the reset."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        size, α, self.θ, _ = question.lif()
        self.recurrent = nn.Linear(size, size, bias=False)
        dtype = question.batch.x.dtype
        self.p = LIFBoxParameters(
            tau_mem_inv=torch.tensor(1 - α, dtype=dtype),
            v_leak=torch.zeros((), dtype=dtype),
            v_th=torch.ones((), dtype=dtype),
            method="triangle",
            alpha=0.3,
            reset_method=lambda z, v, v_reset, v_th: v - z.detach() * (1 / α),
        )

    def scale(self) -> float:
        return 1 / self.θ

    def recurrent_weight(self) -> Tensor:
        return self.recurrent.weight

    def forward(self, x: Tensor) -> Tensor:
        drive, spikes = self.inward(x), []
        z = torch.zeros_like(drive[0])
        state = LIFBoxFeedForwardState(v=z)
        for drive_t in drive.unbind(0):
            z, state = lif_box_feed_forward_step(drive_t + self.recurrent(z), state, self.p, dt=1.0)
            spikes.append(z)
        return self.readout(torch.stack(spikes))


def build(question: Question) -> UnrolledJob:
    return UnrolledJob(question, LIFBox(question))
