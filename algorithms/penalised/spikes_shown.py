"""Networks that show spikes in place of their outputs, and penalties on these as losses of single steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from throughtime.algorithms.spike_penalties import penalty_of
from throughtime.datasets.task import Meter, Metric, Task
from throughtime.networks.base import Network, Step, Window
from throughtime.networks.network import LayerNetwork
from throughtime.networks.readout import Readout, constant_leak
from throughtime.numerics.trees import Tree


class SpikeCounts(Network):
    """A network whose output at a step is the numbers of spikes before it and after it, n_{t−1} and n_t.

        n_t = n_{t−1} + z_t,      n_0 = 0,      of each neuron of each layer

    Args:
        network: the network whose spikes are counted, with spiking layers.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.counted = network
        self.shapes = [layer.neuron.shape for layer in network.layers]

    def initial_state(self, batch: int) -> Any:
        state, like = self.counted.initial_state(batch), next(self.parameters())
        return state, tuple(like.new_zeros(batch, *shape) for shape in self.shapes)

    def forward(self, x: Tensor, state: Any) -> tuple[Step, Any]:
        before, n = state
        step, after = self.counted(x, before)
        counts = tuple(n_l + z for n_l, z in zip(n, step.spikes, strict=True))
        return Step((n, counts), step.spikes), (after, counts)

    def unroll(self, x: Tensor, state: Any) -> Window:
        before, n = state
        window = self.counted.unroll(x, before)
        after = tuple(n_l + z.cumsum(0) for n_l, z in zip(n, window.spikes, strict=True))
        earlier = tuple(counts - z for counts, z in zip(after, window.spikes, strict=True))
        return Window((earlier, after), window.spikes, (window.state, tuple(counts[-1] for counts in after)))


def mean_shown(network: Network, depth: int) -> Network:
    """Return the first layers of a network with the mean of the spikes of the last of them as the output of a step.

    Args:
        network: a network that describes its layers.
        depth: number of layers.
    """
    shown, like = network.layers[depth - 1], next(network.parameters())
    readout = Readout(shown.neuron.shape, 1, "z", constant_leak(0.0, None, False), layer=shown.name)
    readout.requires_grad_(False).to(like)
    nn.init.constant_(readout.linear.weight, 1 / shown.neuron.size)
    return LayerNetwork(network.layers[:depth], [readout])


class Penalty(Task):
    """A loss at each step and no metrics."""

    metric = Metric("penalty", "1", higher_is_better=False)
    per_step = True

    def __init__(self, penalties: Sequence[Mapping[str, Any]], steps: int) -> None:
        self.penalties, self.steps = penalties, steps
        self.batch = 0
        """Number of sequences, set at the start of a batch."""

    def meter(self) -> Meter:
        raise NotImplementedError("a penalty has no metrics")


class MeanPenalty(Penalty):
    """l_t = T c z̄_t, of the means z̄ that `mean_shown` shows; its mean over the steps is c n̄."""

    def loss(self, outputs: Tree, target: Tree) -> Tensor:
        return self.steps * sum(penalty["strength"] for penalty in self.penalties) * outputs.mean()


class CountPenalty(Penalty):
    """l_t = T (P(n_t) − P(n_{t−1})), of the counts that `SpikeCounts` shows; its mean over the steps is P(n_T).

    P is the sum of the penalties. The mean over a window of k steps is T/k times the increase of P over them.
    """

    def loss(self, outputs: Tree, target: Tree) -> Tensor:
        before, after = outputs
        k = len(after[0]) // self.batch
        first, last = (
            [n.unflatten(0, (k, self.batch))[place, None] for n in counts]
            for counts, place in ((before, 0), (after, -1))
        )
        return (self.steps / k) * (penalty_of(self.penalties, last) - penalty_of(self.penalties, first))
