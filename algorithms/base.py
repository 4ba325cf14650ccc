"""The contract of a learning rule, and the loss of a window, which several rules share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.datasets.batch import target_rows
from throughtime.datasets.task import Task
from throughtime.networks.base import Network, Stepper, Window
from throughtime.networks.products import backward_products
from throughtime.numerics.flat import Flat
from throughtime.numerics.trees import Tree, detached, last, mapped, rows, tensors

LossAt = Literal["end", "every"]
"""Steps with a loss where there is one target per sequence: the last step, or every step, averaged. A task with a
target at every step has a loss at every step."""


FORWARD_AND_BACKWARD = "dense products forward and backward"


class Claims(NamedTuple):
    """Properties that a rule claims and that checks measure."""

    gradient: Literal["exact", "truncated", "approximate"]
    memory: Literal["O(1)", "O(window)", "O(√T)", "O(T)"]
    """Growth of training memory with the sequence length T, without the input itself; O(window): memory grows with the
    length of the rule's longest window, and not with T where that length is fixed."""
    sets_weights: bool = False
    """Whether `end_epoch` sets the weights, for instance to a running mean; otherwise only `update` changes them."""
    carries: bool = False
    """Whether the gradients of a batch depend on the batches before by more than the weights, for instance through a
    running mean; otherwise checks compare each batch with a fresh rule's."""
    same_as: str = ""
    """Name of the registered rule whose updates this one makes; checks compare the two, and hold the identities of that
    rule against this one."""


class Observation(NamedTuple):
    """A quantity that a rule measures over an epoch, for the learning curve and the record."""

    value: float
    unit: str
    method: str


class LearningRule(ABC):
    """Assigns credit through time, one window of the sequence at a time.

    The harness owns the sequence and the optimiser. It calls `start` once; for each batch of sequences `begin`, then
    `learn` with one window after the other, then `end`; after each pass over the training data, `end_epoch`. The rule
    adds to the parameters' `.grad` and calls `update`, which clips, steps the optimiser and clears the gradients. A
    rule stores its state in its own attributes. The attributes between two batches go into checkpoints: a new rule in
    another process, after `start`, receives them and must continue exactly as this one (`docs/extending.md`).

    A rule is registered with `@algorithm("name")`; its options are the keyword-only parameters of its constructor.
    """

    claims: ClassVar[Claims]
    cost: Cost | None = None
    """Leading terms of time and memory, which checks measure; None if the rule does not state them."""
    state: Any
    """State of the network after the steps so far, without a graph; None between sequences."""
    stepper: Stepper | None = None
    """Takes the steps of a sequence in place of `advance`, if the rule called `single_steps`."""

    loss_at: LossAt = "end"
    """Steps with a loss, an option of most rules."""

    @abstractmethod
    def window(self, steps: int) -> int:
        """Return the length of the longest window, 1 ... steps, for sequences of `steps`."""

    def windows(self, steps: int) -> list[int]:
        """Return the lengths of all windows of a sequence, in order. The default: only the last may be shorter."""
        longest = self.window(steps)
        return [min(longest, steps - t) for t in range(0, steps, longest)]

    def spans(self, steps: int) -> list[range]:
        """Return the steps whose graph a gradient passes through, for each gradient; the state before them is constant.
        They are the windows, unless the rule computes steps again."""
        ends = list(accumulate(self.windows(steps)))
        return [range(end - k, end) for k, end in zip(self.windows(steps), ends, strict=True)]

    def window_weights(self, steps: int) -> Sequence[float]:
        """Return w_p of each window: the gradient of a truncated rule is Σ_p w_p ∂l_p/∂W, or 1/P of it, for P windows.
        The default: 1 for each."""
        return [1.0] * len(self.windows(steps))

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        """Return why the rule cannot train this network on this task with sequences of `steps`; None if it can."""
        return None

    def remark(self, network: Network) -> str | None:
        """Return a remark for tables on an approximation that the rule makes on this network only; None without one."""
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit | None:
        """Return the products and the memory traffic of credit assignment for one batch, which the time floor counts;
        None if unknown: the floor then counts the forward steps and one update.

        The default follows from the claims: an exact gradient with memory O(T) runs backward through each window. A
        rule that is derived from another and does less work must override this method, too.

        Args:
            network: a network that the rule supports; `start` need not have been called.
            batch: number of sequences.
            steps: steps of each sequence.
        """
        if self.claims.gradient == "exact" and self.claims.memory == "O(T)":
            products = backward_products(network, self.windows(steps), batch, self.losses)
            return Credit(products, f"{FORWARD_AND_BACKWARD}, as the rule claims")
        return None

    def coordinates(self) -> Coordinates | None:
        """Return the rule's position in the family of rules, which follows from its class and options; None if it does
        not state one."""
        return None

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        """Return the values of the symbols in `cost`: batch B, steps T, longest window L, state variables S and trained
        parameters P of the network. A rule whose cost depends on more extends this method.

        Args:
            network: a network that the rule supports; `start` need not have been called.
            batch: number of sequences.
            steps: steps of each sequence.
        """
        with torch.random.fork_rng(devices=[]):
            S = sum(s.shape[1:].numel() for s in tensors(network.initial_state(1)))
        P = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return {"B": batch, "T": steps, "L": self.window(steps), "S": S, "P": P}

    def losses(self, k: int) -> int:
        """Return the number of steps with a loss in a window of k steps."""
        every = self.loss_at == "every" or (hasattr(self, "task") and self.task.per_step)
        return k if every else 1

    def parameters(self) -> Sequence[nn.Parameter]:
        """Return the rule's own parameters, after `start`; the optimiser steps them with those of the network."""
        return ()

    def start(self, network: Network, task: Task, steps: int) -> None:
        """Prepare for training, before the first batch. Rules with state for the whole training extend this method."""
        self.network, self.task, self.steps = network, task, steps

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        """Start a new batch of sequences and reset the state. Rules with traces extend this method."""
        self.apply_update = update
        self.state = self.network.initial_state(batch)

    def update(self) -> None:
        """Update the parameters with their gradients; weights that the network holds at 0 stay there."""
        self.network.clear_held(lambda parameter: parameter.grad)
        self.apply_update()

    @abstractmethod
    def learn(self, x: Tree, target: Tree, t: int) -> Tensor | None:
        """Learn from one window of the sequence; may call `self.update`.

        Args:
            x: the steps t ... t + k − 1, [k, batch, inputs].
            target: as in `Batch`: the target of the sequence or, if the task is `per_step`, of the steps of the window.
            t: first step of the window.

        Returns:
            The loss of the window without regularisers, a scalar without a graph; None if the window has no loss.
        """

    def end(self) -> None:
        """End the sequence and release its state."""
        self.state, self.stepper = None, None

    def end_epoch(self) -> dict[str, Observation]:
        """End a pass over the training data; return the rule's measurements of the epoch, by name."""
        return {}

    def advance(self, x: Tree) -> Window:
        """Unroll the network over x from the current state, detached from earlier steps; advance the state.

        The returned window has no spikes: their memory would be held through the backward pass and would be as large as
        what that needs.
        """
        window = self.network.unroll(x, self.state)._replace(spikes=())
        self.state = detached(window.state)
        return window

    def single_steps(self) -> Stepper | None:
        """Return a stepper from the current state, for `begin` of a rule whose windows have one step; None if the
        network has no stepper."""
        learnt = [p for p in self.network.parameters() if p.requires_grad]
        return self.network.stepper(self.state, Flat(learnt).places())

    def window_gradient(self, x: Tree, loss_of: Callable[[Tree], Tensor]) -> tuple[Tree, Tensor]:
        """Advance over x, and add the gradient of a loss of the outputs [k, batch, outputs] to `.grad`.

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
        loss.backward()  # other tensors in the loss have their gradients, too
        if y.grad is not None:
            self.stepper.gradient(y.grad)
        return y.detach(), loss.detach()

    def window_loss(self, x: Tree, target: Tree, loss_at: LossAt) -> Tensor:
        """Advance over a window; return the loss of its outputs, with its graph."""
        return self.loss_of(self.advance(x).outputs, target, loss_at)

    def loss_of(self, outputs: Tree, target: Tree, loss_at: LossAt) -> Tensor:
        """Return the loss of a window's outputs, [k, batch, outputs]."""
        if loss_at == "end" and not self.task.per_step:
            return self.task.loss(last(outputs), target)
        return loss_over_steps(self.task, outputs, target)


def loss_over_steps(task: Task, outputs: Tree, target: Tree) -> Tensor:
    """Return l, the mean loss over the steps of a window, of outputs [k, batch, outputs] and the window's target."""
    return task.loss(rows(outputs), target_rows(target, len(tensors(outputs)[0]), task.per_step))


def check_update_every(update_every: int | None, loss_at: LossAt) -> None:
    """Check the option `update_every` of a rule.

    Raises:
        ValueError: there are updates before the first loss.
    """
    if update_every and loss_at == "end":
        raise ValueError(
            "update_every needs loss_at: every; with a loss at the end there is no gradient before the end"
        )


def output_error(task: Task, y: Tree, target: Tree) -> tuple[Tensor, Tree]:
    """Return l of `loss_over_steps` and δ = ∂l/∂y for outputs y [k, batch, outputs], without a graph."""
    with torch.enable_grad():
        y = mapped(lambda part: part.detach().requires_grad_(), y)
        loss = loss_over_steps(task, y, target)
        δ = iter(torch.autograd.grad(loss, tensors(y), allow_unused=True, materialize_grads=True))
    return loss.detach(), mapped(lambda _: next(δ), y)
