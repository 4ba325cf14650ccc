"""A step and its gradient in closed form are what a window of one step and autograd make, for every option and layer."""

from __future__ import annotations

import copy
import itertools
from unittest import mock

import pytest
import torch

from tests.kernel_twins import before, differing, inputs, network
from throughtime.algorithms.fptt import FPTT
from throughtime.compiled import operations_alone
from throughtime.datasets.task import Classification
from throughtime.networks.flat import Flat
from throughtime.networks.one_step import RecurrentOneStep
from throughtime.neurons.surrogate import SURROGATES, smoothed

OPTIONS = [
    *({"surrogate": surrogate} for surrogate in SURROGATES),
    *(
        dict(zip(("gate_input", "adaptation", "slope", "reset_gradient"), each, strict=True))
        for each in itertools.product(
            ("concatenated", "summed"), ("gated", "off", "unused"), ("fixed", "trained"), (True, False)
        )
    ),
]
NETWORKS = [
    {},
    {"readout_tau": 0.0, "recurrent_bias": True},
    {"readout": "membrane", "readout_leak": "gated"},
    {"hidden": [7, 5, 6]},
    {"hidden": [7, 5], "norm_steps": 4, "recurrent_bias": True, "readout_leak": "gated"},
    {"norm_steps": 50, "readout": "membrane"},
]


def words(options):
    return " ".join(f"{name}={value}" for name, value in options.items()) or "plain"


def steps_of(net, one_step, steps=6, batch=4):
    """Outputs, and gradients after each step, of a random sum of outputs; by `one_step` or by windows and autograd."""
    net = copy.deepcopy(net)
    learnt = {name: p for name, p in net.named_parameters() if p.requires_grad}
    state, found = before(net, batch), {}
    taken = net.one_step(state, Flat([*learnt.values()]).places()) if one_step else None
    assert (taken is not None) == one_step
    generator = torch.Generator().manual_seed(7)
    for t, x in enumerate(inputs(steps, batch)):
        if taken is not None:
            y = taken.step(x)
        else:
            window = net.unroll(x[None], state)
            y, state = window.outputs[0], torch.utils._pytree.tree_map_only(torch.Tensor, torch.detach, window.state)
        δy = torch.randn(y.shape, dtype=y.dtype, generator=generator)
        if taken is not None:
            taken.gradient(δy)
        else:
            y.backward(δy)
        found[f"output {t}"] = y.detach()
        for name, p in learnt.items():
            found[f"{name} {t}"] = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            p.grad = None
    return found | {name: buffer.clone() for name, buffer in net.named_buffers()}


def assert_same(net, batch=4):
    expected = steps_of(net, False, batch=batch)
    assert differing(steps_of(net, True, batch=batch), expected) == []


@pytest.mark.parametrize("options", OPTIONS, ids=words)
def test_every_option(options):
    assert_same(network("ltc", options, readout="membrane"))
    assert_same(network("ltc", options))


@pytest.mark.parametrize("options", NETWORKS, ids=words)
def test_every_network(options):
    net = network("ltc", {"slope": "trained"}, **options)
    assert_same(net)
    assert_same(net.eval())


def test_many_samples_and_neurons():
    """More than loops take in one part."""
    net = network("ltc", {"slope": "trained"}, hidden=[150], norm_steps=3, readout_leak="gated")
    assert_same(net, batch=131)
