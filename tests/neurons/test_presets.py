"""The paper's neurons and networks by name: parameter counts, and the constants that make them the paper's."""

from __future__ import annotations

from functools import partial

import pydantic
import pytest
import torch

from throughtime.neurons.base import Neuron
from throughtime.registry import NETWORKS, NEURONS


def net(network: str, neuron: str, inputs: int, outputs: int, **options) -> torch.nn.Module:
    return NETWORKS[network].factory(inputs, outputs, NEURONS[neuron].factory, **options)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "neuron", "parameters"),
    [
        ("adding_snn", "ltc_adding", 82_689),
        ("adding_snn", "asrnn_adding", 17_153),
        ("adding_rnn", "lstm", 67_713),
        ("adding_rnn", "rnn", 17_025),
    ],
)
def test_adding_task_has_the_papers_parameter_counts(network, neuron, parameters):
    assert count(net(network, neuron, 2, 1)) == parameters


def test_adding_task_ltc_has_an_unused_gate():
    unused = [p for p in net("adding_snn", "ltc_adding", 2, 1).parameters() if not p.requires_grad]
    assert sum(p.numel() for p in unused) == 32_896


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [
        ([128], 84_595),
        ([256], 332_787),
        ([512], 1_320_691),
        ([128, 128], 183_925),
        ([256, 256], 728_053),
        ([512, 512], 2_897_653),
    ],
)
def test_smnist_has_the_papers_parameter_counts(hidden, parameters):
    assert count(net("smnist_srnn", "ltc_smnist", 1, 10, hidden=hidden)) == parameters


def test_options_and_their_defaults():
    for neuron in ("ltc_adding", "asrnn_adding", "ltc_smnist"):
        assert NEURONS[neuron].checked({}) == {}
    for network in ("adding_snn", "adding_rnn"):
        assert NETWORKS[network].checked({}) == {"hidden": [128]}
    assert NETWORKS["smnist_srnn"].checked({}) == {"hidden": [256], "steps": 784}
    for wrong in ({"hidden": []}, {"hidden": 128}, {"steps": 0}, {"readout": "spikes"}):
        with pytest.raises(pydantic.ValidationError):
            NETWORKS["smnist_srnn"].checked(wrong)


def step(neuron: Neuron, current: float, **state: float):
    """One step of one neuron from a given state."""
    zero = neuron.initial_state(1, torch.zeros(1))
    start = zero._replace(**{field: torch.tensor([[value]]) for field, value in state.items()})
    with torch.no_grad():
        return neuron(torch.tensor([[current]]), start)[1]


def test_ltc_adding_by_hand():
    # Threshold 0.5 with ṽ = v where I = v, whatever the gates: a spike above it, none below; b stays 0 after a spike.
    neuron = NEURONS["ltc_adding"].factory(1)
    assert [float(part) for part in step(neuron, 0.51, v=0.51)] == [0, 0, 1]
    assert [float(part) for part in step(neuron, 0.49, v=0.49, z=1.0)] == pytest.approx([0.49, 0, 0])
    assert not any(part.any() for part in neuron.initial_state(3, torch.zeros(1)))
    assert neuron.membrane_slope is None


def test_asrnn_adding_by_hand():
    # α = ρ = 1/2 where τ = τ_a = 0.  From v = 0.4, b = 0.2, z = 1 at I = 0.1, R_m = 3:
    # b1 = 0.6, θ1 = 0.1 + 1.8 · 0.6 = 1.18, v1 = 0.2 + 0.5 · 3 · 0.1 − 1.18 = −0.83
    neuron = NEURONS["asrnn_adding"].factory(1)
    with torch.no_grad():
        neuron.tau.zero_()
        neuron.tau_adaptation.zero_()
    assert [float(part) for part in step(neuron, 0.1, v=0.4, b=0.2, z=1.0)] == pytest.approx([-0.83, 0.6, 0])
    assert neuron.surrogate == "multi_gaussian"


def test_asrnn_adding_draws():
    torch.manual_seed(0)
    neuron = NEURONS["asrnn_adding"].factory(10_000)
    for τ, mean in ((neuron.tau, 2), (neuron.tau_adaptation, 4)):
        assert float(τ.detach().mean()) == pytest.approx(mean, abs=0.05)
        assert float(τ.detach().std()) == pytest.approx(1, abs=0.03)


def test_ltc_smnist():
    torch.manual_seed(0)
    neuron = NEURONS["ltc_smnist"].factory(100)
    # Glorot's normal rule: sd √(2/(200 + 100)) = 0.0816
    for gate in (neuron.membrane_gate, neuron.adaptation_gate):
        assert float(gate.weight.detach().std()) == pytest.approx(0.0816, rel=0.03)
        assert float(gate.weight.detach().abs().max()) > 0.0816 * 2  # a uniform draw of that sd ends at 0.0816 · √3
        assert not gate.bias.any()
    assert (float(neuron.membrane_slope.detach()), float(neuron.adaptation_slope.detach())) == (1, 1)
    v, b, z = neuron.initial_state(50, torch.zeros(1))
    assert float(v.mean()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(b, torch.full_like(b, 0.1)) and not z.any()
    # θ = 0.1 + 1.8 b with b = 0.2 at rest in ρ = 1: 0.46.  Gates held open or shut by their biases.
    single = NEURONS["ltc_smnist"].factory(1)
    with torch.no_grad():
        single.adaptation_gate.bias.fill_(100)
    assert float(step(single, 0.47, v=0.47, b=0.2, z=0.0).z) == 1
    assert float(step(single, 0.45, v=0.45, b=0.2, z=0.0).z) == 0


def test_adding_networks_read_the_last_membrane_alone():
    for network, neuron in (("adding_snn", "ltc_adding"), ("adding_rnn", "lstm")):
        torch.manual_seed(0)
        example = net(network, neuron, 2, 1, hidden=[20])
        window = example.unroll(torch.rand(5, 3, 2), example.initial_state(3))
        torch.testing.assert_close(window.outputs[-1], example.readout.linear(window.state.layers[-1].v))


def test_adding_networks_draw_their_weights_as_one_map_and_as_torchs():
    torch.manual_seed(0)
    joint, hidden = net("adding_snn", "ltc_adding", 2, 1), net("adding_rnn", "lstm", 2, 1)
    for example, bound in ((joint, 130**-0.5), (hidden, 128**-0.5)):
        layer = example.layers[0]
        for parameter in (*layer.inward.parameters(), *layer.recurrent.parameters()):
            assert 0.9 * bound < float(parameter.detach().abs().max()) <= bound
    assert joint.layers[0].recurrent.bias is None and hidden.layers[0].recurrent.bias is not None


def test_smnist_network():
    torch.manual_seed(0)
    example = net("smnist_srnn", "ltc_smnist", 1, 10, hidden=[20], steps=6)
    assert example.mixes_samples
    layer = example.layers[0]
    R = layer.recurrent.weight.detach()
    torch.testing.assert_close(R @ R.t(), torch.eye(20), rtol=0, atol=1e-5)
    for norm in (layer.inward_norm, layer.recurrent_norm, example.readout.norm):
        assert norm.running_mean.shape[0] == 6
        assert torch.equal(norm.weight, torch.full_like(norm.weight, 0.1))
    example.double()
    window = example.unroll(torch.rand(6, 8, 1).double(), example.initial_state(8))
    window.outputs.logsumexp(2).sum().backward()
    # Ahead of a norm a bias does nothing.
    idle = {name for name, p in example.named_parameters() if p.grad.abs().max() < 1e-9}
    assert idle == {"layers.0.inward.bias", "layers.0.recurrent.bias", "readout.linear.bias"}


def test_a_reservoir_trains_its_readout_alone():
    trained = {
        n for n, p in net("online_rnn", "leaky_tanh", 3, 2, reservoir=True).named_parameters() if p.requires_grad
    }
    assert trained == {"readout.linear.weight", "readout.linear.bias"}
    R = net("online_rnn", "leaky_tanh", 3, 2).layers[0].recurrent.weight
    assert R.requires_grad and torch.allclose(R @ R.T, torch.eye(32), atol=1e-5)


def test_a_network_without_input_starts_from_its_units():
    network = NETWORKS["chaotic_rnn"].factory(1, 1, partial(NEURONS["leaky_tanh"].factory, initial=0.1))
    shown, state = network(torch.zeros(1, 1), network.initial_state(1))
    R, W_out = network.layers[0].recurrent.weight, network.readouts[0].linear.weight
    h = 0.9 * 0.1 + 0.1 * torch.tanh(0.1 * R.sum(1))
    assert torch.allclose(state.layers[0].z[0], h) and torch.allclose(shown.output[0], W_out @ h)
    fixed = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert fixed == {"layers.0.inward.bias", "readout.linear.bias"}
