"""Test accuracy of published weights in neurons of this package: percent of the steps of the test split of QTDB.

As in the sources, a step without a label counts as class 0, the last of the 1301 steps is left out, and the networks
of alif and asrnn are scored from the eleventh step on. All networks are 4-36-6, with recurrent weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
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
OUT_OF_REACH = 1e9
"""Threshold at which neurons do not spike: leaky integrators."""


def brf() -> float:
    """Return the accuracy of the balanced resonators of 2024."""
    return _accuracy_2024("ecg_brf", _resonator(BRF, "ecg_brf"))


def rf() -> float:
    """Return the accuracy of the resonators of 2024."""
    return _accuracy_2024("ecg_rf", _resonator(RF, "ecg_rf"))


def alif() -> float:
    """Return the accuracy of the adaptive neurons of 2024."""
    return _accuracy_2024("ecg_alif", _alif(), SKIPPED)


def alif_spiking_readout() -> float:
    """Return the accuracy of `alif` with a readout as that of 2021, at the initial τ_a of 2021."""
    w = _weights("ecg_alif")
    τ_a = torch.full((CLASSES,), 100.0)
    output = _asrnn(w["out__tau_mem"], τ_a, 0.1, 1.8, decay="exponential_magnitude")
    return _accuracy_2024("ecg_alif", _alif(), SKIPPED, output)


@torch.no_grad()
def asrnn(b0: float, beta: float, spiking_readout: bool) -> float:
    """Return the accuracy of the network of Yin et al. 2021.

    Args:
        b0: b_0 of all neurons.
        beta: β of the hidden neurons.
        spiking_readout: whether the outputs spike; if not, they are leaky integrators, as in 2024 except for the bias.
    """
    w = _weights("ecg_asrnn")
    hidden = _asrnn(w["tau_m_h"], w["tau_adp_h"], b0, beta)
    output = _asrnn(w["tau_m_o"], w["tau_adp_o"], b0 if spiking_readout else OUT_OF_REACH, 1.8)
    x, target = _test_split()
    W, R = w["i2h__weight"], w["h2h__weight"]
    s, o = hidden.initial_state(x.shape[1], x), output.initial_state(x.shape[1], x)
    membranes = []
    for x_t in x.unbind(0):
        s = hidden.step(x_t @ W.t() + w["i2h__bias"] + s.z @ R.t() + w["h2h__bias"], s)
        o = output.step(s.z @ w["h2o__weight"].t() + w["h2o__bias"], o)
        membranes.append(o.v)
    return _percent(torch.stack(membranes), target, SKIPPED)


def _resonator(kind: type[BRF] | type[RF], name: str) -> Neuron:
    w = _weights(name)
    neuron = kind(len(w["hidden__omega"]))
    neuron.omega.data, neuron.damping.data = w["hidden__omega"], w["hidden__b_offset"]
    return neuron


def _alif() -> ASRNN:
    w = _weights("ecg_alif")
    return _asrnn(w["hidden__tau_mem"], w["hidden__tau_adp"], 0.01, 1.8, **OF_2024)


def _asrnn(tau: Tensor, tau_adaptation: Tensor, b0: float, beta: float, **form: Any) -> ASRNN:
    neuron = ASRNN(len(tau), b0=b0, beta=beta, **form)
    neuron.tau.data, neuron.tau_adaptation.data = tau, tau_adaptation
    return neuron


@torch.no_grad()
def _accuracy_2024(name: str, neuron: Neuron, skipped: int = 0, output: ASRNN | None = None) -> float:
    """Return the accuracy of a hidden layer without bias and o_t = κ o_{t−1} + (1 − κ) W_o z_t, κ = exp(−1/|τ|).

    Args:
        name: name of the weights.
        neuron: the hidden neurons.
        skipped: number of first steps that are not scored.
        output: neurons whose membranes are the outputs, in place of o.
    """
    w = _weights(name)
    x, target = _test_split()
    W, κ = w["hidden__linear__weight"], torch.exp(-1 / w["out__tau_mem"].abs())
    s, o = neuron.initial_state(x.shape[1], x), x.new_zeros(x.shape[1], CLASSES)
    s_o = None if output is None else output.initial_state(x.shape[1], x)
    outputs = []
    for x_t in x.unbind(0):
        s = neuron.step(torch.cat((x_t, s.z), 1) @ W.t(), s)
        d = s.z @ w["out__linear__weight"].t()
        if output is None or s_o is None:
            o = κ * o + (1 - κ) * d
        else:
            s_o = output.step(d, s_o)
            o = s_o.v
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
