"""The table of defaults and initial distributions holds the package's components, and finds one that is changed."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.checks.fact import evaluate
from throughtime.checks.own.reference import DEFAULTS, DRAWS, facts
from throughtime.checks.tiny import seeded
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.lif import LIF
from throughtime.neurons.ltc import LTC
from throughtime.registry import REGISTRIES

PACKAGE = [
    registry[name]
    for registry in REGISTRIES.values()
    for name in registry.names()
    if registry.kind != "datasets" and registry[name].origin == "throughtime"
]


def test_every_component_with_options_of_its_own_is_in_the_table():
    named = {(c.kind, c.name) for c in PACKAGE if c.options.model_fields}
    # Their numbers of parameters, and tests of their own, hold the presets of the FPTT paper.
    presets = ("adding_rnn", "adding_snn", "smnist_srnn", "conv_static", "dvs_shallow", "dvs_conv_v3", "dvs_conv_v4")
    paper = {("networks", name) for name in (*presets, "dvs_cifar10_vgg", "spyv4")}
    assert named - paper == set(DEFAULTS)


@pytest.mark.parametrize("component", [c for c in PACKAGE if facts(c)], ids=lambda c: c.name)
def test_the_package_is_as_the_table_says(component):
    for fact in facts(component):
        assert evaluate(fact, component).verdict == "holds", evaluate(fact, component)


class OtherBeta(ALIF):
    def __init__(
        self, shape, *, tau=20.0, tau_max=None, tau_adaptation=200.0, threshold=0.1, beta=1.7, surrogate="triangle"
    ):
        super().__init__(shape, beta=beta)


class OtherDecay(EProp):
    def __init__(self, **options):
        super().__init__(**options)
        self.feedback_decay = 0.02


class BiasedReadout(Recurrent):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        nn.init.ones_(self.readout.linear.bias)


class WiderReadout(Recurrent):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.readout.linear.weight.data.mul_(2)


class UniformGlorot(LTC):
    def __init__(self, shape):
        super().__init__(shape)
        nn.init.xavier_normal_(self.membrane_gate.weight)


class OtherSpread(ASRNN):
    def __init__(self, shape):
        super().__init__(shape, tau_sd=6.0)


@pytest.mark.parametrize(
    "key, broken, k",
    [
        (("neurons", "alif"), OtherBeta, 0),
        (("rules", "eprop"), OtherDecay, 0),
        (("networks", "recurrent"), BiasedReadout, -1),
        (("neurons", "ltc"), UniformGlorot, -1),
        (("neurons", "asrnn"), OtherSpread, -1),
    ],
)
def test_a_component_that_is_changed_is_found(key, broken, k):
    component = REGISTRIES[key[0]][key[1]]
    changed = dataclasses.replace(component, factory=broken)
    assert evaluate(facts(component)[k], changed).verdict == "fails"


def test_feedback_is_drawn_with_the_spread_of_its_docstring():
    network, rule = Recurrent(3, 100, LIF, hidden=[400]), EProp(feedback="random")
    with seeded(3):
        rule.start(network, Classification(100), 12)
    B = rule.B.detach()
    assert float(B.std()) * 400**0.5 == pytest.approx(1, abs=5 / (2 * B.numel()) ** 0.5)
    assert float(B.abs().max()) > 3 / 400**0.5, "normal, not uniform"


def test_the_spread_of_the_feedback_is_an_option():
    network = Recurrent(3, 100, LIF, hidden=[400])
    drawn = []
    for options in ({}, {"feedback_sd": 1.0}):
        rule = EProp(feedback="random", **options)
        with seeded(3):
            rule.start(network, Classification(100), 12)
        drawn.append(rule.B.detach())
    assert torch.allclose(drawn[0] * 400**0.5, drawn[1])
    with pytest.raises(ValueError, match="feedback_sd would do nothing"):
        EProp(feedback_sd=1.0)


def test_a_readout_that_is_drawn_wider_is_found():
    component = dataclasses.replace(REGISTRIES["networks"]["recurrent"], factory=WiderReadout)
    result = evaluate(facts(component)[-1], component)
    assert result.verdict == "fails" and "readout" in result.note
    assert set(DRAWS) >= {("networks", "recurrent")}
