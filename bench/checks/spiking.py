"""Whether the neurons of a network spike, and weights under which they do: for zeros every identity holds."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.checks.tiny import seeded
from throughtime.networks.recurrent import Recurrent


@torch.no_grad()
def enliven(network: Recurrent, x: Tensor) -> None:
    """Enlarge the input weights until each layer spikes under x.

    Raises:
        ValueError: no weights do that.
    """
    for _ in range(20):
        if is_alive(network, x):
            return
        for layer in network.layers:
            layer.inward.weight.mul_(1.5)
    raise ValueError("the network is dead")


def is_alive(network: Recurrent, x: Tensor, least: float = 0.05) -> bool:
    """Return whether the neurons of each layer spike at `least` to 95 % of the steps, or are no neurons that spike: for
    zeros every identity holds."""
    with torch.no_grad(), seeded(11):
        spikes = network.unroll(x, network.initial_state(x.shape[1])).spikes
    return not network.spiking or all(least < float(z.mean()) < 0.95 for z in spikes)
