"""A learning rule in a training loop of one's own."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Task
from throughtime.errors import UsageError
from throughtime.harness.batches import learn_batch
from throughtime.harness.updater import clip as clip_norm
from throughtime.networks.base import Network
from throughtime.numerics.flat import Flat
from throughtime.numerics.trees import Tree


class Learner:
    """Trains a network with a learning rule, batch by batch; the caller owns data and optimiser.

        learner = Learner(network, rule, task, steps=28)
        optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        for x, target in batches:
            loss = learner.learn(x, target, optimiser)

    The rule decides when to update: BPTT once a batch, FPTT once a part of the sequence. The numbers are those that a
    suite gets with the same network, rule, batches and optimiser, bit for bit.

    Args:
        network: one that the rule supports.
        rule: not used by another learner.
        task: the loss; `Classification(10)`, or that of a dataset.
        steps: T, the number of time steps of each sequence.
        clip: the largest norm of the whole gradient at an update; None: no clipping.

    Raises:
        UsageError: the rule cannot train this network on this task; the reason is given.
    """

    def __init__(self, network: Network, rule: LearningRule, task: Task, steps: int, clip: float | None = None) -> None:
        if reason := rule.supports(network, task, steps):
            raise UsageError(reason)
        self.network, self.rule, self.task, self.steps, self.clip = network, rule, task, steps, clip
        rule.start(network, task, steps)
        self._flat = Flat([*(p for p in network.parameters() if p.requires_grad), *rule.parameters()])

    def parameters(self) -> list[Tensor]:
        """The weights of the network, and of the rule itself (learnt feedback weights), for an optimiser.

        Parameters that lie next to each other in memory are one flat tensor, as in a suite's runs: an update is then
        few operations. An optimiser over `network.parameters()`, in groups for example, works too; its updates are the
        same up to rounding.
        """
        return list(self._flat.weights)

    def learn(self, x: Tree, target: Tree, optimiser: Optimizer) -> Tensor:
        """Learn one batch of sequences.

        Args:
            x: [steps, batch, inputs].
            target: as the task has it: [batch] classes or [batch, outputs] numbers; with `steps` in front where the
                task has a target at each step.
            optimiser: any torch optimiser that takes no closure, over `parameters()`, or over some of the
                network's own.

        Returns:
            The mean loss over the rule's windows, a scalar without a graph.

        Raises:
            ValueError: x has another number of steps.
        """
        batch = Batch(x, target, self.task.per_step)
        if batch.steps != self.steps:
            raise ValueError(f"x has {batch.steps} steps; the learner was made for {self.steps}")
        return learn_batch(self.rule, batch, lambda: self._update(optimiser))

    def _update(self, optimiser: Optimizer) -> None:
        """Clip, step, clear the gradients. The parameters and the flat tensors share the gradients' memory."""
        flat, gradients = self._flat, self._flat.gradients()
        if self.clip is not None:
            clip_norm(gradients, self.clip)
        for w, gradient in zip(flat.weights, gradients, strict=True):
            w.grad = gradient
        optimiser.step()
        for p in (*flat.weights, *flat.parameters):
            p.grad = None
        increment_version(flat.parameters)  # a backward pass through an older graph is then refused
