"""e-prop with traces of recurrent weights alone, as a benchmark of learning rules reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import Claims, LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.blocks import BlockRule
from throughtime.algorithms.eligibility.eligibility import EligibilityRule
from throughtime.algorithms.eligibility.trace_block import BlockTraces, Signal, TraceBlock
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Neuron, Partials
from throughtime.registry import algorithm

FILTER = "ē"
"""Name of the variable that filters traces as the readout filters spikes."""


@algorithm("recurrent_traces")
class RecurrentTraces(EligibilityRule):
    """e-prop with traces of the recurrent weights alone; weights of inputs and of lower layers learn within a step.

        recurrent    ε_s^t = Σ_r (∂s_t/∂r_{t−1}) ε_r^{t−1} + (∂s_t/∂I_t) z^{t−1} + Σ_q (∂s_t/∂q_t) ε_q^t
                     with a decay λ:  ε_v^t = λ ε_v^{t−1} + (∂v_t/∂I_t) z^{t−1}
        others       ε_s^t = (∂s_t/∂I_t) p^t + Σ_q (∂s_t/∂q_t) ε_q^t,              p = (x_t, z of lower layers, 1)
        dE/dW_ji     = Σ_t L_j^t ē_ji^t,       ē the filter of the readout on ε_o, L as in `eprop`

    With a decay it is e-prop as Ma et al. 2025 implement it: only recurrent weights have traces, and a trace follows
    the membrane alone, with its leak and without reset and adaptation. With decay null the traces are those of e-prop,
    for recurrent weights alone. Without recurrent weights it drops all credit between steps but the readout's, as
    `sltt`. Cost: at most that of `eprop`.

    Args:
        decay: λ; null: the partial derivatives of the neuron, as in `eprop`.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("recurrent_traces", decay=0.5)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Ma et al. 2025: https://doi.org/10.48550/arXiv.2502.09449
        Bellec et al. 2020: https://doi.org/10.1038/s41467-020-17236-y
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(
        self,
        *,
        decay: Annotated[float, Field(ge=0, lt=1)] | None = None,
        loss_at: LossAt = "every",
        update_every: PositiveInt | None = None,
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        self.decay = decay

    def coordinates(self) -> Coordinates:
        # The scope is that of weights of inputs; the influence of recurrent weights is followed in their own neuron.
        return super().coordinates()._replace(recursion="diag D" if self.decay is None else "scalar", scope="none")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps) or self.untraceable(network):
            return reason
        for layer, state in zip(network.layers, network.initial_state(1).layers, strict=True):
            if any(p.requires_grad for p in layer.neuron.parameters()):
                return f"{layer.name}: parameters of neurons are neither recurrent weights nor those of inputs"
            if self.decay is not None and "v" not in state._fields:
                return f"{layer.name} has no membrane v, whose leak decay is"
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        return BlockRule.credit(self, network, batch, steps)

    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        partials = super().partials(neuron, current, state, next_state)
        if partials is None or self.decay is None:
            return partials
        return partials._replace(from_previous={("v", "v"): self.decay})

    def traces_of(self, layer: Layer, wanted: Sequence[str]) -> BlockTraces:
        return _SplitTraces(layer, wanted)


class _SplitTraces:
    """Traces with memory of the synapses from a layer to itself, and without memory of its others."""

    def __init__(self, layer: Layer, wanted: Sequence[str]) -> None:
        reads: list[bool] = []
        for synapse in layer.synapses.values():
            assert isinstance(synapse.module, nn.Linear), "`supports` rejects other maps"
            reads += [synapse.reads == layer.name] * synapse.module.in_features
        self.columns = [[n for n, own in enumerate((*reads, False)) if own is recurrent] for recurrent in (True, False)]
        self.traces = [TraceBlock(layer.neuron.size, wanted) for _ in self.columns]

    def gather(self, partials: Partials, p: Tensor, signals: Sequence[Signal], goes_on: bool) -> None:
        """Process a block of steps: see `TraceBlock.gather`."""
        kept = {(s, r): factor for (s, r), factor in partials.from_previous.items() if r == FILTER}
        followed = (partials, partials._replace(from_previous=kept))
        for traces, columns, followed_partials in zip(self.traces, self.columns, followed, strict=True):
            if columns:
                few = [signal._replace(sums={}) for signal in signals]
                index = torch.tensor(columns, device=p.device)
                traces.gather(followed_partials, p.index_select(2, index), few, goes_on)
                for signal, part in zip(signals, few, strict=True):
                    for name, gradient in part.sums.items():
                        if name not in signal.sums:
                            signal.sums[name] = gradient.new_zeros(*gradient.shape[:2], p.shape[2])
                        signal.sums[name].index_add_(2, index, gradient)
