"""Encoders of real-valued signals as spikes."""

from __future__ import annotations

import numpy as np

NEVER = np.iinfo(np.int64).max
"""Step of a spike that does not occur."""


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


def first_spike(x: np.ndarray, tau: float, threshold: float) -> np.ndarray:
    """Encode numbers as times: the step at which a leaky integrator from 0 with the input x reaches its threshold.

        t = ⌊τ ln(x / (x − θ))⌋         x > θ;  never for x ≤ θ

    Args:
        x: numbers of any shape, at least 0.
        tau: τ, in steps.
        threshold: θ, in the unit of x.

    Returns:
        The step of each number, int64 of the shape of x; `NEVER` without one.

    Source: Neftci, Mostafa and Zenke 2019, SpyTorch, tutorial 2 (`current2firing_time`).
    """
    steps, reached = np.full(np.shape(x), NEVER), np.asarray(x) > threshold
    reaching = np.asarray(x, float)[reached]
    steps[reached] = np.floor(tau * np.log(reaching / (reaching - threshold)))
    return steps
