"""e-prop: eligibility propagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from throughtime.algorithms.base import Claims, LearningRule, Learnt
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Factor, Partials
from throughtime.registry import algorithm


@algorithm("eprop")
class EProp(LearningRule):
    """e-prop: every synapse carries an eligibility trace forward, a learning signal turns it into a weight change.

        ε_s^t  = Σ_r (∂s_t/∂r_{t−1}) ε_r^{t−1} + (∂s_t/∂I_t) p^t        for each state variable s; p = (x_t, z_{t−1}, 1)
        e^t    = Σ_s (∂z_t/∂s_t) ε_s^t                                  (a membrane readout: e = ε_v)
        ē^t    = κ ē^{t−1} + (1 − κ) e^t                                the readout's own filter
        L_j^t  = Σ_k B_jk ∂ℓ_t/∂y_k^t
        dE/dW_ji = Σ_t L_j^t ē_ji^t,      E = (1/T) Σ_t ℓ_t

    Drops what reaches the loss through other neurons' spikes, later in time; with one step (T = 1) nothing is dropped
    and it equals BPTT. One update a sequence. No graph is kept: memory O(1) in T, but a trace a synapse and sample,
    batch × size × (inputs + size + 1) numbers for ē and for each ε that differs between neurons (LIF: ε_v does not,
    ALIF: ε_a does). Time O(batch × size × (inputs + size)) a step.
    Source: Bellec et al. 2020, equations 1, 4 and 21-28.

    Args:
        feedback: B: `symmetric`: the readout's weights; `random`: fixed, N(0, 1)/√size.
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *, feedback: Literal["symmetric", "random"] = "symmetric") -> None:
        self.feedback = feedback
        self.B: Tensor | None = None

    def window(self, steps: int) -> int:
        return 1

    def supports(self, network: Network, task: Task) -> str | None:
        if not isinstance(network, Recurrent) or len(network.layers) != 1:
            return "e-prop as written here trains one recurrent layer"
        state = network.initial_state(1).layers[0]
        if network.layers[0].neuron.partials(state, state) is None:
            name = type(network.layers[0].neuron).__name__
            return f"{name} gives no partial derivatives: the state of one neuron depends on the others' states"
        return None

    def begin(self, network: Network, task: Task, batch: int, steps: int, update: Callable[[], None]) -> None:
        super().begin(network, task, batch, steps, update)
        W_out = network.readout.linear.weight
        if self.feedback == "random" and self.B is None:
            self.B = torch.randn_like(W_out) / W_out.shape[1] ** 0.5
        layer = network.layers[0]
        fan_in = layer.inward.in_features + layer.neuron.size + 1
        self.ε: dict[str, Factor] = {}
        self.ē: Tensor = W_out.new_zeros(batch, layer.neuron.size, fan_in)
        self.o_filtered = W_out.new_zeros(batch, layer.neuron.size)
        self.one_filtered = 0.0

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tensor, t: int) -> Learnt:
        layer, readout, before = self.network.layers[0], self.network.readout, self.state
        step, self.state = self.network(x[0], before)
        after = self.state.layers[0]

        p = torch.cat((x[0], before.layers[0].z, x.new_ones(x.shape[1], 1)), 1)
        e = self._advance_traces(layer.neuron.partials(before.layers[0], after), p, readout.reads)
        κ = readout.decay
        self.ē.mul_(κ).add_(e, alpha=1 - κ)
        self.o_filtered.mul_(κ).add_(getattr(after, readout.reads), alpha=1 - κ)
        self.one_filtered = κ * self.one_filtered + 1 - κ

        loss, δ = self._output_error(step.output, target)
        L = δ @ (readout.linear.weight if self.B is None else self.B)
        dW = torch.einsum("bj,bji->ji", L, self.ē)
        dx, dz, d1 = dW.split((x.shape[2], layer.neuron.size, 1), 1)
        _accumulate(layer.inward.weight, dx)
        _accumulate(layer.recurrent.weight, dz)
        _accumulate(layer.inward.bias, d1[:, 0])
        _accumulate(readout.linear.weight, δ.t() @ self.o_filtered)
        _accumulate(readout.linear.bias, δ.sum(0) * self.one_filtered)
        if t + 1 == self.steps:
            self.update()
        return Learnt(step.output, loss)

    def end(self) -> None:
        super().end()
        del self.ε, self.ē, self.o_filtered

    def _advance_traces(self, partials: Partials, p: Tensor, reads: str) -> Tensor:
        """ε^{t−1} -> ε^t; returns e^t. Traces are [batch, size or 1, fan-in]: 1 where all neurons share them."""
        ε: dict[str, Any] = {s: _per_synapse(factor) * p[:, None] for s, factor in partials.current.items()}
        for (s, r), factor in partials.state.items():
            if r in self.ε:
                ε[s] = ε.get(s, 0) + _per_synapse(factor) * self.ε[r]
        self.ε = ε
        if reads == "v":
            return ε["v"]
        return sum(_per_synapse(factor) * ε[s] for s, factor in partials.spikes.items() if s in ε)

    def _output_error(self, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """ℓ_t and δ = ∂(ℓ_t / T)/∂y_t, [batch, outputs]."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            loss = self.task.loss(y, target)
            (δ,) = torch.autograd.grad(loss, y)
        return loss.detach(), δ / self.steps


def _per_synapse(factor: Factor) -> Factor:
    """A factor of each neuron as a factor of each of its synapses."""
    return factor if isinstance(factor, float) else factor[..., None]


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
