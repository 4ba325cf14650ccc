"""Test accuracy of published weights, percent of steps; `published_networks.py`, which imports torch, computes it."""

from __future__ import annotations

from functools import partial

from throughtime.reports.papers.stored import stored


@stored
def of_2024(name: str) -> float:
    """Return the accuracy of a network of Higuchi et al. 2024; for the names see `published_networks`."""
    from throughtime.reports.ecg import published_networks

    return getattr(published_networks, name)()


@stored
def asrnn(b0: float = 0.1, beta: float = 0.0, spiking_readout: bool = True) -> float:
    """Return the accuracy of the network of Yin et al. 2021; for the arguments see `published_networks.asrnn`."""
    from throughtime.reports.ecg import published_networks

    return published_networks.asrnn(b0, beta, spiking_readout)


brf, rf, alif, alif_spiking_readout = (partial(of_2024, name) for name in ("brf", "rf", "alif", "alif_spiking_readout"))
asrnn_adaptive = partial(asrnn, beta=1.8)
asrnn_low_threshold = partial(asrnn, b0=0.01)
asrnn_leaky_readout = partial(asrnn, spiking_readout=False)
