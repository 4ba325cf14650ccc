"""e-prop: eligibility propagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import Claims, LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.eligibility import EligibilityRule
from throughtime.algorithms.eligibility.layer_block import LayerBlock
from throughtime.algorithms.eligibility.trace_block import Signal
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Partials
from throughtime.registry import algorithm, or_default, refuse_unused

Feedback = Literal["symmetric", "random", "adaptive"]
SIGNALS: dict[Feedback, Literal["instantaneous", "random", "adaptive"]] = {
    "symmetric": "instantaneous",
    "random": "random",
    "adaptive": "adaptive",
}
"""The coordinate `signal` of each option of `feedback`."""
SUM = "Σz"
"""Name of the variable Σ_t z_t, whose trace is Σ_t ε_z^t."""


@algorithm("eprop", order=3, colour="#cc78bc")
class EProp(EligibilityRule):
    """e-prop: each synapse carries an eligibility trace forward; the gradient is its product with a learning signal.

        ε_s^t  = Σ_r (∂s_t/∂r_{t−1}) ε_r^{t−1} + (∂s_t/∂I_t) p^t + Σ_q (∂s_t/∂q_t) ε_q^t,    p = (x_t, z_{t−1}, 1)
        ē^t    = κ ē^{t−1} + (1 − κ) e^t,       e^t = ε_z^t   (a membrane readout: ε_v^t)
        L_j^t  = Σ_k B_kj ∂E/∂y_k^t
        dE/dW_ji = Σ_t L_j^t ē_ji^t + ∂E_reg/∂W_ji
        E_reg  = c Σ_j (f̄_j − f*)²,             ∂E_reg/∂W_ji = 2 c (f̄_j − f*) mean_{t, batch} ε_z,ji^t

    The partial derivatives are those of `Neuron.partials`. The rule drops credit that reaches the loss later through
    spikes to other neurons; with one step (T = 1), symmetric feedback and no rate cost it equals BPTT, for neurons that
    do not depend on each other. Where the state of a neuron depends on that of another (LTC), the rule keeps the
    diagonal of the state Jacobian, as tables state. Trained parameters of the neuron (τ, gates) have traces as well.
    There is no graph in time: memory is O(1) in T, with batch × size × (inputs + size + 1) numbers for ē and for each
    ε that differs between neurons (ε_v of LIF does not). Time is O(batch × size × (inputs + size)) per step. Source:
    Bellec et al. 2020, equations 1, 4 and 21-28, and their code for adaptive feedback and rate regularisation.

    Args:
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
        feedback: B: `symmetric`: the weights of the readout; `random`: fixed, N(0, sd²); `adaptive`: initialised like
            `random`, then trained with the gradient of the readout; weight decay on both makes B converge to W
            (Kolen and Pollack).
        feedback_sd: standard deviation sd of the initial B; null: 1/√size.
        feedback_decay: fraction by which B and the readout's weights decay at each update of adaptive feedback; null:
            0.01. The gradient of B, a copy of the readout's, counts in the norm for clipping.
        rate_cost: c of the firing-rate regularisation; null: none.
        rate_target: f*, spikes per neuron and step; null: 0.01.
        rate_mean: f̄: `sequence`: the mean over the batch and the steps so far, at the update; `running`: that at each
            step, ∂E_reg/∂W_ji = 2 c mean_{t, batch} (f̄_j^t − f*) ε_z,ji^t, known online; `sample`: that of each
            sequence of the batch, E_reg = c Σ_j mean_batch (f̄_j − f*)², with one more trace; null: `sequence`.

    Raises:
        ValueError: an option has no effect without another; update_every has loss_at: end; rate_mean: sample has
            update_every.

    Example:
        >>> rule = tt.build_rule("eprop", feedback="random")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Bellec et al. 2020: https://doi.org/10.1038/s41467-020-17236-y
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(
        self,
        *,
        loss_at: LossAt = "end",
        update_every: PositiveInt | None = None,
        feedback: Feedback = "symmetric",
        feedback_sd: PositiveFloat | None = None,
        feedback_decay: Annotated[float, Field(ge=0, lt=1)] | None = None,
        rate_cost: PositiveFloat | None = None,
        rate_target: NonNegativeFloat | None = None,
        rate_mean: Literal["sequence", "running", "sample"] | None = None,
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        refuse_unused("feedback: random or adaptive", feedback != "symmetric", feedback_sd=feedback_sd)
        refuse_unused("feedback: adaptive", feedback == "adaptive", feedback_decay=feedback_decay)
        refuse_unused("rate_cost", rate_cost is not None, rate_target=rate_target, rate_mean=rate_mean)
        if rate_mean == "sample" and update_every:
            raise ValueError("rate_mean: sample has an update at the end of the sequence only")
        self.feedback, self.feedback_sd, self.feedback_decay = feedback, feedback_sd, or_default(feedback_decay, 0.01)
        self.rate_cost, self.rate_target = rate_cost, or_default(rate_target, 0.01)
        self.rate_mean = or_default(rate_mean, "sequence")
        if rate_cost:
            self.also_wanted = (SUM,) if self.rate_mean == "sample" else ("z",)

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(signal=SIGNALS[self.feedback])

    def layer_partials(self, layer: Layer, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        partials = super().layer_partials(layer, current, state, next_state)
        if partials is None or SUM not in self.also_wanted:
            return partials
        before, within = {**partials.from_previous, (SUM, SUM): 1.0}, {**partials.within_step, (SUM, "z"): 1.0}
        return partials._replace(from_previous=before, within_step=within)

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        if reason := self.untraceable(network):
            return reason
        silent = [type(layer.neuron).__name__ for layer in network.layers if not layer.neuron.spiking]
        if self.feedback == "adaptive" and not network.readouts[0].linear.weight.requires_grad:
            return "adaptive feedback learns with the weights of the readout, which are not trained"
        if self.rate_cost and silent:
            return f"{silent[0]} does not spike: it has no firing rate to regularise"
        return None

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        if self.feedback != "symmetric":
            W_out = self.readout.linear.weight
            drawn = torch.randn(W_out.shape, dtype=W_out.dtype).to(W_out.device)  # the same numbers on every device
            B = drawn / W_out.shape[1] ** 0.5 if self.feedback_sd is None else drawn * self.feedback_sd
            self.B = nn.Parameter(B, self.feedback == "adaptive")

    def parameters(self) -> Sequence[nn.Parameter]:
        return (self.B,) if self.feedback == "adaptive" and isinstance(self.B, nn.Parameter) else ()

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        if self.rate_cost:
            layers, states = self.network.layers, self.state.layers
            by_sample = self.rate_mean == "sample"
            self.spikes = {
                layer.name: s.z.new_zeros(s.z.shape if by_sample else s.z.shape[1:])
                for layer, s in zip(layers, states, strict=True)
            }
            self.e_sums: dict[str, dict[str, Tensor]] = {layer.name: {} for layer in layers}

    def signals(self, block: LayerBlock) -> list[Signal]:
        if not self.rate_cost:
            return []
        name, z = block.layer.name, block.states.z[1:]
        if self.rate_mean == "running":
            so_far = self.spikes[name] + z.mean(1).cumsum(0)
            self.spikes[name] = so_far[-1].clone()
            t = torch.arange(self.state.t - len(z) + 1, self.state.t + 1, dtype=z.dtype, device=z.device)
            excess = so_far / t[:, None] - self.rate_target
            L = excess * (self.rate_cost * 2 / (self.steps * z.shape[1]))
            return [Signal("z", L[:, None], self.sums[name])]
        if self.rate_mean == "sample":
            self.spikes[name] += z.sum(0)
            if self.state.t < self.steps:
                return []
            excess = self.spikes[name] / self.steps - self.rate_target
            return [Signal(SUM, excess[None] * (self.rate_cost * 2 / (self.steps * z.shape[1])), self.sums[name])]
        self.spikes[name] += z.mean(1).sum(0)
        return [Signal("z", z.new_full((len(z), 1, 1), 1 / z.shape[1]), self.e_sums[name])]

    def step(self, t: int) -> None:
        W_out = self.readout.linear.weight
        if self.rate_cost:
            for layer in self.network.layers:
                excess, e_sum = self.spikes[layer.name] / (t + 1) - self.rate_target, self.e_sums[layer.name]
                for name, e in e_sum.items():
                    self.land(layer, name, 2 * self.rate_cost * excess[:, None] * e / self.steps)
                e_sum.clear()
        if self.feedback == "adaptive" and W_out.grad is not None:
            self.B.grad = W_out.grad.clone()
        self.update()
        if self.feedback == "adaptive":
            W_out.mul_(1 - self.feedback_decay)
            self.B.mul_(1 - self.feedback_decay)

    def end(self) -> None:
        super().end()
        if self.rate_cost:
            del self.spikes, self.e_sums
