"""The two tasks of NEST's reference tests of e-prop, computed by the components of this package in float64.

NEST (Korcsak-Gorzo et al., test_eprop_bsshslm_2020_plasticity.py) draws weights and data from NumPy's legacy generator
with seed 1 and publishes the losses of five iterations. Weights are drawn in float32. Its rate cost c = 300 and its
losses are sums over steps, ours are means; the constants below are converted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.datasets.task import Classification, Regression
from throughtime.harness.by_name import build_network, build_rule, neuron_type
from throughtime.harness.learner import Learner
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.adam_tensorflow import TensorFlowAdam

NEURONS = 100
RATE_COST = 300.0
CUES, CUE, GAP, DELAY, RECALL, GROUP = 7, 100, 50, 1050, 150, 10
Array = NDArray[Any]


@cache
def pattern_generation(iterations: int) -> tuple[float, ...]:
    """Return the losses ½ Σ_t (y_t − y*_t)² of some iterations of pattern generation, five in a second.

    NEST's gradient is that of this loss plus (c/T) (f̄_j − f*) Σ_t e_ji^t, with step size 1e-4. Ours is that of the mean
    squared error, smaller by T/2, plus 2 c′ (f̄_j − f*) Σ_t e_ji^t / T: the step size is larger by T/2, and c′ = c / T.
    """
    T, inputs, draws = 1000, 100, np.random.RandomState(1)
    W, R = _weights(draws, inputs)
    W_out = np.float32(draws.randn(NEURONS, 1).T / math.sqrt(NEURONS))
    B = np.float32(draws.randn(NEURONS, 1) / math.sqrt(NEURONS))
    x = (draws.rand(T, inputs) < 0.05).astype(float)
    x[0] = 0
    a, φ = draws.uniform(0.5, 2, 4), draws.uniform(0, 2 * np.pi, 4)
    waves = [np.linspace(φ_i, φ_i + 2 * np.pi * (T // P), T) for φ_i, P in zip(φ, (1000, 500, 333, 200), strict=True)]
    y = sum((a_i * np.sin(wave) for a_i, wave in zip(a, waves, strict=True)), np.zeros(T))
    y -= y[0]
    y /= np.abs(y).max()

    with _in_float64():
        network = _network("lif", inputs, 1, readout_tau=30.0, tau=30.0, threshold=0.03)
        rule = build_rule("eprop", feedback="random", rate_cost=RATE_COST / T, rate_target=0.01)
    learner = Learner(network, rule, Regression(chance=1.0, per_step=True), T)
    _set(learner, W, R, W_out, B)
    optimiser = torch.optim.SGD(learner.parameters(), lr=1e-4 * T / 2)
    batch = torch.tensor(x)[:, None], torch.tensor(y)[:, None, None]
    return tuple(T / 2 * float(learner.learn(*batch, optimiser)) for _ in range(iterations))


@cache
def evidence_accumulation(batch: int, iterations: int) -> tuple[float, ...]:
    """Return the mean losses of evidence accumulation over the steps of recall, five in two seconds.

    NEST's gradient of the rate cost is (c/T) (f̄_j − f*) Σ_t e_ji^t / W, with W steps of recall and f̄ of each sequence:
    ours with c′ = c / (2 W). Its β raises the threshold by a trace without the factor 1 − ρ of ours.

    Args:
        batch: number of sequences.
        iterations: number of updates.
    """
    inputs, draws = 4 * GROUP, np.random.RandomState(1)
    W, R = _weights(draws, inputs)
    limit = math.sqrt(3 / max(1, (NEURONS + 2) / 2))
    W_out = np.float32(draws.uniform(-limit, limit, (NEURONS, 2)).T)
    B = np.float32(draws.randn(NEURONS, 2))

    T = CUES * (GAP + CUE) + DELAY + RECALL
    neuron = {"tau": 20.0, "tau_adaptation": 2000.0, "threshold": 0.6, "beta": 1.7 / (1 - math.exp(-1 / 20))}
    with _in_float64():
        network = _network("alif", inputs, 2, readout_tau=20.0, **neuron, adaptive=0.5, input_gain="unit", refractory=5)
        cost = {"rate_cost": RATE_COST / (2 * RECALL), "rate_target": 0.01, "rate_mean": "sample"}
        rule = build_rule("eprop", feedback="random", **cost)
    learner = Learner(network, rule, Classification(2, per_step=True, labelled=RECALL / T), T)
    _set(learner, W, R, W_out, B)
    optimiser = TensorFlowAdam(learner.parameters(), lr=5e-3)
    return tuple(float(learner.learn(*_evidence(draws, T, batch), optimiser)) for _ in range(iterations))


def _evidence(draws: np.random.RandomState, T: int, batch: int) -> tuple[Tensor, Tensor]:
    """Draw spikes [T, batch, inputs] and labels [T, batch] of evidence accumulation."""
    likely = draws.choice([0, 1], batch)
    p = np.array([0.3, 0.7], np.float32)
    sides = np.array([draws.choice([0, 1], CUES, p=[p[which], p[1 - which]]) for which in likely])
    rate = np.zeros((batch, T, 4 * GROUP))
    for b, side_of in enumerate(sides):
        for k, side in enumerate(side_of):
            start = k * (GAP + CUE) + GAP
            rate[b, start : start + CUE, GROUP * side : GROUP * (side + 1)] = 0.04
    rate[:, -RECALL:, 2 * GROUP : 3 * GROUP] = 0.04
    rate[:, :, 3 * GROUP :] = 0.01
    spikes = (rate > draws.rand(rate.size).reshape(rate.shape)).astype(float)
    spikes[:, 0] = 0
    target = np.full((T, batch), -1)
    target[-RECALL:] = sides.sum(1) > CUES // 2
    return torch.tensor(spikes).transpose(0, 1), torch.tensor(target)


def _weights(draws: np.random.RandomState, inputs: int) -> tuple[Array, Array]:
    """Draw W [neurons, inputs] and R [neurons, neurons], whose diagonal is 0."""
    W = np.float32(draws.randn(inputs, NEURONS).T / math.sqrt(inputs))
    R = np.float32(draws.randn(NEURONS, NEURONS).T / math.sqrt(NEURONS))
    np.fill_diagonal(R, 0)
    return W, R


def _network(neuron: str, inputs: int, outputs: int, readout_tau: float, **options: Any) -> Recurrent:
    wiring = {"hidden": [NEURONS], "self_connections": False, "biases": False, "readout_tau": readout_tau}
    network = build_network("recurrent", inputs, outputs, neuron_type(neuron, **options), **wiring)
    return cast(Recurrent, network)  # the network of this name


@torch.no_grad()
def _set(learner: Learner, W: Array, R: Array, W_out: Array, B: Array) -> None:
    """Set the weights of the network, and the feedback weights of the started rule from B [neurons, outputs]."""
    network, rule = cast(Recurrent, learner.network), cast(EProp, learner.rule)
    layer = network.layers[0]
    places = (layer.inward.weight, layer.recurrent.weight, network.readouts[0].linear.weight, rule.B)
    for place, values in zip(places, (W, R, W_out, B.T), strict=True):
        place.copy_(torch.tensor(values))


@contextmanager
def _in_float64() -> Iterator[None]:
    """Context in which constants and weights are created in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
