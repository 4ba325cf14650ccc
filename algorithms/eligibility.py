"""What rules with eligibility traces have in common: traces, a learning signal, and where their product lands."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule, Learnt, LossAt, output_error
from throughtime.algorithms.trace_block import Signal, TraceBlock
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.recurrent import Recurrent, RecurrentState
from throughtime.neurons.base import Neuron, Partials
from throughtime.neurons.readout import LeakyReadout

BLOCK = 16
"""Steps that are gathered before traces are multiplied with signals. Twice as many would cost twice the numbers kept of
each step, and spare little: a block's products already take longer than its passes over the traces."""


class EligibilityRule(LearningRule):
    """A trace of each synapse times a learning signal of each neuron, for one recurrent layer; no graph in time.

        e^t    = ε_o^t                           o: what the readout reads, z or v; ε as in `traces.py`
        ē^t    = κ ē^{t−1} + (1 − κ) e^t         the readout's own filter
        L_j^t  = Σ_k B_kj ∂ℓ_t/∂y_k^t
        dE/dW_ji = Σ_t L_j^t ē_ji^t,      E = ℓ_T  or  (1/T) Σ_t ℓ_t

    Steps come one at a time; what they leave is kept for up to `BLOCK` of them, and the sum over these steps is then
    taken at once (`trace_block.py`), before each update at the latest.

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
        """Partial derivatives of one step; None if there are none to be had. Several steps may come behind each other
        in place of the batch."""

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
        self.every = self.loss_at == "every" or task.per_step

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        layer, readout, initial = self.network.layers[0], self.network.readout, self.state.layers[0]
        inputs, size, outputs = layer.inward.in_features, layer.neuron.size, readout.linear.out_features
        zeros = initial.z.new_zeros
        self.traces = TraceBlock(size, ("ē" if readout.decay else readout.reads, *self.also_wanted))
        self.sums: dict[str, Tensor] = {}
        self.of_W_out, self.of_b_out = zeros(outputs, size), zeros(outputs)

        # Steps of the block by their place, and what they leave one place further on. The first block is filled up in
        # front with steps in which nothing flows in, so that memory is the same for any T.
        self.first, place = BLOCK - min(BLOCK, self.update_every or BLOCK), self._place(0)
        self.p = zeros(BLOCK + 1, batch, inputs + size + 1)
        self.p[place:, :, -1] = 1
        z = self.p[..., inputs:-1]
        z[place] = initial.z
        kept = {name: z if name == "z" else s.repeat(BLOCK + 1, 1, 1) for name, s in initial._asdict().items()}
        self.neurons = type(initial)(**kept)
        self.currents, self.ys = zeros(BLOCK, batch, layer.inward.out_features), zeros(BLOCK, batch, outputs)
        self.o_filtered = zeros(BLOCK + 1, batch, size) if readout.decay else None
        self.targets: list[Tensor] = []

    def _place(self, t: int) -> int:
        """Of step t in its block; the last one is that before an update."""
        return (t - self._next_update(t)) % BLOCK

    def _next_update(self, t: int) -> int:
        """Steps that will be over then."""
        return min(self.steps, t - t % self.update_every + self.update_every) if self.update_every else self.steps

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tensor, t: int) -> Learnt:
        layer, readout, before = self.network.layers[0], self.network.readout, self.state.layers[0]
        current = layer.current(layer.inward(x[0]), before.z, t)
        _, after = layer.neuron(current, before)
        o = getattr(after, readout.reads)
        y = readout(readout.linear(o), self.state.y)
        self.state = RecurrentState((after,), y, t + 1)

        place = self._place(t)
        self.p[place, :, : x.shape[2]] = x[0]
        self.currents[place], self.ys[place] = current, y
        for kept, s in zip(self.neurons, after, strict=True):
            kept[place + 1] = s
        if self.o_filtered is not None:
            torch.lerp(o, self.o_filtered[place], readout.decay, out=self.o_filtered[place + 1])
        loss = None
        if self.every or t + 1 == self.steps:
            loss = self.task.loss(y, target[0] if self.task.per_step else target)
        if self.task.per_step:
            self.targets.append(target)
        if place + 1 == BLOCK:
            self._gather(torch.cat(self.targets) if self.targets else target, t)
            if t + 1 == self._next_update(t):
                self._land()
                self.step(t)
            if t + 1 < self.steps:
                self._go_on(t + 1)
        return Learnt(y, loss)

    def _gather(self, target: Tensor, t: int) -> None:
        """Sum up what the block that ends with step t has to say."""
        layer, readout, first = self.network.layers[0], self.network.readout, self.first
        κ, last = readout.decay, t + 1 == self.steps
        before = type(self.neurons)(*(s[first:-1].flatten(0, 1) for s in self.neurons))
        after = type(self.neurons)(*(s[first + 1 :].flatten(0, 1) for s in self.neurons))
        partials = self.partials(layer.neuron, self.currents[first:].flatten(0, 1), before, after)
        if κ:
            partials = filtered(partials, readout.reads, κ)
        seen = min(t + 1, BLOCK - first)
        signals = self.signals(self.neurons.z[-seen:])
        k = seen if self.every else 1 if last else 0
        if k:
            _, δ = output_error(self.task, self.ys[-k:], target)
            if self.every:
                δ = δ * (k / self.steps)
            signals.append(Signal(self.traces.wanted[0], δ @ self.B, self.sums))
            o = getattr(self.neurons, readout.reads) if self.o_filtered is None else self.o_filtered
            self.of_W_out.addmm_(δ.flatten(0, 1).t(), o[-k:].flatten(0, 1))
            self.of_b_out.addmv_(δ.sum(1).t(), δ.new_tensor([1 - κ ** (s + 1) for s in range(t + 1 - k, t + 1)]))
        # A sequence of one block does what longer ones do, for the sake of its memory.
        self.traces.gather(partials, self.p[first:-1], signals, goes_on=not last or t < BLOCK)

    def signals(self, z: Tensor) -> list[Signal]:
        """A hook at each block: what else traces are multiplied with; z [steps, batch, size] of its steps."""
        return []

    def _go_on(self, t: int) -> None:
        """The block that step t begins."""
        self.first = self._place(t)
        for kept in self.neurons if self.o_filtered is None else (*self.neurons, self.o_filtered):
            kept[self.first] = kept[-1]
        self.p[..., -1] = 1
        self.targets.clear()

    def _land(self) -> None:
        """Add what has been summed up to the parameters' gradients."""
        for name, gradient in self.sums.items():
            self.land(name, gradient)
        self.sums.clear()
        _accumulate(self.network.readout.linear.weight, self.of_W_out)
        _accumulate(self.network.readout.linear.bias, self.of_b_out)
        self.of_W_out.zero_()
        self.of_b_out.zero_()

    def step(self, t: int) -> None:
        """Update with the gradients gathered so far."""
        self.update()

    def end(self) -> None:
        super().end()
        del self.traces, self.sums, self.of_W_out, self.of_b_out
        del self.p, self.neurons, self.currents, self.ys, self.o_filtered, self.targets

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


def filtered(partials: Partials, reads: str, κ: float) -> Partials:
    """With ē, what the readout has gathered of its neuron, as one more variable: ē_t = κ ē_{t−1} + (1 − κ) o_t."""
    return Partials({**partials.before, ("ē", "ē"): κ}, {**partials.now, ("ē", reads): 1 - κ}, partials.inflows)


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
