"""Test accuracy of published weights, percent of steps; `published_networks.py`, which imports torch, computes it."""

from __future__ import annotations

from functools import partial

from throughtime.reports.papers.stored import stored


@stored
def brf() -> float:
    """Return the accuracy of the balanced resonators of Higuchi et al. 2024."""
    from throughtime.reports.ecg import published_networks

    return published_networks.brf()


@stored
def rf() -> float:
    """Return the accuracy of the resonators of Higuchi et al. 2024."""
    from throughtime.reports.ecg import published_networks

    return published_networks.rf()


@stored
def alif() -> float:
    """Return the accuracy of the adaptive neurons of Higuchi et al. 2024."""
    from throughtime.reports.ecg import published_networks

    return published_networks.alif()


@stored
def alif_spiking_readout() -> float:
    """Return the accuracy of `alif` with the readout of 2021."""
    from throughtime.reports.ecg import published_networks

    return published_networks.alif_spiking_readout()


@stored
def asrnn(b0: float = 0.1, beta: float = 0.0, spiking_readout: bool = True) -> float:
    """Return the accuracy of the network of Yin et al. 2021; for the arguments see `published_networks.asrnn`."""
    from throughtime.reports.ecg import published_networks

    return published_networks.asrnn(b0, beta, spiking_readout)


asrnn_adaptive = partial(asrnn, beta=1.8)
asrnn_low_threshold = partial(asrnn, b0=0.01)
asrnn_leaky_readout = partial(asrnn, spiking_readout=False)
