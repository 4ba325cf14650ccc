"""Windows of dense layers in the network `layered`, computed at once, against the same network step by step."""

from __future__ import annotations

from functools import partial
from unittest import mock

import pytest
import torch
from torch import Tensor

from throughtime.checks.tiny import largest, seeded
from throughtime.checks.window import differences, stepped
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks import layer_windows as window
from throughtime.networks.kernels.window import Recurrence
from throughtime.networks.layer_windows import computed_at_once
from throughtime.networks.layered.layered import Layered
from throughtime.networks.setting import tiny_setting
from throughtime.registry import NETWORKS, NEURONS

F64 = torch.float64
LAYERS = [
    {"name": "picture", "conv": 2, "pool": {"kind": "max"}},
    {"name": "off", "dense": 6, "reads": ["input"], "channels": [1, 2]},
    {"name": "both", "dense": 5, "reads": ["off", "picture"], "recurrent": True},
    {"name": "noisy", "dense": 4, "dropout": 0.2},
    {"name": "last", "dense": 5, "reads": ["both", "noisy"]},
]
READOUTS = [
    {"name": "spikes"},
    {"name": "membrane", "reads": "both", "of": "membrane", "leak": "gated"},
    {"name": "picture", "reads": "picture", "grid": True, "dropout": 0.1},
]


def net(name: str, layers=LAYERS, readouts=READOUTS) -> Layered:
    with seeded(3):
        built = Layered(
            (2, 4, 4),
            dict.fromkeys((r["name"] for r in readouts), 3),
            NEURONS[name].factory,
            layers=layers,
            readouts=readouts,
        )
        for layer in built.layers[1:]:
            for synapse in layer.synapses.values():
                synapse.module.weight.data.mul_(15)
    return built.double()


def inputs(steps: int = 9) -> Tensor:
    return 2 * torch.randn(steps, 3, 32, dtype=F64, generator=torch.Generator().manual_seed(5))


def named(layers: list[dict]) -> set[str]:
    return computed_at_once(net("lif", layers, [{"name": "out"}]).layers)


def test_layers_that_need_no_step_of_another_layer():
    assert named(LAYERS) == {"off", "both", "noisy", "last"}
    a, b, c = ({"name": name, "dense": 4} for name in "abc")
    assert named([a, {**b, "norm_steps": 1}, c]) == {"a", "b", "c"}
    assert named([a, {**b, "reads": ["a", "c"]}, c, {"name": "d", "dense": 4}]) == {"a", "d"}, "c is read by b"
    inside = [{**a, "reads": ["input", "c"]}, {**b, "reads": ["input"]}, c]
    assert named(inside) == set(), "b lies between two layers that take turns"
    masked = {**b, "reads": ["a", "b"], "dropout": 0.5}
    assert named([a, masked, c]) == {"a", "c"}, "its own spikes pass a mask at each step"


@pytest.mark.parametrize("name", ["lif", "ltc", "lstm", "glif"])
def test_a_window_is_its_steps_with_gradients(name):
    """Two sources, recurrence, dropout, a view of the input, membranes, a grid; a neuron with gates, with several
    currents, with parameters. The layers spike, and a window of five follows one of four."""
    network, x = net(name), inputs()
    state = network.initial_state(3)
    result, expected = network.unroll(x, state), stepped(network, x, state)
    assert all(0 < float(z.detach().abs().mean()) < 0.9 for z in expected.spikes)
    parameters = list(network.parameters())
    assert largest(value for _, value in differences(result, expected, parameters)) < 1e-12
    first = network.unroll(x[:4], state)
    second = network.unroll(x[4:], first.state)
    torch.testing.assert_close(second.outputs["membrane"], expected.outputs["membrane"][4:], rtol=1e-12, atol=1e-12)


def test_the_comparison_notices_a_window_without_its_recurrent_synapses():
    network, x = net("lif"), inputs()
    state = network.initial_state(3)
    forgetful = mock.patch.object(window, "Recurrence", lambda linear, norms: Recurrence(None, norms))
    with forgetful:
        result = network.unroll(x, state)
    error = largest(value for _, value in differences(result, stepped(network, x, state), list(network.parameters())))
    assert error > 1e-3


def test_dense_layers_take_a_window_at_once_and_a_short_one_in_steps():
    network = net("lif")
    with mock.patch.object(window, "layer_window", wraps=window.layer_window) as calls:
        network.unroll(inputs(3), network.initial_state(3))
        assert calls.call_count == 0
        network.unroll(inputs(4), network.initial_state(3))
    layers = [*network.layers[1:], *network.readouts[:2]]  # the third readout has no memory
    assert [call.args[0] for call in calls.call_args_list] == [layer.neuron for layer in layers]


@pytest.mark.parametrize("preset", ["conv_static", "dvs_shallow"])
def test_training_bytes_are_fewer_than_those_of_single_steps(preset):
    setting = tiny_setting(NETWORKS[preset])
    neuron = partial(NEURONS[setting.neuron].factory, **setting.neuron_options)
    with seeded(3):
        network = NETWORKS[preset].factory(setting.inputs, setting.outputs, neuron, **setting.options)
        x = torch.randn(8, 4, torch.Size(setting.inputs).numel())
        state = network.initial_state(4)
    peaks = []
    for computed in (Layered.unroll, stepped):
        with LiveBytes() as live:
            computed(network, x, state).outputs.square().mean().backward()
        network.zero_grad()
        peaks.append(live.peak)
    assert peaks[0] < peaks[1]
