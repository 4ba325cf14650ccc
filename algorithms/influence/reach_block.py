"""The influence of each synapse on the neurons that it reaches, carried forward step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from throughtime.algorithms.eligibility.trace_block import Signal
from throughtime.algorithms.eligibility.traces import derivative_at
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Derivative, InputJacobian, Partials
from throughtime.numerics.alike_steps import steps_to_execute

Influence = dict[str, Tensor]
"""M by variable s: ∂s_k/∂W_ji for each neuron k that neuron j reaches, [size, K, batch, currents, fan-in]. With j and k
before the samples, R M is a product of matrices without a copy of M in another order."""


class ReachBlock:
    """The influence of the synapses of neuron j on the state of the neurons k in its reach, with all paths among them.

        M_s^t[k, ji] = Σ_r (∂s_t/∂r_{t−1})_k M_r^{t−1}[k, ji] + Σ_q (∂s_t/∂q_t)_k M_q^t[k, ji]
                       + (∂s_t/∂I_t)_k (Σ_{l in reach of j} R_kl M_z^{t−1}[l, ji] + δ_kj p_i^t)

    Time: batch × size × K² × fan-in per step, for K neurons in the largest reach. Memory: batch × size × K × fan-in
    numbers for each variable that the next step reads.

    Args:
        layer: a layer of neurons that depend on each other through synapses alone; all synapses are linear maps.
        reach: whether neuron j reaches neuron k, [size, size] by j and k; true on the diagonal.
    """

    def __init__(self, layer: Layer, reach: Tensor) -> None:
        self.layer, self.size = layer, layer.neuron.size
        # The neurons of each reach, in their order; rows of fewer than K neurons end in any others.
        K = int(reach.sum(1).max())
        self.neurons = reach.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :K]
        self.within = reach.gather(1, self.neurons)
        own = self.neurons == torch.arange(self.size, device=reach.device)[:, None]
        self.own = own.flatten().nonzero()[:, 0]
        """Place of each neuron in its own reach, among those of all reaches one after the other."""
        self.whole = bool(reach.all())
        """Whether every neuron reaches the whole layer."""
        self.stored: dict[str, Influence] = {}

    def gather(self, partials: Partials, p: Tensor, signals: Sequence[Signal], goes_on: bool) -> None:
        """Process a block of steps; the arguments are those of `TraceBlock.gather`."""
        steps = len(p)
        N = self.neurons
        among = self._among()
        # Sums of products of some steps, but not all, grow at the second of them.
        alike = all(len(L) in (1, steps) for _, L, _ in signals)
        past = {r for _, r in partials.from_previous} | {"z"}

        def in_reach(factor: Derivative, t: int) -> Derivative:
            """Return the derivative at step t for the neurons of each reach, to multiply with an influence."""
            factor = derivative_at(factor, t, steps)
            if not isinstance(factor, Tensor) or factor.dim() == 0:
                return factor
            samples = len(factor) if factor.dim() > 1 else 1
            return factor.expand(samples, self.size).t()[N][..., None, None]

        for name, inflow in partials.inflows.items():
            stored, reads = self.stored.get(name, {}), presynaptic(name, inflow, p)
            for t in steps_to_execute(steps) if alike else range(steps):
                new: Influence = {}
                for (s, r), factor in partials.from_previous.items():
                    if r in stored:
                        add(new, s, in_reach(factor, t), stored[r])
                if "z" in stored:
                    z = stored["z"]
                    from_z = [torch.bmm(R, z.flatten(2)).view(z.shape) for R in among]
                    for s, factor in partials.inflows["current"].by_input.items():
                        for c, arriving in enumerate(from_z):
                            add(new, s, in_reach(derivative_by(factor, c), t), arriving)
                    del z, from_z
                for s, factor in inflow.by_input.items():
                    own = immediate(derivative_at(factor, t, steps), reads[t], self.size).transpose(0, 1)  # k = j
                    if s not in new:
                        new[s] = own.new_zeros(*N.shape, *own.shape[1:])
                    new[s].view(-1, *own.shape[1:]).index_add_(0, self.own, own)
                for (s, q), factor in partials.within_step.items():
                    if q in new:
                        add(new, s, in_reach(factor, t), new[q])
                self._sum(name, new, t - steps, signals)
                stored = {s: M for s, M in new.items() if s in past}
            self.stored[name] = stored if goes_on else {}

    def _among(self) -> list[Tensor]:
        """Return R_kl of the neurons k and l of each reach, [size, K, K], for each current."""
        weights = own_weights(self.layer)
        if self.whole:  # R itself, without a copy for each neuron
            return [R.expand(self.size, -1, -1) for R in weights]
        N, both = self.neurons, self.within[:, :, None] & self.within[:, None]
        return [R[N[:, :, None], N[:, None, :]] * both for R in weights]

    def _sum(self, name: str, M: Influence, t: int, signals: Sequence[Signal]) -> None:
        """Add Σ_batch Σ_k L_k M_o[k] of a step to the sums of each signal; t counts from the end of the block."""
        for o, L, sums in signals:
            if o not in M or -t > len(L):
                continue
            size, K, batch, currents, fan_in = M[o].shape
            at_reach = L[t].expand(batch, self.size).t()[self.neurons] * self.within[..., None]
            product = torch.bmm(at_reach.reshape(size, 1, K * batch), M[o].view(size, K * batch, currents * fan_in))
            product = product.view(size, currents, fan_in).transpose(0, 1)
            sums[name] = sums[name] + product if name in sums else product


def own_weights(layer: Layer) -> Tensor:
    """Return R of the synapses from a layer to itself, one matrix for each current: [currents, size, size]."""
    neuron, shape = layer.neuron, (layer.neuron.currents, layer.neuron.size)
    maps = [(s.reads, s.module.weight.detach()) for s in layer.synapses.values() if isinstance(s.module, nn.Linear)]
    total = maps[0][1].new_zeros(*shape, neuron.size)
    for reads, weight in maps:
        if reads == layer.name:
            total += weight.unflatten(0, shape)
    return total


def within_steps(R: Tensor, n: int) -> Tensor:
    """Return whether the current of neuron j influences neuron k within n steps, itself included, [size, size] by j and
    k, for recurrent weights R [currents, size, size]."""
    connected = (R != 0).any(0).to(R.dtype)
    reached = torch.eye(len(connected), dtype=R.dtype, device=R.device)
    for _ in range(n - 1):
        further = ((reached + connected @ reached) > 0).to(R.dtype)
        if further.equal(reached):
            break
        reached = further
    return reached.t() > 0


def presynaptic(name: str, inflow: InputJacobian, p: Tensor) -> Tensor:
    """Return what an input of the step reads, [steps, batch, fan-in]; 1 for a parameter."""
    if name == "current":
        return p
    ones = p[..., -1:]
    return ones if inflow.presynaptic is None else torch.cat((inflow.presynaptic.unflatten(0, p.shape[:2]), ones), 2)


def derivative_by(factor: Derivative, c: int) -> Derivative:
    """Return the derivative by current c of each neuron."""
    return factor[:, c] if isinstance(factor, Tensor) and factor.dim() == 3 else factor


def immediate(factor: Derivative, reads: Tensor, size: int) -> Tensor:
    """Return (∂s_t/∂I_t)_j p_i, [batch, size, currents, fan-in]."""
    f = torch.as_tensor(factor, dtype=reads.dtype, device=reads.device)
    f = f.transpose(1, 2) if f.dim() == 3 else f.expand(len(reads), size)[..., None]
    return f[..., None] * reads[:, None, None]


def add(sums: Influence, name: str, factor: Derivative, M: Tensor) -> None:
    """Add factor · M to the named sum."""
    if name not in sums:
        sums[name] = M * factor  # the order of M in memory, and not that of the factor
    elif isinstance(factor, Tensor):
        sums[name].addcmul_(factor, M)
    else:
        sums[name].add_(M, alpha=factor)
