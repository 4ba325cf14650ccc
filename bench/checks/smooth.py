"""The gradient of a network whose spikes are smooth, against differences."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.checks.fact import DoesNotApplyError
from throughtime.checks.tiny import gradient, largest, seeded
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.neurons.surrogate import smoothed

STEPS, H = 6, 1e-5
WARM_UP = 4
"""Number of training passes before a network with running statistics is evaluated."""


def smooth_error(network: Network, x: Tensor, target: Tensor, task: Task) -> float:
    """Return the largest relative error of autograd's derivative along one random direction for each parameter.

    Each spike is replaced by the function whose derivative is its surrogate, and nothing is held constant, so the
    gradient is a true derivative: central differences of the loss must agree with it.

    Args:
        network: the network.
        x: [steps, batch, inputs].
        target: one row for each sequence.
        task: the task, with a loss at each step.

    Raises:
        DoesNotApplyError: spikes stay 0 and 1, so another function than `neurons.surrogate.spike` computes them.
    """

    def E() -> Tensor:
        with seeded(11):
            window = network.unroll(x, network.initial_state(len(target)))
        return task.loss(window.steps(), target.repeat(len(x)))

    with smoothed():
        # A network that mixes samples is in evaluation mode, where running statistics are constant: those of training,
        # without which deep layers would be silent.
        for _ in range(WARM_UP if network.mixes_samples else 0):
            with torch.no_grad():
                E()
        network.train(not network.mixes_samples)
        with seeded(11), torch.no_grad():
            spikes = torch.cat([z.flatten() for z in network.unroll(x, network.initial_state(len(target))).spikes])
        if network.spiking and bool(((spikes == 0) | (spikes == 1)).all()) and bool(spikes.any()):
            raise DoesNotApplyError("its spikes are not made by `spike` of neurons/surrogate.py: nothing is smooth")
        gradients = gradient(E(), network)
        errors, sizes = [], []
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            for p, g in zip((p for p in network.parameters() if p.requires_grad), gradients, strict=True):
                d = torch.randn(p.shape, dtype=p.dtype, generator=generator)
                d /= d.norm()
                p.add_(d, alpha=H)
                above = E()
                p.sub_(d, alpha=2 * H)
                below = E()
                p.add_(d, alpha=H)
                errors.append(abs(float((above - below) / (2 * H) - (g * d).sum())))
                sizes.append(float(g.norm()))
    return largest(errors) / largest(sizes)
