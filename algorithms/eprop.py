"""e-prop: eligibility propagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from throughtime.algorithms.base import Claims, LearningRule, Learnt, LossAt
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
        dE/dW_ji = Σ_t L_j^t ē_ji^t,      E = ℓ_T  or  (1/T) Σ_t ℓ_t

    Drops what reaches the loss through other neurons' spikes, later in time; with one step (T = 1) nothing is dropped
    and it equals BPTT. One update a sequence. No graph is kept: memory O(1) in T, but a trace a synapse and sample,
    batch × size × (inputs + size + 1) numbers for ē and for each ε that differs between neurons (LIF: ε_v does not,
    ALIF: ε_a does). Time O(batch × size × (inputs + size)) a step.
    Source: Bellec et al. 2020, equations 1, 4 and 21-28.

    Args:
        loss_at: `end`: E = ℓ_T, the learning signal comes once; `every`: the mean over all steps.
        feedback: B: `symmetric`: the readout's weights; `random`: fixed, N(0, 1)/√size.
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *, loss_at: LossAt = "end", feedback: Literal["symmetric", "random"] = "symmetric") -> None:
        self.loss_at, self.feedback = loss_at, feedback

    def window(self, steps: int) -> int:
        return 1

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if not isinstance(network, Recurrent) or len(network.layers) != 1:
            return "e-prop as written here trains one recurrent layer"
        state = network.initial_state(1).layers[0]
        if network.layers[0].neuron.partials(state, state) is None:
            name = type(network.layers[0].neuron).__name__
            return f"{name} gives no partial derivatives: the state of one neuron depends on the others' states"
        own = [name for name, parameter in network.layers[0].neuron.named_parameters() if parameter.requires_grad]
        if own:
            return f"eligibility is traced for synapses, not for what the neuron learns itself ({', '.join(own)})"
        return None

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        W_out = network.readout.linear.weight
        self.B = torch.randn_like(W_out) / W_out.shape[1] ** 0.5 if self.feedback == "random" else W_out

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        layer, W_out = self.network.layers[0], self.network.readout.linear.weight
        fan_in = layer.inward.in_features + layer.neuron.size + 1
        self.ε: dict[str, Tensor] = {}
        self.ē = W_out.new_zeros(batch, layer.neuron.size, fan_in)
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
        self.ē = torch.lerp(e, self.ē, κ) if κ else e
        self.o_filtered = torch.lerp(getattr(after, readout.reads), self.o_filtered, κ)
        self.one_filtered = 1 - κ + κ * self.one_filtered

        last = t + 1 == self.steps
        if self.loss_at == "end" and not last:
            return Learnt(step.output, None)
        loss, δ = self._output_error(step.output, target)
        L = δ @ self.B
        dW = torch.einsum("bj,bji->ji", L, self.ē)
        dx, dz, d1 = dW.split((x.shape[2], layer.neuron.size, 1), 1)
        _accumulate(layer.inward.weight, dx)
        _accumulate(layer.recurrent.weight, dz)
        _accumulate(layer.inward.bias, d1[:, 0])
        _accumulate(readout.linear.weight, δ.t() @ self.o_filtered)
        _accumulate(readout.linear.bias, δ.sum(0) * self.one_filtered)
        if last:
            self.update()
        return Learnt(step.output, loss)

    def end(self) -> None:
        super().end()
        del self.ε, self.ē, self.o_filtered

    def _advance_traces(self, partials: Partials, p: Tensor, reads: str) -> Tensor:
        """ε^{t−1} -> ε^t; returns e^t. Traces are [batch, size or 1, fan-in]: 1 where all neurons share them."""
        ε: dict[str, Tensor] = {}
        for (s, r), factor in partials.state.items():
            if r in self.ε:
                _add(ε, s, factor, self.ε[r])
        for s, factor in partials.current.items():
            _add(ε, s, factor, p[:, None])
        self.ε = ε
        if reads == "v":
            return ε["v"]
        e: dict[str, Tensor] = {}
        for s, factor in partials.spikes.items():
            if s in ε:
                _add(e, "z", factor, ε[s])
        return e["z"]

    def _output_error(self, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """ℓ_t and δ = ∂E/∂y_t through ℓ_t alone, [batch, outputs]."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            loss = self.task.loss(y, target)
            (δ,) = torch.autograd.grad(loss, y)
        return loss.detach(), δ / self.steps if self.loss_at == "every" else δ


def _add(sums: dict[str, Tensor], name: str, factor: Factor, trace: Tensor) -> None:
    """Add a factor of each neuron times a trace of each synapse to the named sum."""
    each = torch.as_tensor(factor, dtype=trace.dtype, device=trace.device)[..., None]
    sums[name] = torch.addcmul(sums[name], each, trace) if name in sums else each * trace


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
