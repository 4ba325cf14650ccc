"""Backpropagation through time."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.algorithms.base import Claims, LearningRule, LossAt, Observation
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.spike_penalties import Penalties, checked_penalties, penalty_of
from throughtime.datasets.task import Classification, Task
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products
from throughtime.numerics.trees import Tree, detached, entries, last, mapped
from throughtime.registry import algorithm, or_default, refuse_unused


@algorithm("bptt", order=0, colour="#0173b2")
class BPTT(LearningRule):
    """Backpropagation through time: the gradient of the whole sequence, one update at its end.

        ΔW = −η ∂E / ∂W,     E = l_T  or  (1/T) Σ_t [w_t l_t + (1 − w_t) L_aux,t]
                             plus c Σ_j (f̄_j − f*)² with a rate cost, and the spike penalties

    The reference for the other rules: with the surrogate in place of the spike's derivative, no term is dropped. Time
    O(T) per sequence; memory O(T) for the activations of all steps. Source: Werbos 1990. The baselines of
    Yin, Corradi and Bohte 2023: `-Aux` is `loss_at: every, weights: ramp, total: sum, auxiliary: authors`, and `-IO` is
    the same with `backward: each_step`.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        weights: w_t for `every`: `equal`, 1; `ramp`, t/T at step t = 1 ... T.
        total: for `every`: `mean`, or `sum`: the sum in E has no factor 1/T, and the terms on spikes stay as they are;
            null: `mean`.
        auxiliary: L_aux, for classification with `ramp`: `off`; `authors`, as in `auxiliary_loss.py`, with a part for
            each step.
        auxiliary_uniform_epochs: number of first epochs in which the auxiliary distribution is uniform; null: 0.
        backward: `once`; or, for `every`, `each_step`: after each step, a backward pass of its loss to the start of the
            sequence. The gradient is the same, and the time O(T²).
        rate_cost: c of the firing-rate regularisation, where f̄_j is the mean of neuron j's spikes over batch and steps;
            null: none.
        rate_target: f*, spikes per neuron and step; null: 0.01.
        spike_penalties: terms on the number of spikes in a sequence, each c · mean_u [n_u − bound]₊^power; null: none.

    Raises:
        ValueError: an option has no effect without another; rate_cost or spike_penalties has backward: each_step;
            auxiliary has weights other than ramp.

    Example:
        >>> rule = tt.build_rule("bptt")
        >>> rule.claims.gradient, rule.claims.memory
        ('exact', 'O(T)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Werbos 1990: https://doi.org/10.1109/5.58337
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """

    claims = Claims(gradient="exact", memory="O(T)")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(
        self,
        *,
        loss_at: LossAt = "end",
        weights: Literal["equal", "ramp"] = "equal",
        total: Literal["mean", "sum"] | None = None,
        auxiliary: Literal["off", "authors"] = "off",
        auxiliary_uniform_epochs: NonNegativeInt | None = None,
        backward: Literal["once", "each_step"] = "once",
        rate_cost: PositiveFloat | None = None,
        rate_target: NonNegativeFloat | None = None,
        spike_penalties: Penalties | None = None,
    ) -> None:
        refuse_unused("rate_cost", rate_cost is not None, rate_target=rate_target)
        refuse_unused("backward: once", backward == "once", rate_cost=rate_cost, spike_penalties=spike_penalties)
        each_step, ramp = (backward if backward == "each_step" else None), (weights if weights == "ramp" else None)
        refuse_unused("loss_at: every", loss_at == "every", weights=ramp, total=total, backward=each_step)
        if auxiliary != "off" and weights != "ramp":
            raise ValueError("the auxiliary loss has weight 1 − t/T: it needs weights: ramp")
        refuse_unused("auxiliary: authors", auxiliary == "authors", auxiliary_uniform_epochs=auxiliary_uniform_epochs)
        self.loss_at, self.weights, self.total, self.backward = loss_at, weights, or_default(total, "mean"), backward
        self.auxiliary, self.auxiliary_uniform_epochs = auxiliary, or_default(auxiliary_uniform_epochs, 0)
        if backward == "each_step":
            self.cost = Cost(time="B T² P", memory="B L S + P")
        self.rate_cost, self.rate_target = rate_cost, or_default(rate_target, 0.01)
        self.spike_penalties = checked_penalties(spike_penalties)

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J", "all", "exact", "none", "end")

    def window(self, steps: int) -> int:
        return steps

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if (self.weights, self.total, self.backward) != ("equal", "mean", "once") and task.per_step:
            return "the losses of single steps (weights, total, backward) need one target per sequence"
        if self.auxiliary != "off" and not isinstance(task, Classification):
            return "the auxiliary loss is a distribution over the classes of a sequence: it needs classes"
        if (self.rate_cost or self.spike_penalties) and not (network.spiking and network.layers):
            return "the network has no spikes whose rate could be regularised"
        return super().supports(network, task, steps)

    def credit(self, network: Network, batch: int, steps: int) -> Credit | None:
        if self.backward == "once":
            return super().credit(network, batch, steps)
        products = backward_products(network, range(1, steps + 1), batch, lambda k: 1)
        return Credit(products, "dense products forward, and backward from each step to the first")

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.epoch, self.penalties = 0, list[float]()
        self.auxiliary_loss: AuxiliaryLoss | None = None
        if self.auxiliary == "authors" and isinstance(task, Classification):
            like = next(p for p in network.parameters() if p.requires_grad)
            self.auxiliary_loss = AuxiliaryLoss(task.classes, steps, self.auxiliary_uniform_epochs, like)

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor:
        if self.backward == "each_step":
            loss = self._gradient_step_by_step(x, target)
        elif self.rate_cost or self.spike_penalties:
            loss = self._regularised_gradient(x, target)
        else:
            _, loss = self.window_gradient(x, lambda outputs: self._loss(outputs, target))
        self.update()
        return loss

    def end_epoch(self) -> dict[str, Observation]:
        self.epoch += 1
        if not self.penalties:
            return {}
        mean, self.penalties = sum(self.penalties) / len(self.penalties), []
        return {"penalty": Observation(mean, "1", "spike penalties and rate cost, mean over the batches of an epoch")}

    def _loss(self, outputs: Tree, target: Tree) -> Tensor:
        """Return E of the outputs of a sequence, [steps, batch, outputs]."""
        if self.weights == "equal" and self.total == "mean":
            return self.loss_of(outputs, target, self.loss_at)
        return torch.stack([self._loss_of_step(k, y, target) for k, y in enumerate(entries(outputs))]).sum()

    def _loss_of_step(self, k: int, y: Tree, target: Tree) -> Tensor:
        """Return the term of E of the step t = k + 1, with outputs y [batch, outputs]."""
        w = (k + 1) / self.steps if self.weights == "ramp" else 1.0
        if self.auxiliary_loss is None:
            loss = w * self.task.loss(y, target)
        else:
            loss = self.auxiliary_loss.beside(w, y, target, k, self.epoch)
            self.auxiliary_loss.learn(y.detach(), target, k)
        return loss if self.total == "sum" else loss / self.steps

    def _gradient_step_by_step(self, x: Tree, target: Tree) -> Tensor:
        """Add the gradient of each step's term of E to `.grad`, with a backward pass to the start of the sequence;
        return E without a graph."""
        terms = []
        for k, x_k in enumerate(entries(x)):
            window = self.network.unroll(mapped(lambda part: part[None], x_k), self.state)
            self.state: Any = window.state
            loss = self._loss_of_step(k, last(window.outputs), target)
            loss.backward(retain_graph=k + 1 < self.steps)
            terms.append(loss.detach())
        self.state = detached(self.state)
        return torch.stack(terms).sum()

    def _regularised_gradient(self, x: Tree, target: Tree) -> Tensor:
        """Add the gradient of E with its terms on spikes; return the loss without them."""
        window = self.network.unroll(x, self.state)
        loss = self._loss(window.outputs, target)
        terms = penalty_of(self.spike_penalties, window.spikes)
        if self.rate_cost:
            excess = [spikes.mean((0, 1)) - self.rate_target for spikes in window.spikes]
            terms = terms + self.rate_cost * sum(e.square().sum() for e in excess)
        self.penalties.append(float(terms.detach()))
        (loss + terms).backward()
        return loss.detach()
