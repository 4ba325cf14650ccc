"""Encoders of real-valued signals as spikes."""

from __future__ import annotations

import numpy as np


def send_on_delta(x: np.ndarray, delta: float) -> np.ndarray:
    """Encode changes as spikes: one channel signals that the input rose by δ, another that it fell by δ.

        u_t = [x_t − b_{t−1} ≥ δ],   d_t = [b_{t−1} − x_t ≥ δ],   b_t = b_{t−1} + δ (u_t − d_t),   b_{−1} = 0

    b is the reconstruction of x from the spikes: where x changes by at most δ per step, |x_t − b_t| < δ. Where x
    changes faster, b follows by δ per step.

    Args:
        x: [steps, channels].
        delta: δ, in the units of x.

    Returns:
        [steps, 2 channels] uint8, zeros and ones: first all u, then all d.

    Source: Miskowicz, Sensors 6 (2006), with at most one spike per step; also called delta modulation.
    """
    spikes = np.zeros((len(x), 2, x.shape[1]), np.uint8)
    b = np.zeros(x.shape[1])
    tolerance = 1e-9 * delta  # a rise of exactly δ counts whatever the rounding of b
    for x_t, (u_t, d_t) in zip(x, spikes, strict=True):
        u_t[:] = x_t - b >= delta - tolerance
        d_t[:] = b - x_t >= delta - tolerance
        b += delta * (u_t.astype(float) - d_t)
    return spikes.reshape(len(x), -1)
