"""Base of rules with eligibility traces: the gradient of a parameter is its trace times a learning signal."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LearningRule, LossAt, output_error
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.cost import carried_numbers
from throughtime.algorithms.eligibility.trace_block import Signal, TraceBlock
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer, RecurrentState
from throughtime.networks.products import Product
from throughtime.networks.readout import Readout
from throughtime.networks.trajectory import trajectory
from throughtime.neurons.base import Neuron, Partials
from throughtime.numerics.trees import Tree

BLOCK = 25
"""Steps in a block. Half as many take a fifth more time, since a block has a fixed cost; twice as many need twice the
memory for the numbers of each step and save little time."""


class EligibilityRule(LearningRule):
    """A trace of each synapse times a learning signal of each neuron, for one recurrent layer, without a graph in time.

        e^t    = ε_o^t                           o: the variable that the readout reads, z or v; ε as in `traces.py`
        ē^t    = κ ē^{t−1} + (1 − κ) e^t         filter of the readout
        L_j^t  = Σ_k B_kj ∂l_t/∂y_k^t
        dE/dW_ji = Σ_t L_j^t ē_ji^t,      E = l_T  or  (1/T) Σ_t l_t

    A window is a block of up to `BLOCK` steps, over which the sum is computed at once (`trace_block.py`).

    Args:
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
    """

    cost = Cost(time="B T P", memory="B P + B L S")
    state: RecurrentState

    def __init__(self, *, loss_at: LossAt = "end", update_every: PositiveInt | None = None) -> None:
        if update_every and loss_at == "end":
            raise ValueError(
                "update_every needs loss_at: every; with a loss at the end there is no gradient before the end"
            )
        self.loss_at, self.update_every = loss_at, update_every
        self.also_wanted: tuple[str, ...] = ()

    @abstractmethod
    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Return the partial derivatives of one step; None if the neuron has none. The batch dimension may hold several
        steps one after the other."""

    def coordinates(self) -> Coordinates:
        return Coordinates("block", "diag D", "own neuron", "instantaneous", "κ", self.update_every or "end")

    def window(self, steps: int) -> int:
        return max(self.windows(steps))

    def windows(self, steps: int) -> list[int]:
        """Return the lengths of the blocks; between two updates only the first may be shorter, so that memory is the
        same for any T of two blocks or more."""
        every = self.update_every or steps
        between = [min(every, steps - t) for t in range(0, steps, every)]
        return [k for length in between for k in (length % BLOCK, *[BLOCK] * (length // BLOCK)) if k]

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if not network.described or len(network.layers) != 1:
            return "eligibility traces are implemented for one recurrent layer"
        if network.mixes_samples:
            return "batch normalisation makes a sample's state depend on the other samples"
        layer = network.layers[0]
        if layer.recurrent_pair() is None or len(layer.neuron.shape) != 1:
            return "eligibility traces are implemented for one recurrent layer, W x + R z into a vector of neurons"
        if len(network.readouts) != 1:
            return "eligibility traces are implemented for one readout"
        if network.readouts[0].decay is None:
            return "the readout's leak is computed at each step: no filter of constant κ carries the traces through it"
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        layer, readout, losses = network.layers[0], network.readouts[0], self.losses(steps)
        size, outputs = readout.linear.in_features, readout.linear.out_features
        products = Counter({Product(batch, outputs, size): losses, Product(outputs, batch, size): losses})  # L, δW_out
        numbers = carried_numbers(self.partials, layer, readout, self.also_wanted)
        return Credit(
            products,
            "dense products forward, traces read and written each step",
            updates=-(-steps // self.update_every) if self.update_every else 1,
            traces=numbers * batch * readout.linear.weight.itemsize,
        )

    @property
    def layer(self) -> Layer:
        """The trained layer."""
        return self.network.layers[0]

    @property
    def readout(self) -> Readout:
        """The readout of the trained layer."""
        return self.network.readouts[0]

    def untraced(self, network: Network, partials: Partials) -> list[str]:
        """Return the trained parameters of the neurons for which there are no partial derivatives."""
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
        self.B: Tensor = self.readout.linear.weight
        self.every = self.loss_at == "every" or task.per_step

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        neuron, readout, zeros = self.layer.neuron, self.readout, self.state.y.new_zeros
        self.traces = TraceBlock(neuron.size, ("ē" if readout.decay else readout.reads, *self.also_wanted))
        self.sums: dict[str, Tensor] = {}
        self.of_W_out, self.of_b_out = torch.zeros_like(readout.linear.weight), torch.zeros_like(readout.linear.bias)
        self.o_filtered = zeros(batch, neuron.size)

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tree, t: int) -> Tensor | None:
        end = t + len(x)
        loss = self._gather(x, target, end)
        if end == self.steps or (self.update_every and end % self.update_every == 0):
            self._land()
            self.step(end - 1)
        return loss

    def _gather(self, x: Tensor, target: Tree, end: int) -> Tensor | None:
        """Take the steps before `end` and add their contribution to the sums; return their loss, if they have one."""
        layer, readout = self.layer, self.readout
        κ, (currents, states) = readout.decay or 0.0, trajectory(layer, x.flatten(2), self.state.layers[0])
        o = getattr(states, readout.reads)[1:]
        y = readout.unroll(readout.linear(o), self.state.y)
        last = type(states)(*(s[-1].clone() for s in states))
        self.state = self.state._replace(layers=(last,), y=y[-1].clone(), t=end)
        o_filtered = readout.unroll(o, self.o_filtered)
        self.o_filtered = o_filtered[-1].clone()

        before, after = (type(states)(*(s[part].flatten(0, 1) for s in states)) for part in (slice(-1), slice(1, None)))
        partials = self.partials(layer.neuron, currents.flatten(0, 1), before, after)
        assert partials is not None, "`supports` rejects such a neuron"
        if κ:
            partials = filtered(partials, readout.reads, κ)
        signals, loss = self.signals(states.z[1:]), None
        k = len(x) if self.every else int(end == self.steps)
        if k:
            loss, δ = output_error(self.task, y[-k:], target)
            if self.every:
                δ *= k / self.steps
                loss *= (
                    k / self.steps * len(self.windows(self.steps))
                )  # so that the mean over windows is the mean over steps
            signals.append(Signal(self.traces.wanted[0], δ @ self.B, self.sums))
            self.of_W_out.addmm_(δ.flatten(0, 1).t(), o_filtered[-k:].flatten(0, 1))
            self.of_b_out.addmv_(δ.sum(1).t(), δ.new_tensor([1 - κ ** (s + 1) for s in range(end - k, end)]))
        p = torch.cat((x.flatten(2), states.z[:-1], x.new_ones(*x.shape[:2], 1)), 2)
        self.traces.gather(partials, p, signals, goes_on=end < self.steps)
        return loss

    def signals(self, z: Tensor) -> list[Signal]:
        """Return further signals of a block with spikes z [steps, batch, size]; a hook for subclasses."""
        return []

    def _land(self) -> None:
        """Add the sums to the gradients of the parameters."""
        for name, gradient in self.sums.items():
            self.land(name, gradient)
        self.sums.clear()
        _accumulate(self.readout.linear.weight, self.of_W_out)
        _accumulate(self.readout.linear.bias, self.of_b_out)
        self.of_W_out.zero_()
        self.of_b_out.zero_()

    def step(self, t: int) -> None:
        """Update with the accumulated gradients."""
        self.update()

    def end(self) -> None:
        super().end()
        del self.traces, self.sums, self.of_W_out, self.of_b_out, self.o_filtered

    def land(self, name: str, gradient: Tensor) -> None:
        """Add the gradient by one input, [currents, size, fan-in], to the parameters of that input."""
        neuron, pair = self.layer.neuron, self.layer.recurrent_pair()
        rows = gradient.flatten(0, 1)
        if name == "current" and pair is not None:
            W, R = pair
            dx, dz, d1 = rows.split((W.in_features, neuron.size, 1), 1)
            _accumulate(W.weight, dx)
            _accumulate(R.weight, dz)
            for map in pair:
                if map.bias is not None:
                    _accumulate(map.bias, d1[:, 0])
            return
        own = dict(neuron.named_parameters())
        if name in own:
            _accumulate(own[name], rows[:, 0] if own[name].dim() else rows.sum())
            return
        gate = self.layer.gates[name]
        _accumulate(gate.weight, rows[:, :-1])
        if gate.bias is not None:
            _accumulate(gate.bias, rows[:, -1])


def filtered(partials: Partials, reads: str, κ: float) -> Partials:
    """Return the partial derivatives with an additional variable, the filtered trace ē_t = κ ē_{t−1} + (1 − κ) o_t."""
    return Partials(
        {**partials.from_previous, ("ē", "ē"): κ}, {**partials.within_step, ("ē", reads): 1 - κ}, partials.inflows
    )


def _accumulate(parameter: Tensor, gradient: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
