"""pp-prop: a presynaptic and a postsynaptic trace."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.blocks import diagonal_remark
from throughtime.algorithms.eligibility.layer_block import LayerBlock
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import Decay, PresynapticTrace, Within
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.neurons.kernels.kernel import loops_of
from throughtime.neurons.kernels.neuron_trace import advance_traces
from throughtime.registry import algorithm


@algorithm("pp_prop", title="pp-prop")
class PPProp(PresynapticTrace):
    """The eligibility trace of a synapse as a product of two filtered traces, one of its input and one of its neuron.

        ε_x^t = α_p ε_x^{t−1} + p^t
        ε_s^t = α_p Σ_r (∂s_t/∂r_{t−1}) ε_r^{t−1} + (1 − α_p) ∂s_t/∂I_t + Σ_q (∂s_t/∂q_t) ε_q^t
        dE/dW_ji = Σ_t L_j^t ε_o,j^t ε_x,i^t,          L as in `presynaptic_trace`

    s runs over the variables of a neuron, o is the one that the readout or the layers above read. The product stands
    for e-prop's trace, a sum of products; α_p = 0 gives SLTT for neurons that do not depend on each other, and values
    near 1 average over more steps. Where the state of a neuron depends on that of another (LTC), the rule keeps the
    diagonal of the state Jacobian, as tables state. The source has a rank r in place of the decay,
    α_p = (r − 1)/(r + 1). Memory O(1) in T: a number per sample and source of a synapse, and one per sample, neuron and
    variable. Time per step: a product of the size of the layer, and one for the signal of the layer below. Source: Wang
    et al. 2026, pp-prop; ES-D-RTRL in their code.

    Args:
        decay: α_p; 0.9 is rank 19.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("pp_prop", decay=0.5)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Wang et al. 2026: https://doi.org/10.1038/s41467-026-68453-w
    """

    decay: float

    def __init__(
        self, *, decay: Decay = 0.9, loss_at: LossAt = "every", update_every: PositiveInt | None = None
    ) -> None:
        super().__init__(decay=decay, loss_at=loss_at, update_every=update_every)

    def coordinates(self) -> Coordinates:
        base = super().coordinates()._replace(trace="rank one")
        return base if self.decay == 0 else base._replace(recursion="diag D")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        for layer in network.layers:
            if len(layer.neuron.shape) > 1:
                return f"{layer.name}: the trace of each neuron is implemented for a vector of neurons"
            if layer.neuron.currents > 1:
                return f"{type(layer.neuron).__name__} has several currents, a trace of each would be needed"
            if loops_of(layer.neuron) is None:
                return f"{type(layer.neuron).__name__} has no equations to differentiate"
        return None

    def remark(self, network: Network) -> str | None:
        return diagonal_remark(network)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.neuron_traces = dict[str, tuple[Tensor, ...]]()

    def postsynaptic(self, block: LayerBlock) -> Tensor:
        layer, ε = block.layer, self.neuron_traces.get(block.layer.name)
        ε_o, self.neuron_traces[layer.name] = advance_traces(
            layer.neuron, block.currents, block.states, ε, self.decay, self.sends(layer)
        )
        return ε_o

    def coefficients(self, L: Tensor, within: Within, post: Tensor | None) -> tuple[Tensor, None]:
        assert post is not None
        return post.mul_(L), None

    def end(self) -> None:
        super().end()
        del self.neuron_traces
