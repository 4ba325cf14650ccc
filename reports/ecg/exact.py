"""Test accuracy of published weights in neurons of this package: percent of the steps of the test split of QTDB.

As in the sources, a step without a label counts as class 0, the last of the 1301 steps is left out, and the networks
of alif and asrnn are scored from the eleventh step on. All networks are 4-36-6, with recurrent weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from importlib import resources
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.datasets.ecg import CLASSES, Ecg
from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.base import Neuron
from throughtime.neurons.brf import BRF
from throughtime.neurons.rf import RF

STEPS, SKIPPED = 1300, 10
Weights = dict[str, Tensor]
OF_2024 = {"reset": "same_step", "decay": "exponential_magnitude"}
"""Options of the adaptive neuron of Higuchi et al. 2024."""


def brf() -> float:
    return _of_leaky_readout("ecg_brf", _resonator(BRF, "ecg_brf"))


def rf() -> float:
    return _of_leaky_readout("ecg_rf", _resonator(RF, "ecg_rf"))


def alif() -> float:
    w = _weights("ecg_alif")
    neuron = _asrnn(w["hidden__tau_mem"], w["hidden__tau_adp"], 0.01, 1.8, **OF_2024)
    return _of_leaky_readout("ecg_alif", neuron, SKIPPED)


@torch.no_grad()
def asrnn(b0: float = 0.1, beta: float = 0.0) -> float:
    """Return the accuracy of the network of Yin et al. 2021: b_0 of all neurons, and β of the hidden ones."""
    w = _weights("ecg_asrnn")
    hidden = _asrnn(w["tau_m_h"], w["tau_adp_h"], b0, beta)
    output = _asrnn(w["tau_m_o"], w["tau_adp_o"], b0, 1.8)
    x, target = _test_split()
    W, R = w["i2h__weight"], w["h2h__weight"]
    s, o = hidden.initial_state(x.shape[1], x), output.initial_state(x.shape[1], x)
    membranes = []
    for x_t in x.unbind(0):
        s = hidden.step(x_t @ W.t() + w["i2h__bias"] + s.z @ R.t() + w["h2h__bias"], s)
        o = output.step(s.z @ w["h2o__weight"].t() + w["h2o__bias"], o)
        membranes.append(o.v)
    return _percent(torch.stack(membranes), target, SKIPPED)


asrnn_adaptive = partial(asrnn, beta=1.8)
asrnn_low_threshold = partial(asrnn, b0=0.01)


def _resonator(kind: type[BRF] | type[RF], name: str) -> Neuron:
    w = _weights(name)
    neuron = kind(len(w["hidden__omega"]))
    neuron.omega.data, neuron.damping.data = w["hidden__omega"], w["hidden__b_offset"]
    return neuron


def _asrnn(tau: Tensor, tau_adaptation: Tensor, b0: float, beta: float, **form: Any) -> ASRNN:
    neuron = ASRNN(len(tau), b0=b0, beta=beta, **form)
    neuron.tau.data, neuron.tau_adaptation.data = tau, tau_adaptation
    return neuron


@torch.no_grad()
def _of_leaky_readout(name: str, neuron: Neuron, skipped: int = 0) -> float:
    """Return the accuracy of a hidden layer without bias and o_t = κ o_{t−1} + (1 − κ) W_o z_t, κ = exp(−1/|τ|)."""
    w = _weights(name)
    x, target = _test_split()
    W, κ = w["hidden__linear__weight"], torch.exp(-1 / w["out__tau_mem"].abs())
    s, o = neuron.initial_state(x.shape[1], x), x.new_zeros(x.shape[1], CLASSES)
    outputs = []
    for x_t in x.unbind(0):
        s = neuron.step(torch.cat((x_t, s.z), 1) @ W.t(), s)
        o = κ * o + (1 - κ) * (s.z @ w["out__linear__weight"].t())
        outputs.append(o)
    return _percent(torch.stack(outputs), target, skipped)


def _percent(outputs: Tensor, target: Tensor, skipped: int) -> float:
    return 100 * float((outputs.argmax(2) == target)[skipped:].double().mean())


@cache
def _weights(name: str) -> Weights:
    with resources.files("throughtime.published").joinpath(f"{name}.npz").open("rb") as file:
        return {key: torch.tensor(value) for key, value in np.load(file).items()}


@cache
def _test_split() -> tuple[Tensor, Tensor]:
    """Return the inputs [steps, sequences, 4] and the classes [steps, sequences] of the test split."""
    data = Ecg(unlabelled="class 0", steps=STEPS)
    data.prepare()
    batches: Iterator = data.batches("test", data.size("test"), None)
    batch = next(batches)
    return batch.x, batch.target
