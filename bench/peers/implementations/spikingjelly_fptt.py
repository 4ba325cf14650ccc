"""spikingjelly: `fptt_online_training`, FPTT as printed in the paper, with a second forward and backward pass a step.

Its regulariser is a mean over each tensor where ours, and the paper's, is a sum; its second pass starts from the state
after the first. The regulariser is 0 before the first update, so that update must equal ours. It has no auxiliary loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from spikingjelly.activation_based import base, functional
from spikingjelly.activation_based.learning import online_learning
from torch import Tensor, nn

from throughtime.peers.implementations.authors_form import SMNIST
from throughtime.peers.job import Question


class StatefulModule(base.MemoryModule):
    """The S-MNIST network as a module that stores its own state."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.step = SMNIST(question)
        for name in ("u", "b", "s", "o"):
            self.register_memory(name, 0.0)
        self.register_memory("t", 0)

    def begin(self, batch: int) -> None:
        self.u, self.b, self.s, self.o = self.step.initial_state(batch)
        self.t = 0

    def forward(self, x: Tensor) -> Tensor:
        log_p, (self.u, self.b, self.s, self.o) = self.step(x, (self.u, self.b, self.s, self.o), self.t)
        self.t += 1
        return log_p


class SpikingJellyFPTT:
    """`fptt_online_training` with our loss weights and clipping before each of its steps."""

    def __init__(self, question: Question) -> None:
        self.work, training = question.work, question.training
        self.x, y, _ = question.batch
        self.network, self.model = question.network, StatefulModule(question)
        weights = [*self.network.parameters()]

        max_norm = training.clip
        assert max_norm is not None

        def clip(*_: object) -> None:
            nn.utils.clip_grad_norm_(weights, max_norm)

        self.optimiser = torch.optim.Adamax(weights, lr=training.learning_rate)
        self.optimiser.register_step_pre_hook(clip)
        self.mean = online_learning.fptt_online_training_init_w_ra(self.optimiser)
        self.targets = [(y, (p + 1) / self.work.steps) for p in range(len(self.x))]

    def once(self) -> None:
        torch.manual_seed(2)
        functional.reset_net(self.model)
        self.model.begin(self.work.batch)
        online_learning.fptt_online_training(
            self.model, self.optimiser, self.x, self.targets, self.loss, alpha=0.1, w_ra=self.mean
        )

    @staticmethod
    def loss(log_p: Tensor, target: tuple[Tensor, float]) -> Tensor:
        y, w = target
        return w * F.nll_loss(log_p, y)

    def answer(self) -> dict[str, Tensor]:
        self.once()
        return {name: w.detach() for name, w in self.network.named_parameters()}


def build(question: Question) -> SpikingJellyFPTT:
    return SpikingJellyFPTT(question)
