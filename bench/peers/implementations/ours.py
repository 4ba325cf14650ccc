"""Our implementation, through the public API: a network, a rule, an updater."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.numerics.flat import flatten
from throughtime.peers.job import Question


class Ours:
    """Learns or evaluates one batch repeatedly."""

    def __init__(self, question: Question) -> None:
        self.question, self.network, self.batch = question, question.network, question.batch
        flatten([p for p in self.network.parameters() if p.requires_grad])  # as in `harness.build`
        self.rule = question.rule()
        self.rule.start(self.network, question.task, question.work.steps)
        self.trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        self.update = Updater([*self.trained.values()], question.training, Clock())

    def once(self) -> object:
        return {"forward": self.loss, "stored": self.loss, "evaluate": self._outputs}.get(
            self.question.work.does, self._learn
        )()

    def _learn(self) -> None:
        if self.question.work.does not in ("fptt", "adding"):
            learn_batch(self.rule, self.batch, self.update)
            return
        t = 0
        torch.manual_seed(2)  # draws the initial state
        self.rule.begin(self.question.work.batch, self.update)
        for window in self.rule.windows(self.question.work.steps):
            if t == len(self.batch.x) or t + window == self.question.work.steps:
                break  # the last part is not trained on
            self.rule.learn(self.batch.x[t : t + window], self.batch.target, t)
            t += window
        self.rule.end()

    def loss(self) -> Tensor:
        self.rule.begin(self.question.work.batch, self.update)
        loss = self.rule.window_loss(self.batch.x, self.batch.target, "every")
        self.rule.end()
        return loss

    @torch.no_grad()
    def _outputs(self) -> Tensor:
        return self.network.unroll(self.batch.x, self.network.initial_state(self.question.work.batch)).outputs

    def answer(self) -> dict[str, Tensor]:
        work = self.question.work
        gradients: dict[str, Tensor] = {}
        if work.does in ("fptt", "adding"):
            for _ in range(self.question.sequences):
                self._learn()
            return {name: p.detach() for name, p in self.trained.items()}
        if work.does != "evaluate":
            learn_batch(self.rule, self.batch, lambda: gradients.update(self._gradients()))
        return {"outputs": self._outputs(), **gradients}

    def _gradients(self) -> dict[str, Tensor]:
        return {name: p.grad for name, p in self.trained.items() if p.grad is not None}


def build(question: Question) -> Ours:
    return Ours(question)
