"""The contract of a learning rule, and the loss of one window that several rules share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.datasets.task import Task
from throughtime.networks.base import Network, Stepper, Window, detached
from throughtime.numerics.flat import Flat

LossAt = Literal["end", "every"]
"""Where the loss of a target that is one a sequence is taken: at the last step, or at every step and averaged. A task
that asks at every step has its loss at every step."""


class Claims(NamedTuple):
    """What a rule says of itself, and checks may hold against it."""

    gradient: Literal["exact", "truncated", "approximate"]
    memory: Literal["O(1)", "O(K)", "O(T)"]
    """Growth of training memory with the sequence length T, the input itself left out; K is the rule's window."""


class Learnt(NamedTuple):
    """What a rule reports of one window."""

    output: Tensor
    """[batch, outputs] after the window's last step, without a graph."""
    loss: Tensor | None
    """Scalar, without a graph: what the rule minimised here, regularisers left out; None if nothing."""


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
    stepper: Stepper | None = None
    """Takes the steps of a sequence in place of `advance`, where the rule asked for `single_steps`."""

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

    def parameters(self) -> Sequence[nn.Parameter]:
        """What the rule itself learns, after `start`: the optimiser steps it together with the network's."""
        return ()

    def start(self, network: Network, task: Task, steps: int) -> None:
        """Before the first batch: what is to be trained. A rule that keeps something for the whole training adds it."""
        self.network, self.task, self.steps = network, task, steps

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        """A new batch of sequences: state is zeroed. A rule with traces of its own adds them here."""
        self.update = update
        self.state: Any = self.network.initial_state(batch)

    @abstractmethod
    def learn(self, x: Tensor, target: Tensor, t: int) -> Learnt:
        """One window: x [k, batch, inputs] holds the steps t ... t + k − 1; may call `self.update`.

        `target` is that of the sequence or, where the task is `per_step`, those of the window, with k in front.
        """

    def end(self) -> None:
        """The sequence is over: let go of what was kept for it."""
        self.state = self.stepper = None

    def end_epoch(self) -> dict[str, Observation]:
        """The training data have been seen once more; returns what the rule measured of itself, by name."""
        return {}

    def advance(self, x: Tensor) -> Window:
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

    def window_gradient(self, x: Tensor, loss_of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Go on over x, and add to `.grad` the gradient of the loss that is made of the outputs [k, batch, outputs].

        Returns:
            The last output and the loss, without a graph.
        """
        if self.stepper is None:
            outputs = self.advance(x).outputs
            loss = loss_of(outputs)
            loss.backward()
            return outputs[-1].detach(), loss.detach()
        y = self.stepper.step(x[0]).requires_grad_()
        loss = loss_of(y[None])
        self.stepper.gradient(*torch.autograd.grad(loss, y))
        return y.detach(), loss.detach()

    def window_loss(self, x: Tensor, target: Tensor, loss_at: LossAt) -> tuple[Tensor, Window]:
        """`advance`, and the loss of what the window shows, with its graph."""
        window = self.advance(x)
        return self.loss_of(window.outputs, target, loss_at), window

    def loss_of(self, outputs: Tensor, target: Tensor, loss_at: LossAt) -> Tensor:
        """The loss of a window's outputs, [k, batch, outputs]."""
        if loss_at == "end" and not self.task.per_step:
            return self.task.loss(outputs[-1], target)
        return self.task.loss(outputs.flatten(0, 1), of_steps(self.task, target, len(outputs)))


def of_steps(task: Task, target: Tensor, k: int) -> Tensor:
    """The targets of all k steps of a window, a row each: as the outputs' first two dimensions flattened."""
    return target.flatten(0, 1) if task.per_step else target.repeat(k, *(1,) * (target.dim() - 1))


def output_error(task: Task, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """l, the mean over a window's steps, and δ = ∂l/∂y of its outputs y [k, batch, outputs], without a graph; `target`
    as the window has it."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        loss = task.loss(y.flatten(0, 1), of_steps(task, target, len(y)))
        (δ,) = torch.autograd.grad(loss, y)
    return loss.detach(), δ
