"""The contract of a learning rule, and the loss of one window that several rules share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.credit import Credit
from throughtime.datasets.batch import target_rows
from throughtime.datasets.task import Task
from throughtime.networks.base import Network, Stepper, Window
from throughtime.networks.products import backward_products
from throughtime.numerics.flat import Flat
from throughtime.numerics.trees import Tree, detached, last, mapped, rows, tensors

LossAt = Literal["end", "every"]
"""Where the loss of a target that is one a sequence is taken: at the last step, or at every step and averaged. A task
that asks at every step has its loss at every step."""


THERE_AND_BACK = "dense products forward and backward"


class Claims(NamedTuple):
    """Properties that a rule claims and that checks measure."""

    gradient: Literal["exact", "truncated", "approximate"]
    memory: Literal["O(1)", "O(window)", "O(T)"]
    """Growth of training memory with the sequence length T, without the input itself; O(window): memory grows with the
    length of the rule's longest window, and not with T where that length is fixed."""
    sets_weights: bool = False
    """Whether `end_epoch` sets the weights, to a running mean for instance; all else moves them by `update` alone."""


class Observation(NamedTuple):
    """Something a rule measured of itself over an epoch; it goes into the learning curve and the record."""

    value: float
    unit: str
    method: str


class LearningRule(ABC):
    """Assigns credit through time, one window of the sequence at a time.

    The harness owns the sequence and the optimiser. It calls `start` once; for each batch of sequences `begin`, then
    `learn` with one window after the other, then `end`; after each pass over the training data, `end_epoch`. The rule
    adds to the parameters' `.grad` and calls `update`, which clips, steps the optimiser and clears the gradients. What
    a rule keeps between windows it keeps on itself. What is there between two batches goes into checkpoints: a fresh
    rule, started, is given it in another process, and must learn on as this one would have (`docs/extending.md`).

    A rule is registered with `@algorithm("name")`; its options are the keyword-only parameters of its constructor.
    """

    claims: ClassVar[Claims]
    state: Any
    """The network's state, without a graph, after the steps so far; None between sequences."""
    stepper: Stepper | None = None
    """Takes the steps of a sequence in place of `advance`, where the rule asked for `single_steps`."""

    loss_at: LossAt = "end"
    """An option of most rules."""

    @abstractmethod
    def window(self, steps: int) -> int:
        """Time steps the rule wants at once, 1 ... steps, for sequences of `steps`: its longest window."""

    def windows(self, steps: int) -> list[int]:
        """Lengths of all windows of a sequence, in order: each as long as the longest, the last with what is left."""
        longest = self.window(steps)
        return [min(longest, steps - t) for t in range(0, steps, longest)]

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        """Why the rule cannot train this network on this task with sequences of `steps`; None if it can."""
        return None

    def remark(self, network: Network) -> str | None:
        """What tables must say beside this rule's numbers on this network: an approximation it makes there, and not
        everywhere; None if nothing."""
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit | None:
        """The products and the memory traffic of the rule's credit assignment for one batch: the floor of a run's time
        counts them. None if they are not known: the floor then has the steps forward and one update.

        By default the claims decide: an exact gradient with memory O(T) goes backward through each window. A rule that
        is derived from another and does less than it overrides this, too.

        Args:
            network: one that the rule supports; it need not be started.
            batch: sequences.
            steps: of each.
        """
        if self.claims.gradient == "exact" and self.claims.memory == "O(T)":
            products = backward_products(network, self.windows(steps), batch, self.losses)
            return Credit(products, f"{THERE_AND_BACK}, as the rule claims")
        return None

    def losses(self, k: int) -> int:
        """Steps with a loss in a window of k steps."""
        every = self.loss_at == "every" or (hasattr(self, "task") and self.task.per_step)
        return k if every else 1

    def parameters(self) -> Sequence[nn.Parameter]:
        """What the rule itself learns, after `start`: the optimiser steps it together with the network's."""
        return ()

    def start(self, network: Network, task: Task, steps: int) -> None:
        """Before the first batch: what is to be trained. A rule that keeps something for the whole training adds it."""
        self.network, self.task, self.steps = network, task, steps

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        """A new batch of sequences: state is zeroed. A rule with traces of its own adds them here."""
        self.update = update
        self.state = self.network.initial_state(batch)

    @abstractmethod
    def learn(self, x: Tree, target: Tree, t: int) -> Tensor | None:
        """Learn from one window of the sequence; may call `self.update`.

        Args:
            x: the steps t ... t + k − 1, [k, batch, inputs].
            target: as in `Batch`: that of the sequence or, where the task is `per_step`, those of the window's steps.
            t: the window's first step.

        Returns:
            The loss that was minimised, regularisers left out: a scalar without a graph; None if there was none.
        """

    def end(self) -> None:
        """The sequence is over: let go of what was kept for it."""
        self.state, self.stepper = None, None

    def end_epoch(self) -> dict[str, Observation]:
        """The training data have been seen once more; returns what the rule measured of itself, by name."""
        return {}

    def advance(self, x: Tree) -> Window:
        """Unroll the network over x from the kept state, cut off from what came before; advance the kept state.

        The window comes without its spikes: held while the gradient goes back they would take as much memory as what
        it needs.
        """
        window = self.network.unroll(x, self.state)._replace(spikes=())
        self.state = detached(window.state)
        return window

    def single_steps(self) -> Stepper | None:
        """From the kept state on; for a rule whose windows are one step each, in `begin`. None where the network takes
        such windows as any others."""
        learnt = [p for p in self.network.parameters() if p.requires_grad]
        return self.network.stepper(self.state, Flat(learnt).places())

    def window_gradient(self, x: Tree, loss_of: Callable[[Tree], Tensor]) -> tuple[Tree, Tensor]:
        """Go on over x, and add to `.grad` the gradient of the loss that is made of the outputs [k, batch, outputs].

        Returns:
            The outputs of the last step, and the loss, without a graph.
        """
        if self.stepper is None:
            outputs = self.advance(x).outputs
            loss = loss_of(outputs)
            loss.backward()
            return detached(last(outputs)), loss.detach()
        y = self.stepper.step(x[0]).requires_grad_()
        loss = loss_of(y[None])
        self.stepper.gradient(*torch.autograd.grad(loss, y))
        return y.detach(), loss.detach()

    def window_loss(self, x: Tree, target: Tree, loss_at: LossAt) -> Tensor:
        """`advance` over a window; return the loss of its outputs, with its graph."""
        return self.loss_of(self.advance(x).outputs, target, loss_at)

    def loss_of(self, outputs: Tree, target: Tree, loss_at: LossAt) -> Tensor:
        """Return the loss of a window's outputs, [k, batch, outputs]."""
        if loss_at == "end" and not self.task.per_step:
            return self.task.loss(last(outputs), target)
        return loss_over_steps(self.task, outputs, target)


def loss_over_steps(task: Task, outputs: Tree, target: Tree) -> Tensor:
    """Return l, the mean loss over the steps of a window; outputs are [k, batch, outputs], `target` is the window's."""
    return task.loss(rows(outputs), target_rows(target, len(tensors(outputs)[0]), task.per_step))


def output_error(task: Task, y: Tree, target: Tree) -> tuple[Tensor, Tree]:
    """Return l of `loss_over_steps` and δ = ∂l/∂y of the outputs y [k, batch, outputs], without a graph."""
    with torch.enable_grad():
        y = mapped(lambda part: part.detach().requires_grad_(), y)
        loss = loss_over_steps(task, y, target)
        δ = iter(torch.autograd.grad(loss, tensors(y), allow_unused=True, materialize_grads=True))
    return loss.detach(), mapped(lambda _: next(δ), y)
