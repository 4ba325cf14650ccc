"""What rules with eligibility traces have in common: traces, a learning signal, and where their product lands."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule, Learnt, LossAt, output_error
from throughtime.algorithms.traces import Traces
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.recurrent import Recurrent, RecurrentState
from throughtime.neurons.base import Neuron, Partials
from throughtime.neurons.readout import LeakyReadout


class EligibilityRule(LearningRule):
    """A trace of each synapse times a learning signal of each neuron, for one recurrent layer; no graph in time.

        e^t    = ε_o^t                           o: what the readout reads, z or v; ε as in `traces.py`
        ē^t    = κ ē^{t−1} + (1 − κ) e^t         the readout's own filter
        L_j^t  = Σ_k B_kj ∂ℓ_t/∂y_k^t
        dE/dW_ji = Σ_t L_j^t ē_ji^t,      E = ℓ_T  or  (1/T) Σ_t ℓ_t

    Args:
        loss_at: `end`: E = ℓ_T, the learning signal comes once; `every`: the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
    """

    def __init__(self, *, loss_at: LossAt = "end", update_every: PositiveInt | None = None) -> None:
        if update_every and loss_at == "end":
            raise ValueError("update_every needs loss_at: every; a loss at the end gives nothing to update with before")
        self.loss_at, self.update_every = loss_at, update_every
        self.also_wanted: tuple[str, ...] = ()

    @abstractmethod
    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Partial derivatives of one step; None if there are none to be had."""

    def window(self, steps: int) -> int:
        return 1

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if type(network) is not Recurrent or len(network.layers) != 1:  # a subclass may take other steps
            return "eligibility traces as written here train one recurrent layer"
        if network.mixes_samples:
            return "batch normalisation makes a sample's state depend on the other samples"
        if not isinstance(network.readout, LeakyReadout):
            return "the readout's leak is computed at each step: no filter of constant κ carries the traces through it"
        return None

    def untraced(self, network: Recurrent, partials: Partials) -> list[str]:
        """Parameters the neurons learn themselves and the partial derivatives do not have."""
        own = network.layers[0].neuron.named_parameters()
        return [
            name for name, p in own if p.requires_grad and not {name, name.rpartition(".")[0]} & {*partials.inflows}
        ]

    def remark(self, network: Network) -> str | None:
        if network.layers[0].neuron.elementwise:
            return None
        return "eligibility through the diagonal of the state Jacobian only"

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.B: Tensor = network.readout.linear.weight

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.traces = Traces((self.network.readout.reads, *self.also_wanted))
        self.ē: dict[str, Tensor] = {}
        self.o_filtered: Tensor | float = 0.0
        self.one_filtered = 0.0

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tensor, t: int) -> Learnt:
        layer, readout, before = self.network.layers[0], self.network.readout, self.state.layers[0]
        current = layer.current(layer.inward(x[0]), before.z, t)
        _, after = layer.neuron(current, before)
        o = getattr(after, readout.reads)
        y = readout(readout.linear(o), self.state.y)
        self.state = RecurrentState((after,), y, t + 1)

        p = torch.cat((x[0], before.z, x.new_ones(x.shape[1], 1)), 1)
        ε = self.traces.advance(self.partials(layer.neuron, current, before, after), p)
        κ = readout.decay
        for name, trace in ε.items():
            if readout.reads in trace:
                e = trace[readout.reads]
                self.ē[name] = _filtered(self.ē.get(name), e, κ)
        self.o_filtered = κ * self.o_filtered + (1 - κ) * o
        self.one_filtered = κ * self.one_filtered + (1 - κ)
        self.observe(ε, after.z)

        last, every = t + 1 == self.steps, self.loss_at == "every" or self.task.per_step
        loss = None
        if last or every:
            loss, δ = output_error(self.task, y, target)
            if every:
                δ = δ / self.steps
            L = δ @ self.B
            for name, ē in self.ē.items():
                self.land(name, torch.einsum("bj,bkji->kji", L, ē))
            _accumulate(readout.linear.weight, δ.t() @ self.o_filtered)
            _accumulate(readout.linear.bias, δ.sum(0) * self.one_filtered)
        if last or (self.update_every and (t + 1) % self.update_every == 0):
            self.step(t)
        return Learnt(y, loss)

    def observe(self, ε: dict[str, dict[str, Tensor]], z: Tensor) -> None:
        """A hook at each step: the traces of the step and its spikes."""

    def step(self, t: int) -> None:
        """Update with the gradients gathered so far."""
        self.update()

    def end(self) -> None:
        super().end()
        del self.traces, self.ē, self.o_filtered

    def land(self, name: str, gradient: Tensor) -> None:
        """Add the gradient of one inflow, [currents, size, fan-in], to the parameters it belongs to."""
        layer = self.network.layers[0]
        rows = gradient.flatten(0, 1)
        if name == "current":
            dx, dz, d1 = rows.split((layer.inward.in_features, layer.neuron.size, 1), 1)
            _accumulate(layer.inward.weight, dx)
            _accumulate(layer.recurrent.weight, dz)
            _accumulate(layer.inward.bias, d1[:, 0])
            if layer.recurrent.bias is not None:
                _accumulate(layer.recurrent.bias, d1[:, 0])
            return
        own = dict(layer.neuron.named_parameters())
        if name in own:
            _accumulate(own[name], rows[:, 0] if own[name].dim() else rows.sum())
            return
        module: nn.Module = layer.neuron.get_submodule(name)
        _accumulate(module.weight, rows[:, :-1])
        if module.bias is not None:
            _accumulate(module.bias, rows[:, -1])


def _filtered(ē: Tensor | None, e: Tensor, κ: float) -> Tensor:
    if κ == 0:
        return e
    return (1 - κ) * e if ē is None else torch.lerp(e, ē, κ)


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
