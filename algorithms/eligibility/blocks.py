"""Base of online rules that process a block of steps at once, through several layers, without a graph in time."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule, LossAt, check_update_every, output_error
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.layer_block import ALL, LayerBlock, Steps, layer_blocks, source_gradient
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import INPUT, Layer, RecurrentState, Synapse
from throughtime.networks.products import Product
from throughtime.networks.readout import Readout
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.numerics.trees import Tree

BLOCK = 25
"""Steps in a block. Half as many take a fifth more time, since a block has a fixed cost; twice as many need twice the
memory for the numbers of each step and save little time."""


class BlockRule(LearningRule):
    """Learning signals within a step for every layer, and an exact gradient for the readout.

        L_nj^t = Σ_k B_kj ∂E/∂y_k^t                         the last layer n, which the readout reads
        L_l^t = Σ_m (∂I_m^t/∂z_l^t)ᵀ (∂o_m^t/∂I_m^t)ᵀ L_m^t       a layer l that layers m read in the same step
        E = l_T  or  (1/T) Σ_t l_t

    o_m is the variable of layer m through which the signal leaves it: the one that the readout reads in the last layer,
    z in the others. A window is a block of up to `BLOCK` steps; the steps of a layer are computed one after the other,
    the signals of all steps at once. The readout's own leak is constant, so its gradient needs only a filter of o_n.

    Args:
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
    """

    state: RecurrentState

    def __init__(self, *, loss_at: LossAt = "end", update_every: PositiveInt | None = None) -> None:
        check_update_every(update_every, loss_at)
        self.loss_at, self.update_every = loss_at, update_every

    def window(self, steps: int) -> int:
        return max(self.windows(steps))

    def windows(self, steps: int) -> list[int]:
        """Return the lengths of the blocks; between two updates only the first may be shorter, so that memory is the
        same for any T of two blocks or more."""
        every = self.update_every or steps
        between = [min(every, steps - t) for t in range(0, steps, every)]
        return [k for length in between for k in (length % BLOCK, *[BLOCK] * (length // BLOCK)) if k]

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if not network.described:
            return "the network does not describe its layers, which have a learning signal each"
        if network.mixes_samples:
            return "batch normalisation makes a sample's state depend on the other samples"
        if network.drops_out:
            return "the learning signals do not follow dropout"
        before = {INPUT}
        for layer in network.layers:
            if not layer.is_affine:
                return f"{layer.name}: the learning signals do not follow a norm, pooling or a part of the channels"
            sources = {synapse.reads for synapse in layer.synapses.values()}
            if later := sorted(sources - before - {layer.name}):
                return f"{layer.name} reads {', '.join(later)} of the step before, through which no signal passes"
            if not sources & before:
                return f"{layer.name} reads neither the input nor an earlier layer"
            before.add(layer.name)
        if len(network.readouts) != 1 or network.readouts[0].layer != network.layers[-1].name:
            return "learning signals come from one readout, of the last layer"
        if network.readouts[0].neuron.decay is None:
            return "the readout is no leaky integrator with a constant leak κ, which could filter the traces"
        if not is_dense(network.readouts[0].linear):
            return "the map of the readout is no plain nn.Linear, whose gradient the rule computes"
        return None

    def learnt(self, steps: int) -> list[int]:
        """Return the number of steps from which the rule learns, for each block that has one: a product for each block
        computes them."""
        return self.windows(steps) if self.losses(steps) == steps else [1]

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        products = Counter(p for n in self.learnt(steps) for p in self.signal_products(network, n * batch))
        updates = -(-steps // self.update_every) if self.update_every else 1
        return Credit(products, "dense products forward, learning signals and readout", updates=updates)

    def signal_products(self, network: Network, rows: int) -> Iterator[Product]:
        """Yield the products of the learning signals and of the readout's gradient, for so many steps and samples."""
        linear = network.readouts[0].linear
        yield Product(rows, linear.out_features, linear.in_features)  # L
        yield Product(linear.out_features, rows, linear.in_features)  # δW_out
        for layer in network.layers:
            for synapse in below(layer):
                if isinstance(W := synapse.module, nn.Linear):
                    yield Product(rows, W.out_features, W.in_features)

    @property
    def readout(self) -> Readout:
        """The readout of the last layer."""
        return self.network.readouts[0]

    def sends(self, layer: Layer) -> str:
        """Return the field of a layer's state that the layers above it or the readout read."""
        return self.readout.reads if layer.name == self.readout.layer else "z"

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        self.B: Tensor = self.readout.linear.weight
        self.every, self.blocks = self.loss_at == "every" or task.per_step, len(self.windows(steps))

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        linear = self.readout.linear
        self.grad_W_out, self.grad_b_out = torch.zeros_like(linear.weight), linear.weight.new_zeros(linear.out_features)
        self.o_filtered = self.state.y.new_zeros(batch, linear.in_features)

    @torch.no_grad()
    def learn(self, x: Tensor, target: Tree, t: int) -> Tensor | None:
        end = t + len(x)
        loss = self._gather(x, target, end)
        if end == self.steps or (self.update_every and end % self.update_every == 0):
            self.add_gradients()
            self.step(end - 1)
        return loss

    def _gather(self, x: Tensor, target: Tree, end: int) -> Tensor | None:
        """Take the steps before `end` and add their contribution to the sums; return their loss, if they have one."""
        readout, integrator = self.readout, cast(LeakyIntegrator, self.readout.neuron)
        κ = integrator.decay
        blocks = layer_blocks(self.network.layers, x, self.state.layers)
        o = getattr(blocks[-1].states, readout.reads)[1:].flatten(2)
        y = integrator.filtered(readout.linear(o), self.state.y)
        self.state = RecurrentState(tuple(block.last() for block in blocks), y[-1].clone(), end)
        o_filtered = integrator.filtered(o, self.o_filtered)
        self.o_filtered = o_filtered[-1].clone()

        loss: Tensor | None = None
        signals: dict[str, Tensor] = {}
        selection: Steps = ALL
        k = len(x) if self.every else int(end == self.steps)
        if k:
            loss, δ = output_error(self.task, y[-k:], target)
            if self.every:
                δ *= k / self.steps
                loss *= k / self.steps * self.blocks  # so that the mean over windows is the mean over steps
            selection, δ = self.chosen(δ, end)
            signals = self.signals_of(blocks, δ, selection, target) if len(δ) else {}
            filter_of_1 = 1 - κ ** torch.arange(end - len(x) + 1, end + 1, dtype=δ.dtype, device=δ.device)
            self.grad_W_out.addmm_(δ.flatten(0, 1).t(), o_filtered[selection].flatten(0, 1))
            self.grad_b_out.addmv_(δ.sum(1).t(), filter_of_1[selection])
        for block in reversed(blocks):
            L = signals.pop(block.layer.name, None)
            δI = self.gather(block, L, selection, goes_on=end < self.steps)
            if δI is not None:
                _pass_down(block, δI, selection, signals)
        return loss

    def chosen(self, δ: Tensor, end: int) -> tuple[Steps, Tensor]:
        """Return the steps of a block from which the rule learns, and their δ; here all steps with a loss.

        Args:
            δ: gradient of the outputs of the last k steps, [k, batch, outputs].
            end: number of steps of the sequence up to the end of the block.
        """
        return slice(-len(δ), None), δ

    def signals_of(self, blocks: Sequence[LayerBlock], δ: Tensor, selection: Steps, target: Tree) -> dict[str, Tensor]:
        """Return the learning signals that do not come from another layer, by layer: here that of the last layer.

        Args:
            blocks: the blocks of all layers.
            δ: gradient of the outputs of the chosen steps, [n, batch, outputs].
            selection: the chosen steps.
            target: target of the sequence, or of the steps of the block.
        """
        return {self.readout.layer: self.signal(blocks[-1], δ)}

    def signal(self, block: LayerBlock, δ: Tensor) -> Tensor:
        """Return L of the last layer, [n, batch, *shape], from δ = ∂E/∂y of the chosen steps, [n, batch, outputs]."""
        return (δ @ self.B).unflatten(2, block.layer.neuron.shape)

    @abstractmethod
    def gather(self, block: LayerBlock, L: Tensor | None, selection: Steps, goes_on: bool) -> Tensor | None:
        """Add the contribution of a layer's block to the sums of its parameters.

        Args:
            block: the block of the layer.
            L: learning signal of the chosen steps, [n, batch, *shape]; None if the block has none.
            selection: the chosen steps.
            goes_on: whether another block follows.

        Returns:
            δI = (∂o/∂I)ᵀ L of these steps; None if there is no L, or if the layer reads no other.
        """

    def add_gradients(self) -> None:
        """Add the sums since the last update to the gradients of the parameters. Rules extend this method."""
        accumulate(self.readout.linear.weight, self.grad_W_out)
        accumulate(self.readout.linear.bias, self.grad_b_out)
        self.grad_W_out.zero_()
        self.grad_b_out.zero_()

    def step(self, t: int) -> None:
        """Update with the accumulated gradients."""
        self.update()

    def end(self) -> None:
        super().end()
        del self.grad_W_out, self.grad_b_out, self.o_filtered


def diagonal_remark(network: Network) -> str | None:
    """Return the remark of a rule whose traces follow `Neuron.partials`; None if no neuron depends on another."""
    if all(layer.neuron.elementwise for layer in network.layers):
        return None
    return "eligibility through the diagonal of the state Jacobian only"


def below(layer: Layer) -> Iterable[Synapse]:
    """Yield the synapses that read another layer, which precedes this one."""
    return (s for s in layer.synapses.values() if s.reads not in (INPUT, layer.name))


def _pass_down(block: LayerBlock, δI: Tensor, selection: Steps, signals: dict[str, Tensor]) -> None:
    """Add (∂I_m/∂z_l)ᵀ δI_m to the signal of each layer l that this layer m reads in the same step."""
    for name, synapse in block.layer.synapses.items():
        if synapse.reads not in (INPUT, block.layer.name):
            δz = source_gradient(synapse.module, block.sources[name][selection], δI)
            signals[synapse.reads] = δz + signals[synapse.reads] if synapse.reads in signals else δz


def accumulate(parameter: Tensor | None, gradient: Tensor) -> None:
    """Add to the gradient of a parameter, if there is one, such as a bias, and it is trained.

    The gradient has the parameter's layout: PyTorch's fused optimisers misread another one (2.13, CPU).
    """
    if parameter is not None and parameter.requires_grad:
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        else:
            parameter.grad.add_(gradient)


def gradient_of(parameter: Tensor) -> Tensor:
    """Return the memory for the gradient of a trained parameter; it is 0 if nothing was added."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
