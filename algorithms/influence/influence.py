"""Base of rules that carry the influence of the parameters on the state forward, for any network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.func import functional_call

from throughtime.algorithms.base import LearningRule, LossAt, check_update_every, output_error
from throughtime.algorithms.eligibility.blocks import accumulate
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree, mapped, tensors


class InfluenceRule(LearningRule):
    """Carries the influence M of the parameters θ on the state s of the network forward, or an estimate of it.

        M_t = (∂s_t/∂s_{t−1}) M_{t−1} + ∂s_t/∂θ,      M_0 = 0
        dE/dθ = Σ_t (∂E_t/∂s_{t−1}) M_{t−1} + ∂E_t/∂θ,      E = Σ_t E_t,  E_t = l_t/T;  or  E = E_T = l_T

    s is the whole state of the network, of all layers and the readout, for each sample. A window is one step. After an
    update M goes on, with derivatives at older weights.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
    """

    state: Any

    def __init__(self, *, loss_at: LossAt = "end", update_every: PositiveInt | None = None) -> None:
        check_update_every(update_every, loss_at)
        self.loss_at, self.update_every = loss_at, update_every

    @abstractmethod
    def carry(self, x: Tensor, after: Any, δ: Tensor | None) -> dict[str, Tensor]:
        """Advance the influence over a step from `state`; return the gradient of the step's loss, by parameters' names.

        Args:
            x: the input of the step, [batch, *inputs].
            after: the state after the step.
            δ: gradient of E by the output of the step, [batch, outputs]; None if the step has no loss.
        """

    def window(self, steps: int) -> int:
        return 1

    def updates(self, steps: int) -> int:
        """Return the number of updates in a sequence."""
        return -(-steps // self.update_every) if self.update_every else 1

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if network.mixes_samples:
            return "batch normalisation makes a sample's state depend on the other samples"
        if network.drops_out:
            return "each sample is followed alone, and dropout draws a mask for a whole batch"
        if again := {*dict(network.named_modules(remove_duplicate=False))} - {*dict(network.named_modules())}:
            return f"{min(again)} is a second name of a module, and each weight is followed under one name"
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            if any(s.requires_grad for s in tensors(network.initial_state(1))):
                return "the influence begins at 0, and the first state depends on trained parameters"
        return None

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.θ = {name: p for name, p in network.named_parameters() if p.requires_grad}

    def step(self, θ: dict[str, Tensor], s: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state [S] and the output [outputs] of one sample after a step with parameters θ, from the state s
        [S] and the input x [*inputs]."""
        like = mapped(lambda part: part[:1], self.state)  # the numbers of steps in it are those of now
        parts = iter(s.split([part.numel() for part in tensors(like)]))
        state = mapped(lambda part: next(parts).view_as(part), like)
        shown, after = functional_call(self.network, θ, (x[None], state))
        return flat(after)[0], flat(shown.output)[0]

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tree, t: int) -> Tensor | None:
        loss, δ = None, None
        shown, after = self.network(x[0], self.state)
        last, every = t + 1 == self.steps, self.loss_at == "every" or self.task.per_step
        if last or every:
            loss, δ_of = output_error(self.task, mapped(lambda y: y[None], shown.output), target)
            δ = flat(mapped(lambda part: part[0], δ_of))
            δ = δ / self.steps if every else δ
        for name, gradient in self.carry(x[0], after, δ).items():
            if (p := self.θ.get(name)) is not None:
                accumulate(p, gradient)
        self.state = after
        if last or (self.update_every and (t + 1) % self.update_every == 0):
            self.update()
        return loss

    def by_name(self, gradient: Tensor) -> dict[str, Tensor]:
        """Return a gradient by all parameters, [P], as one of the shape of each parameter, by name."""
        parts = gradient.split([p.numel() for p in self.θ.values()])
        return {name: g.view_as(p) for (name, p), g in zip(self.θ.items(), parts, strict=True)}


def flat(tree: Any) -> Tensor:
    """Return the tensors [batch, ...] of a tree side by side, [batch, numbers]."""
    return torch.cat([part.flatten(1) for part in tensors(tree)], 1)
