"""A PyTorch model that unrolls over all steps, and the computations with it; each library supplies the model."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime.peers.job import Question


class Unrolled(nn.Module):
    """W x of all steps in one product, a loop over the steps, a linear readout of all spikes in one product.

    Args:
        question: defines the sizes; `UnrolledJob` copies its weights through `matched`.
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        layer, readout = question.network.layers[0], question.network.readouts[0].linear
        self.inward = nn.Linear(layer.inward.in_features, layer.inward.out_features)
        self.readout = nn.Linear(readout.in_features, readout.out_features)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """x [steps, batch, inputs] -> outputs [steps, batch, outputs]."""

    @abstractmethod
    def recurrent_weight(self) -> Tensor:
        """Return the parameter that holds R."""

    def scale(self) -> float:
        """Return the ratio of its synaptic weights to ours: a library may have another unit of voltage."""
        return 1.0

    def matched(self) -> dict[str, tuple[Tensor, float]]:
        """Return, by our names, its parameters and their ratio to ours."""
        return {
            "layers.0.inward.weight": (self.inward.weight, self.scale()),
            "layers.0.inward.bias": (self.inward.bias, self.scale()),
            "layers.0.recurrent.weight": (self.recurrent_weight(), self.scale()),
            "readout.linear.weight": (self.readout.weight, 1.0),
            "readout.linear.bias": (self.readout.bias, 1.0),
        }


class UnrolledJob:
    """Cross-entropy at every step, backward, Adam: the same for every model."""

    def __init__(self, question: Question, model: Unrolled) -> None:
        x, target, _ = question.batch
        self.does, self.x, self.model = question.work.does, x, model.to(x.dtype)
        self.every = target.repeat(len(x))
        ours = dict(question.network.named_parameters())
        with torch.no_grad():
            for name, (parameter, scale) in model.matched().items():
                parameter.copy_(ours[name] * scale)
        self.optimiser = torch.optim.Adam(model.parameters(), lr=question.training.learning_rate, fused=True)

    def loss(self) -> Tensor:
        return F.cross_entropy(self.model(self.x).flatten(0, 1), self.every)

    def once(self) -> object:
        if self.does == "evaluate":
            with torch.no_grad():
                return self.model(self.x)
        loss = self.loss()
        if self.does == "train":
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
        return loss

    def answer(self) -> dict[str, Tensor]:
        with torch.no_grad():
            tensors = {"outputs": self.model(self.x)}
        if self.does != "evaluate":
            self.loss().backward()
            for name, (parameter, scale) in self.model.matched().items():
                assert parameter.grad is not None
                tensors[name] = parameter.grad * scale
        return tensors


class Triangle(torch.autograd.Function):
    """H(x), whose gradient is 0.3 max(0, 1 − |x|)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (0.3 * torch.relu(1 - x.abs()))
