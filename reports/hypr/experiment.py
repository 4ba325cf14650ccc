"""The gradient of e-prop by an associative scan over the steps of a block, as hybrid propagation (HYPR) computes it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.datasets.task import Classification
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Partials
from throughtime.registry import NEURONS
from throughtime.reports.layer_gradients import gradients_by_parameter

STEPS, BATCH, INPUTS, SIZE, CLASSES = 60, 3, 4, 7, 3
OPTIONS = {
    "lif": {"tau": 5.0, "threshold": 0.1},
    "alif": {"tau": 5.0, "tau_adaptation": 30.0, "threshold": 0.1},
    "brf": {"dt": 0.1, "omega_min": 1.0, "omega_max": 4.0, "threshold": 0.05},
}
"""Neurons that spike here; brf is the neuron of the paper's electrocardiograms."""


class Linear(NamedTuple):
    """The maps ε ↦ A ε + b of some steps, one after the other: A [steps, n, n, batch, size], b [steps, n, batch, size,
    fan-in]."""

    A: Tensor
    b: Tensor


def composed(later: Linear, earlier: Linear) -> Linear:
    """Return the maps of `earlier` followed by `later`: A = A' A'',  b = A' b'' + b'. It is associative."""
    A = torch.einsum("tijbs,tjkbs->tikbs", later.A, earlier.A)
    return Linear(A, torch.einsum("tijbs,tjbsf->tibsf", later.A, earlier.b) + later.b)


def scanned(maps: Linear) -> Linear:
    """Return the maps from the start of the block to each step, by ⌈log₂ steps⌉ compositions of all steps at once."""
    A, b, distance = *maps, 1
    while distance < len(A):
        far = composed(Linear(A[distance:], b[distance:]), Linear(A[:-distance], b[:-distance]))
        A, b = torch.cat((A[:distance], far.A)), torch.cat((b[:distance], far.b))
        distance *= 2
    return Linear(A, b)


def gradients(neuron: str, block: int, carried: bool = True) -> tuple[Tensor, Tensor]:
    """Return the gradient of W, R and bias [size, fan-in] by scans over blocks, and by the rule `eprop`.

    Args:
        neuron: name of a neuron of `OPTIONS`.
        block: steps of a block.
        carried: whether the traces go on from block to block; if not, the scan forgets them.
    """
    network, x, target = drawn(neuron, SIZE, STEPS, BATCH)
    return by_scans(network, x, target, block, carried), _eprop_gradient(network, x, target)


def by_scans(network: Recurrent, x: Tensor, target: Tensor, block: int, carried: bool = True) -> Tensor:
    """Return e-prop's gradient of W, R and bias [size, fan-in] by a scan over each block of steps.

    Args:
        network: one recurrent layer whose neurons depend on no other.
        x: [steps, batch, inputs].
        target: classes [batch]; the loss is the mean over all steps.
        block: steps of a block.
        carried: whether the traces go on from block to block.
    """
    layer, readout, task, batch = network.layers[0], network.readouts[0], Classification(CLASSES), x.shape[1]
    size, κ, state = layer.neuron.size, readout.neuron.decay or 0.0, network.initial_state(batch)
    s, y = state.layers[0], state.y
    ε, total = None, x.new_zeros(size, x.shape[2] + size + 1)
    for start in range(0, len(x), block):
        steps, p, L = [], [], []
        for x_t in x[start : start + block]:
            with torch.no_grad():
                current = layer.total_current({INPUT: x_t, layer.name: s.z}, 0, 0)
                p.append(torch.cat((x_t, s.z, x.new_ones(batch, 1)), 1))
                _, after = layer.neuron(current, s)
                partials = layer.neuron.partials(current, s, after)
                assert partials is not None
                steps.append(_total(partials, κ, x.new_zeros(batch, size)))
                s, y = after, readout(readout.linear(after.z), y)
            leaf = y.clone().requires_grad_()
            (δ,) = torch.autograd.grad(task.loss(leaf, target) / len(x), leaf)
            L.append(δ @ readout.linear.weight.detach())
        A, B = (torch.stack(parts) for parts in zip(*steps, strict=True))
        maps = scanned(Linear(A, B[..., None] * torch.stack(p)[:, None, :, None]))
        traces = maps.b if ε is None else maps.b + torch.einsum("tijbs,jbsf->tibsf", maps.A, ε)
        total += torch.einsum("tbs,tbsf->sf", torch.stack(L), traces[:, -1])
        if carried:
            ε = traces[-1]
    return total


def _total(partials: Partials, κ: float, zeros: Tensor) -> tuple[Tensor, Tensor]:
    """Return A [n, n, batch, size] and B [n, batch, size] of one step of ε and of ē = κ ē + (1 − κ) ε_z, which is last:
    the total derivatives of the variables by those of the step before and by the current."""
    past = list(dict.fromkeys(r for _, r in partials.from_previous))
    by: dict[str, dict[str, Tensor]] = {source: {} for source in (*past, "current")}
    for (variable, r), factor in partials.from_previous.items():
        by[r][variable] = torch.as_tensor(factor, dtype=zeros.dtype) + zeros
    for variable, factor in partials.inflows["current"].by_input.items():
        derivative = torch.as_tensor(factor, dtype=zeros.dtype)
        by["current"][variable] = (derivative[:, 0] if derivative.dim() == 3 else derivative) + zeros
    for (variable, q), factor in partials.within_step.items():
        for line in by.values():
            if q in line:
                line[variable] = line.get(variable, zeros) + torch.as_tensor(factor, dtype=zeros.dtype) * line[q]
    rows = [torch.stack([by[r].get(variable, zeros) for r in past]) for variable in (*past, "z")]
    inflow = [by["current"].get(variable, zeros) for variable in (*past, "z")]
    A = zeros.new_zeros(len(past) + 1, len(past) + 1, *zeros.shape)
    A[:, :-1] = torch.stack([*rows[:-1], (1 - κ) * rows[-1]])
    A[-1, -1] = κ
    return A, torch.stack([*inflow[:-1], (1 - κ) * inflow[-1]])


def drawn(neuron: str, size: int, steps: int, batch: int) -> tuple[Recurrent, Tensor, Tensor]:
    """Return a network of so many neurons of `OPTIONS`, x [steps, batch, inputs] and classes [batch], in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = Recurrent(
            INPUTS, CLASSES, lambda size: NEURONS[neuron].factory(size, **OPTIONS[neuron]), hidden=[size]
        ).double()
        return network, 2 * torch.randn(steps, batch, INPUTS).double(), torch.randint(CLASSES, (batch,))


def _eprop_gradient(network: Recurrent, x: Tensor, target: Tensor) -> Tensor:
    """Return the gradient of `eprop`, [size, fan-in]."""
    layer = network.layers[0]
    maps = (layer.inward.weight, layer.recurrent.weight, layer.inward.bias)
    by = gradients_by_parameter(network, "eprop", x, target, Classification(CLASSES))
    return torch.cat([by[p].view(layer.neuron.size, -1) for p in maps], 1)
