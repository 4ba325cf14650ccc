"""A learning rule for users' own training loops."""

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

    The rule decides when to update: BPTT once per batch, FPTT once per part of the sequence. The results are bit for
    bit those of a suite with the same network, rule, batches and optimiser.

    Args:
        network: a network that the rule supports.
        rule: a learning rule that no other learner uses.
        task: the task, which defines the loss: `Classification(10)`, or the task of a dataset.
        steps: T, the number of time steps of each sequence.
        clip: upper bound of the norm of the whole gradient at an update; None: no clipping.

    Raises:
        UsageError: the rule cannot train this network on this task; the message gives the reason.
    """

    def __init__(self, network: Network, rule: LearningRule, task: Task, steps: int, clip: float | None = None) -> None:
        if reason := rule.supports(network, task, steps):
            raise UsageError(reason)
        self.network, self.rule, self.task, self.steps, self.clip = network, rule, task, steps, clip
        rule.start(network, task, steps)
        self._trains = [(name, p, p.requires_grad) for name, p in network.named_parameters()]
        self._flat = Flat([*(p for p in network.parameters() if p.requires_grad), *rule.parameters()])

    def parameters(self) -> list[Tensor]:
        """Return the parameters of the network and of the rule itself (learnt feedback weights), for an optimiser.

        Parameters that are contiguous in memory are returned as one flat tensor, as in the runs of a suite, so that an
        update takes few operations. An optimiser over `network.parameters()`, for example with parameter groups, works
        too; its updates are the same up to rounding.
        """
        return list(self._flat.weights)

    def learn(self, x: Tree, target: Tree, optimiser: Optimizer) -> Tensor:
        """Train on one batch of sequences.

        Args:
            x: [steps, batch, inputs].
            target: [batch] classes or [batch, outputs] numbers; with a leading dimension `steps` where the task has a
                target at each step.
            optimiser: any torch optimiser that needs no closure, over `parameters()`, or over some of the
                network's own.

        Returns:
            The mean loss over the rule's windows, a scalar without a graph.

        Raises:
            ValueError: x has a different number of steps.
            UsageError: a parameter was frozen or unfrozen since this learner was made.
        """
        if changed := [name for name, p, trained in self._trains if p.requires_grad != trained]:
            what = f"requires_grad of {changed[0]} changed after its learner was made"
            raise UsageError(what, hint="set it before, or make a new Learner with a new rule")
        batch = Batch(x, target, self.task.per_step)
        if batch.steps != self.steps:
            raise ValueError(f"x has {batch.steps} steps; the learner expects {self.steps}")
        return learn_batch(self.rule, batch, lambda: self._update(optimiser))

    def _update(self, optimiser: Optimizer) -> None:
        """Clip, step and clear the gradients, whose memory the parameters and the flat tensors share."""
        flat, gradients = self._flat, self._flat.gradients()
        if self.clip is not None:
            clip_norm(gradients, self.clip)
        for w, gradient in zip(flat.weights, gradients, strict=True):
            w.grad = gradient
        optimiser.step()
        for p in (*flat.weights, *flat.parameters):
            p.grad = None
        increment_version(flat.parameters)  # a backward pass through an older graph is then refused
