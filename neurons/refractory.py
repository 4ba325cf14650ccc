"""An absolute refractory period."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from throughtime.neurons.surrogate import constant, spike


class Refractory(NamedTuple):
    """Spikes of a step and the steps that remain of the refractory period, [batch, size]."""

    z: Tensor
    r: Tensor


def refractory(fired: Tensor, r: Tensor, period: float) -> Refractory:
    """Suppress spikes in the n − 1 steps after a spike.

        r′ = max(r_{t−1} − 1, 0)
        z_t = H(x_t) [r′ = 0]
        r_t = r′ + n z_t

    The gradient of a suppressed spike is 0, and none flows through r. Source: Bellec et al. 2020 and the
    eprop_iaf_bsshslm_2020 neuron of NEST; r counts down before the test, so that n = 1 suppresses nothing.

    Args:
        fired: H(x_t).
        r: r_{t−1}.
        period: n, in steps.
    """
    r = r - constant(spike(r, "arctan"))  # r is a whole number, so [r > 0] is min(r, 1)
    z = fired * constant(1 - spike(r, "arctan"))
    return Refractory(z, constant(r + period * z))
