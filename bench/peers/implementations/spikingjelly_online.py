"""spikingjelly: OTTT by `OTTTLIFNode` and `GradwithTrace`, SLTT by `SLTTLIFNode`, on a recurrent layer of our LIF.

The library trains layers in series; here the layer also reads its spikes of the step before. `GradwithTrace` sends the
spikes forward and differentiates at their trace, â_t = (1 − 1/τ) â_{t−1} + z_t, which the node computes for its spikes
and `track_trace` for the input. As in `spikingjelly_lif.py` a reset by 1/α in place of 1 makes the node our LIF in
units of θ; the part beyond 1 is subtracted after the step. The bias is a synapse with an input of 1, since the library
gives a bias no trace. The loop over the steps is the library's.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.learning import online_learning
from torch import Tensor, nn

from throughtime.peers.implementations.unrolled import Triangle
from throughtime.peers.job import Question


class RecurrentNodes(nn.Module):
    """One step of the network; between steps it holds spikes and traces."""

    def __init__(self, question: Question, rule: Literal["ottt", "sltt"]) -> None:
        super().__init__()
        size, self.α, self.θ, _ = question.lif()
        ours = question.network
        self.traced = rule == "ottt"
        kind = neuron.OTTTLIFNode if self.traced else neuron.SLTTLIFNode
        self.node = kind(
            1 / (1 - self.α), decay_input=True, v_threshold=1.0, v_reset=None, surrogate_function=Triangle.apply
        )
        W, R, readout = ours.layers[0].inward, ours.layers[0].recurrent, ours.readouts[0].linear
        self.inward = nn.Linear(W.in_features + 1, size, bias=False)
        self.recurrent = nn.Linear(size, size, bias=False)
        self.readout = nn.Linear(size, readout.out_features)
        self.to(W.weight.dtype)
        with torch.no_grad():
            self.inward.weight.copy_(torch.cat((W.weight, W.bias[:, None]), 1) / self.θ)
            self.recurrent.weight.copy_(R.weight / self.θ)
            self.readout.load_state_dict(readout.state_dict())
        self.reset(question.batch.x[0])

    def reset(self, x: Tensor) -> None:
        """Begin a sequence; x is an input of a step, [batch, inputs]."""
        functional.reset_net(self.node)
        self.z = self.z_trace = x.new_zeros(len(x), self.recurrent.in_features)
        self.x_trace = x.new_zeros(len(x), self.inward.in_features)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((x, x.new_ones(len(x), 1)), 1)
        z_before = self.z.detach()
        if self.traced:
            self.x_trace = self.node.track_trace(x, self.x_trace, self.node.tau)
            I = layer.GradwithTrace(self.inward)([x, self.x_trace])
            I = I + layer.GradwithTrace(self.recurrent)([z_before, self.z_trace])
            self.z, self.z_trace = self.node(I)
        else:
            self.z = self.node(self.inward(x) + self.recurrent(z_before))
        self.node.v = self.node.v - (1 / self.α - 1) * self.z.detach()
        return self.readout(self.z)


class SpikingJellyOnline:
    """The library's training of a batch with an update at its end, by Adam."""

    def __init__(self, question: Question, rule: Literal["ottt", "sltt"]) -> None:
        x, target, _ = question.batch
        self.model, self.x, self.target = RecurrentNodes(question, rule), x, target
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=question.training.learning_rate, fused=True)

    def once(self) -> object:
        self.model.reset(self.x[0])
        x, target = self.x.transpose(0, 1), self.target[:, None].expand(-1, len(self.x))
        return online_learning.ottt_online_training(self.model, self.optimiser, x, target, self.loss, online=False)

    def loss(self, y: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(y, target) / len(self.x)

    def answer(self) -> dict[str, Tensor]:
        self.model.reset(self.x[0])
        with torch.no_grad():
            outputs = torch.stack([self.model(x) for x in self.x])
        self.once()
        by = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        grad_inward = by["inward.weight"] / self.model.θ
        return {
            "outputs": outputs,
            "layers.0.inward.weight": grad_inward[:, :-1],
            "layers.0.inward.bias": grad_inward[:, -1],
            "layers.0.recurrent.weight": by["recurrent.weight"] / self.model.θ,
            "readout.linear.weight": by["readout.weight"],
            "readout.linear.bias": by["readout.bias"],
        }


ottt, sltt = (partial(SpikingJellyOnline, rule=name) for name in ("ottt", "sltt"))
