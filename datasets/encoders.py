"""Turning real-valued traces into spikes."""

from __future__ import annotations

import numpy as np


def send_on_delta(x: np.ndarray, delta: float) -> np.ndarray:
    """Spikes that tell of changes: one channel says that a trace rose by δ, another that it fell by δ.

        u_t = [x_t − b_{t−1} ≥ δ],   d_t = [b_{t−1} − x_t ≥ δ],   b_t = b_{t−1} + δ (u_t − d_t),   b_{−1} = 0

    b is what a receiver knows of x who counts spikes: wherever x changes by at most δ a step, |x_t − b_t| < δ. A trace
    that changes faster is followed by δ a step.

    Args:
        x: [steps, channels].
        delta: δ, in the unit of x.

    Returns:
        [steps, 2 channels] uint8, zeros and ones: first all u, then all d.

    Source: Miskowicz, Sensors 6 (2006), with at most one spike a step; also called delta modulation.
    """
    spikes = np.zeros((len(x), 2, x.shape[1]), np.uint8)
    b = np.zeros(x.shape[1])
    tolerance = 1e-9 * delta  # so that a rise of exactly δ counts however b was added up
    for x_t, (u_t, d_t) in zip(x, spikes, strict=True):
        u_t[:] = x_t - b >= delta - tolerance
        d_t[:] = b - x_t >= delta - tolerance
        b += delta * (u_t.astype(float) - d_t)
    return spikes.reshape(len(x), -1)
