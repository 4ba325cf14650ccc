"""Learning with presynaptic traces: the gradient within each step, with filtered inputs of the synapses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import Claims, LossAt
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.blocks import BlockRule, accumulate, below, gradient_of
from throughtime.algorithms.eligibility.layer_block import LayerBlock, StepGradient, Steps, step_gradient
from throughtime.algorithms.presynaptic_trace.filters import Filter, membrane_decay
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import Product
from throughtime.networks.trajectory import at_each_step
from throughtime.neurons.gate import is_dense
from throughtime.numerics.precision import FLOAT32
from throughtime.numerics.spike_product import add_weight_gradient
from throughtime.registry import algorithm

Decay = Annotated[float, Field(ge=0, lt=1)]
Within = Callable[[], StepGradient]


@algorithm("presynaptic_trace")
class PresynapticTrace(BlockRule):
    """A trace of the input of each synapse; the learning signal and all derivatives are those of one step.

        â^t = λ â^{t−1} + p^t,                 p = (x_t, z_{t−1}, 1)
        L^t = (1 − κ) Wᵀ_out ∂E/∂y_t           the last layer; others by the layers above them at the same step
        δI^t = (∂o_t/∂I_t)ᵀ L^t                the state before the step is a constant
        dE/dW = Σ_t δI^t â^t,                  E = (1/T) Σ_t l_t  or  l_T

    λ replaces the neuron's recursion: the rule drops the reset, the neuron's other state variables and all credit
    through other neurons at later steps. With λ = 0 it is SLTT; with λ the leak α of the membrane it is OTTT, which for
    LIF with `reset: subtract` and a readout without a leak equals e-prop. The readout learns by its exact gradient,
    trained parameters of the neurons by their gradient within the step. The synapses may be any modules that are linear
    in their weights, such as convolutions: the rule takes their vector-Jacobian product at â. Memory O(1) in T: a
    number per sample and source of a synapse, and some for each step of a block. Time: per step a product of the size
    of the layer for δI â, and one for the signal of the layer below. Sources: Xiao et al. 2022, section 4; Meng et al.
    2023, section 4.

    Args:
        decay: λ; null: the leak α = ∂v_t/∂v_{t−1} of each layer's membrane, which must be the same number for all its
            neurons and steps.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
        sampled_steps: k; the rule learns from k steps, drawn for each batch of sequences; null: from all.
        unbiased: whether the gradient of k sampled steps is multiplied by T/k, so that its mean is that of all steps.

    Raises:
        ValueError: update_every or sampled_steps has loss_at: end; unbiased has no sampled_steps.

    Example:
        >>> rule = tt.build_rule("presynaptic_trace", decay=0.9)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Xiao et al. 2022: https://doi.org/10.48550/arXiv.2210.04195
        Meng et al. 2023: https://doi.org/10.48550/arXiv.2302.14311
    """

    claims = Claims(gradient="approximate", memory="O(1)")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(
        self,
        *,
        decay: Decay | None = None,
        loss_at: LossAt = "every",
        update_every: PositiveInt | None = None,
        sampled_steps: PositiveInt | None = None,
        unbiased: bool = False,
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        if sampled_steps and loss_at == "end":
            raise ValueError("sampled_steps needs loss_at: every; the loss of the last step is one of them seldom")
        if unbiased and not sampled_steps:
            raise ValueError("unbiased would do nothing without sampled_steps")
        self.decay, self.sampled_steps, self.unbiased = decay, sampled_steps, unbiased

    def coordinates(self) -> Coordinates:
        base = Coordinates("presynaptic", "scalar", "own neuron", "instantaneous", "none", self.update_every or "end")
        return base._replace(recursion="none", scope="none") if self.decay == 0 else base

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        if self.decay is None:
            for layer in network.layers:
                if membrane_decay(layer.neuron) is None:
                    name = type(layer.neuron).__name__
                    return f"the derivative of the membrane of {name} by itself is no single number: decay must be one"
        return None

    def learnt(self, steps: int) -> list[int]:
        if not self.sampled_steps:
            return super().learnt(steps)
        # The draw decides on the blocks; the fewest products are those of full ones.
        k, longest = min(steps, self.sampled_steps), self.window(steps)
        return [min(longest, k - first) for first in range(0, k, longest)]

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        credit, learnt, reads = super().credit(network, batch, steps), self.learnt(steps), 0
        products: Counter[Product] = Counter()
        for layer in network.layers:
            for synapse in layer.synapses.values():
                if isinstance(W := synapse.module, nn.Linear):
                    products.update(Product(W.out_features, n * batch, W.in_features) for n in learnt)
                    reads += W.in_features
        itemsize = network.readouts[0].linear.weight.itemsize
        return credit._replace(
            products=credit.products + products,
            contains="dense products forward, learning signals, and a product of signal and trace each block",
            traces=0 if self.decay == 0 else batch * reads * itemsize,
            carries=len(self.windows(steps)) - 1,
        )

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.filters: dict[str, Filter] = {
            layer.name: Filter(self.decay_of(layer.neuron)) for layer in self.network.layers
        }
        if self.sampled_steps:
            self.sampled = torch.zeros(self.steps, dtype=torch.bool)
            self.sampled[self.drawn_steps(self.sampled_steps)] = True

    def drawn_steps(self, k: int) -> Tensor:
        """Draw the k steps from which the rule learns, without repetition."""
        return torch.randperm(self.steps)[:k]  # on the CPU: the same on every device

    def decay_of(self, neuron: Any) -> float:
        """Return λ of a layer of these neurons."""
        λ = membrane_decay(neuron) if self.decay is None else self.decay
        assert λ is not None, "`supports` rejects such a neuron"
        return λ

    def chosen(self, δ: Tensor, end: int) -> tuple[Steps, Tensor]:
        if not self.sampled_steps:
            return super().chosen(δ, end)
        selection = self.sampled[end - len(δ) : end].nonzero()[:, 0].to(δ.device)
        return selection, δ[selection] * (self.steps / min(self.sampled_steps, self.steps) if self.unbiased else 1.0)

    def signal(self, block: LayerBlock, δ: Tensor) -> Tensor:
        return super().signal(block, (1 - (self.readout.neuron.decay or 0.0)) * δ)

    def gather(self, block: LayerBlock, L: Tensor | None, selection: Steps, goes_on: bool) -> Tensor | None:
        layer, post = block.layer, self.postsynaptic(block)
        if L is None:
            self.filters[layer.name].advance(block.sources)
            return None
        within = cache(partial(step_gradient, block, self.sends(layer), L, selection))
        δ_trace, δ_input = self.coefficients(L, within, None if post is None else post[selection])
        for c, a, bias_input in self.filters[layer.name].terms(block.sources, δ_trace, δ_input, selection):
            for name, synapse in layer.synapses.items():
                add_map_gradient(synapse.module, c, a[name], bias_input)
        if learnt := {name: p for name, p in layer.neuron.named_parameters() if p.requires_grad}:
            for name, gradient in within().parameters.items():
                accumulate(learnt[name], gradient)
        return self.passed_down(within, δ_trace) if any(below(layer)) else None

    def postsynaptic(self, block: LayerBlock) -> Tensor | None:
        """Advance the trace of each neuron over a block; return it, [steps, batch, size]. None: the rule has none."""
        return None

    def coefficients(self, L: Tensor, within: Within, post: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the factors of â and of p in a layer's gradient at the chosen steps, [n, batch, ...]; None: 0.

        Args:
            L: learning signal of the layer.
            within: returns the gradient within the steps, which the first call computes.
            post: traces of its neurons, if the rule has them, in memory that the factors may take.
        """
        return within().current, None

    def passed_down(self, within: Within, δ_trace: Tensor) -> Tensor:
        """Return the gradient of a layer's currents from which the signals of the layers below come: that of the step.

        Args:
            within: as in `coefficients`.
            δ_trace: factor of â, from `coefficients`.
        """
        return within().current

    def end(self) -> None:
        super().end()
        del self.filters


def add_map_gradient(module: nn.Module, c: Tensor, a: Tensor, bias_input: float) -> None:
    """Add Σ_t c^t a^t to the gradients of a synapse's parameters, with the input `bias_input` of its bias.

    A module f that is affine in its input and linear in its parameters has this gradient at the input a / n, from the
    gradient n · c of its output, n = bias_input: n · f(a / n) = A a + n · b.
    """
    if is_dense(module):
        if module.weight.requires_grad:
            add_weight_gradient(gradient_of(module.weight), c, a.flatten(2), FLOAT32)
        if module.bias is not None:
            accumulate(module.bias, bias_input * c.sum((0, 1)))
        return
    learnt = [p for p in module.parameters() if p.requires_grad]
    if learnt:
        with torch.enable_grad():
            I = at_each_step(module, a if bias_input == 1 else a / bias_input)
            gradients = torch.autograd.grad(I, learnt, c if bias_input == 1 else bias_input * c)
        for p, gradient in zip(learnt, gradients, strict=True):
            accumulate(p, gradient)
