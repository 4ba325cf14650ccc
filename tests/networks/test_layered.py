"""Networks of convolutional layers: values by hand, other forms of the same network, errors, memory, parameters."""

from __future__ import annotations

import copy
import math
from collections import Counter
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.checks.tiny import backprop, learn, seeded
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Classification
from throughtime.errors import GroupedUsageError
from throughtime.harness.batches import evaluate
from throughtime.measuring.alignment import alignment, parameter_groups
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.layered.layered import Layered
from throughtime.networks.products import Product, forward_products, maps_of
from throughtime.networks.setting import published_parameters
from throughtime.neurons.lif import LIF
from throughtime.neurons.ltc import LTC
from throughtime.neurons.surrogate import spike
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS
from throughtime.suites.suite import load_suite

F64 = torch.float64


def layered(inputs, layers, neuron=LIF, outputs=4, **options) -> Layered:
    with seeded(3):
        return Layered(inputs, outputs, neuron, layers=layers, **options).double()


def image(*shape, seed=5) -> torch.Tensor:
    return 2 * torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


# --- values by hand


def test_one_step_of_a_convolutional_ltc_by_hand():
    """An image of 1 x 2, kernels of 3 x 3: I = (2 x_0, x_0 + 2 x_1) = (2, −1) for x = (1, −1). The membrane gate is the
    identity, q = I + v = (2.5, −0.5) for v = 0.5; the adaptation gate is 0, so ρ = 1/2 and b = 0.2/2 = 0.1,
    θ = 0.1 + 1.8 · 0.1 = 0.28. ṽ = v + σ(q) (I − v): the first neuron spikes."""
    spec = {"conv": 1, "gate_norm": False, "bias": False}
    net = layered((1, 1, 2), [spec], neuron=partial(LTC, initial="random"))
    layer = net.layers[0]
    with torch.no_grad():
        layer.from_input.weight.copy_(torch.tensor([[0.0, 0, 0], [1, 2, 0], [0, 0, 0]]))
        for gate, centre in ((layer.neuron.membrane_gate, 1.0), (layer.neuron.adaptation_gate, 0.0)):
            gate.conv.weight.zero_()
            gate.conv.bias.zero_()
            gate.conv.weight[0, 0, 1, 1] = centre
    state = net.initial_state(1)
    layer_state = state.layers[0]._replace(
        v=torch.full((1, 1, 1, 2), 0.5, dtype=F64), b=torch.full((1, 1, 1, 2), 0.2, dtype=F64)
    )
    step, after = net(torch.tensor([[1.0, -1.0]], dtype=F64), state._replace(layers=(layer_state,)))
    σ = [1 / (1 + math.exp(-q)) for q in (2.5, -0.5)]
    assert step.spikes[0].flatten().tolist() == [1, 0]
    assert after.layers[0].v.flatten().tolist() == pytest.approx([0, 0.5 - 1.5 * σ[1]])
    assert after.layers[0].b.flatten().tolist() == pytest.approx([0.1, 0.1])
    assert 0.5 + 1.5 * σ[0] > 0.28 > 0.5 - 1.5 * σ[1]


def test_norm_then_pooling_by_hand():
    """The identity as kernel; running mean 1 and variance 4, w = 3, c = 0.5: x -> 3 (x − 1)/2 + 0.5 but for ε, then
    the maximum of the image (1, −1; 3, 2), which is that of 3."""
    net = layered((1, 2, 2), [{"conv": 1, "kernel": 1, "norm_steps": 1, "pool": {"kind": "max"}, "bias": False}])
    layer = net.eval().layers[0]
    with torch.no_grad():
        layer.from_input.weight.fill_(1)
        for tensor, value in (
            (layer.norm.weight, 3),
            (layer.norm.bias, 0.5),
            (layer.norm.running_mean, 1),
            (layer.norm.running_var, 4),
        ):
            tensor.fill_(value)
    x = torch.tensor([[1.0, -1, 3, 2]], dtype=F64)
    assert layer.total_current({"input": x}, 0, 0).item() == pytest.approx(3.5, abs=1e-4)
    layer.norm.train()
    assert layer.norm.running_mean.shape == (1, 1), "one statistic for all steps"


def test_two_layers_are_their_equations():
    """Gradients of two convolutional layers of LIF and a readout, against the equations in plain PyTorch."""
    τ, θ = 2.0, 0.1
    first = {"conv": 3, "norm_steps": 1, "pool": {"kind": "average"}, "bias": False}
    layers = [first, {"conv": 2, "stride": 2, "recurrent": True}]
    net = layered((2, 6, 6), layers, neuron=partial(LIF, tau=τ, surrogate="multi_gaussian"), readouts=[{"tau": 0}])
    with torch.no_grad():
        net.layers[1].from_layer1.weight.mul_(3)
    x = image(8, 4, 72)
    E = net.unroll(x, net.initial_state(4)).outputs.square().mean()
    result = torch.autograd.grad(E, list(net.parameters()))

    first = net.layers[0]
    W1, W2, R = (s.module for layer in net.layers for s in layer.synapses.values())
    α, v1, z1, v2, z2, ys = float(first.neuron.alpha), *[torch.zeros(4, 1, 1, 1, dtype=F64)] * 4, []
    z2 = z2.expand(4, 2, 2, 2)
    for x_t in x:
        I = F.conv2d(x_t.view(4, 2, 6, 6), W1.weight, padding=1)
        I = (I - I.mean((0, 2, 3), keepdim=True)) / (I.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
        I = F.avg_pool2d(I * first.norm.weight.view(-1, 1, 1) + first.norm.bias.view(-1, 1, 1), 2)
        v1 = α * v1 + (1 - α) * I - θ * z1.detach()
        z1 = spike((v1 - θ) / θ, "multi_gaussian")
        I = F.conv2d(z1, W2.weight, W2.bias, stride=2, padding=1) + F.conv2d(z2, R.weight, padding=1)
        v2 = α * v2 + (1 - α) * I - θ * z2.detach()
        z2 = spike((v2 - θ) / θ, "multi_gaussian")
        ys.append(F.linear(z2.flatten(1), net.readouts[0].linear.weight, net.readouts[0].linear.bias))
    expected = torch.autograd.grad(torch.stack(ys).square().mean(), list(net.parameters()))
    assert 0.02 < z2.mean() < 0.9
    for a, b in zip(result, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
        assert float(b.abs().max()) > 0


def test_several_sources_are_their_concatenation():
    """A convolution of two sources is that of the concatenated spikes, with the concatenated kernels."""
    layers = [
        {"name": "a", "conv": 2},
        {"name": "b", "conv": 3, "kernel": 1},
        {"name": "c", "conv": 4, "reads": ["b", "a"], "norm_steps": 1},
    ]
    c = layered((1, 5, 5), layers).layers[2]
    a, b = image(2, 2, 5, 5), image(2, 3, 5, 5, seed=6)
    W = torch.cat([c.synapses[f"from_{name}"].module.weight for name in "ba"], 1)
    expected = c.norm(F.conv2d(torch.cat((b, a), 1), W, c.from_b.bias, padding=1), 0)
    torch.testing.assert_close(c.total_current({"a": a, "b": b}, 0, 0), expected)
    assert c.from_a.bias is None


def test_the_second_channels_of_a_source():
    """The last two of three channels of the input, and of the spikes of a layer; of a vector its numbers."""
    layers = [{"name": "a", "conv": 3, "channels": [1, 3]}, {"conv": 2, "channels": [1, 3]}]
    for layer, name in zip(layered((3, 4, 4), layers).layers, ("input", "a"), strict=True):
        z, W = image(2, 3, 4, 4), layer.synapses[f"from_{name}"].module
        sources = {name: z.flatten(1) if name == "input" else z}
        torch.testing.assert_close(layer.total_current(sources, 0, 0), F.conv2d(z[:, 1:], W.weight, W.bias, padding=1))
    layer, x = layered(3, [{"dense": 2, "channels": [1, 3]}]).layers[0], image(4, 3)
    W = layer.from_input
    torch.testing.assert_close(layer.total_current({"input": x}, 0, 0), F.linear(x[:, 1:], W.weight, W.bias))


@pytest.mark.parametrize(("weights", "bound"), [("uniform", 27**-0.5), ("glorot_uniform", (6 / 63) ** 0.5)])
def test_the_maps_of_all_sources_are_drawn_as_one(weights, bound):
    """Kernels of 3 x 3 on one and on two channels to four: fan-in 27, fan-out 36; Glorot's biases are 0."""
    layers = [{"name": "a", "conv": 1}, {"name": "b", "conv": 2}, {"conv": 4, "reads": ["a", "b"]}]
    first, two = (s.module for s in layered((1, 4, 4), layers, weights=weights).layers[2].synapses.values())
    largest = [float(map.weight.detach().abs().max()) for map in (first, two)]
    assert all(0.8 * bound < result <= bound * (1 + 1e-6) for result in largest)
    assert bool((first.bias == 0).all()) == (weights != "uniform")


def test_a_grid_is_a_convolution_of_kernel_1():
    net = layered((2, 3, 4), [{"conv": 5}], readouts=[{"grid": True}], outputs={"readout": (6, 3, 4)})
    z, linear = image(2, 5, 3, 4), net.readouts[0].linear
    expected = F.conv2d(z, linear.weight, linear.bias)
    torch.testing.assert_close(net.readouts[0].total_current({"layer1": z}, 0, 0), expected)
    assert net.unroll(image(1, 2, 24), net.initial_state(2)).outputs.shape == (1, 2, 6, 3, 4)


# --- any neuron, dropout, layouts


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_in_convolutional_and_dense_layers(name):
    layers = [{"conv": 3, "norm_steps": 1, "pool": {"kind": "max"}}, {"dense": 4, "recurrent": True}]
    net = layered((1, 4, 4), layers, neuron=NEURONS[name].factory)
    with without_compiled_loops():
        window = net.unroll(8 * image(5, 4, 16), net.initial_state(4))
        gradients = torch.autograd.grad(window.spikes[0].sum() + window.outputs.sum(), net.layers[0].from_input.weight)
    assert [z.shape for z in window.spikes] == [(5, 4, 3, 2, 2), (5, 4, 4)]
    assert window.outputs.isfinite().all() and gradients[0].isfinite().all()


@pytest.mark.parametrize("rule", ["bptt", "fptt"])
@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_trains_in_a_convolutional_network(name, rule):
    """Weights are large enough that neurons of all kinds spike, resonators with their small step too; then every map
    changes and all numbers are finite."""
    layers = [{"conv": 3, "norm_steps": 1, "pool": {"kind": "max"}}, {"conv": 2}, {"dense": 4}]
    net = layered((1, 4, 4), layers, neuron=NEURONS[name].factory, readouts=[{"of": "membrane"}])
    with torch.no_grad():
        for layer in net.layers:
            for map in (*(s.module for s in layer.synapses.values()), *([layer.norm] if layer.norm else [])):
                map.weight.mul_(200 if name in ("rf", "brf") else 20)
    learner, before = ALGORITHMS[rule].factory(), copy.deepcopy(net.state_dict())
    assert learner.supports(net, Classification(4), 5) is None
    with without_compiled_loops():
        learn(learner, net, (8 * image(5, 4, 16), torch.tensor([0, 1, 2, 3])), rate=0.1)
    after = net.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    for part in ("layers.0.from_input", "layers.1.from_layer1", "layers.2.from_layer2", "readout"):
        changed = [n for n in after if n.startswith(part) and not torch.equal(after[n], before[n])]
        assert any(n.endswith("weight") for n in changed), part


def test_masks_of_dropout_differ_between_steps_layers_and_sequences():
    layers = [{"dense": 40, "dropout": 0.5}, {"dense": 40, "reads": ["input"], "dropout": 0.5}]
    net = layered(40, layers)
    first, two = (layer.dropout_from_input for layer in net.layers)
    x = torch.ones(3, 40)
    keys = [net.initial_state(3).key for _ in range(2)]
    masks = [first(x, keys[0], 0), first(x, keys[0], 1), two(x, keys[0], 0), first(x, keys[1], 0)]
    assert all(not torch.equal(a, b) for n, a in enumerate(masks) for b in masks[:n])
    assert set(masks[0].unique().tolist()) == {0.0, 2.0} and 0.3 < float(masks[0].mean()) / 2 < 0.7
    assert torch.equal(first(x, keys[0], 0), masks[0]), "the same in every computation of a step"
    state = net.initial_state(3)
    assert net(x.double(), state)[1].key == state.key > 0
    net.eval()
    assert torch.equal(first(x, keys[0], 0), x) and net.initial_state(3).key == 0


def test_whole_channels_are_dropped():
    net = layered((8, 2, 2), [{"conv": 2, "dropout": 0.5, "dropout_channels": True}])
    kept = net.layers[0].dropout_from_input(torch.ones(4, 8, 2, 2), 7, 3).flatten(2)
    assert torch.equal(kept.amin(2), kept.amax(2)) and 0 < float(kept.mean()) < 2


def test_a_step_computed_twice_has_the_same_masks():
    """The rule computes each segment again, and its gradient is that of BPTT."""
    net = layered(3, [{"dense": 6, "recurrent": True, "dropout": 0.4}], readouts=[{"dropout": 0.3}])
    x, target = image(9, 5, 3), torch.tensor([0, 1, 2, 3, 0])
    expected = learn(BPTT(), net, (x, target)).total()
    for a, b in zip(learn(CheckpointedBPTT(), net, (x, target)).total(), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)
        assert float(b.abs().max()) > 0
    assert "dropout" in RTRL().supports(net, Classification(4), 9)
    assert "dropout" in EProp().supports(net, Classification(4), 9)


def test_the_gradient_of_one_window_aligns_with_that_of_bptt():
    """With the same masks of dropout, and in a copy of the network."""
    net = layered((1, 4, 4), [{"conv": 3, "norm_steps": 1}, {"dense": 6, "dropout": 0.4}], neuron=LTC)
    batch = Batch(image(6, 5, 16), torch.tensor([0, 1, 2, 3, 0]))
    result = alignment(FPTT(parts=1), net, Classification(4), batch)
    assert [
        result[part].cosine for part in ("all", "layer1.from_input", "layer1.neuron", "layer2.from_layer1")
    ] == pytest.approx([1] * 4)


def test_presynaptic_traces_of_convolutions():
    """A rule whose traces have no memory has BPTT's gradient of one step, also through a convolution with a stride."""
    net = layered((2, 6, 6), [{"conv": 3}, {"conv": 2, "stride": 2}])
    x, target = image(1, 5, 72), torch.tensor([0, 1, 2, 3, 0])
    rule = ALGORITHMS["sltt"].factory()
    assert rule.supports(net, Classification(4), 1) is None
    for a, b in zip(
        learn(rule, net, (x, target)).total(), backprop(net, x, target, Classification(4), "end"), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_eprop_reads_channels_of_the_input():
    """Each layer reads half of the input; with an elementwise neuron and one step the gradient is that of BPTT."""
    layers = [{"name": n, "dense": 5, "reads": ["input"], "channels": [k, k + 1]} for k, n in enumerate(("on", "off"))]
    net = layered((2, 2, 2), [*layers, {"dense": 4, "reads": ["off", "on"]}])
    x, target = image(1, 5, 8), torch.tensor([0, 1, 2, 3, 0])
    assert EProp().supports(net, Classification(4), 1) is None
    result = learn(EProp(), net, (x, target)).total()
    for a, b in zip(result, backprop(net, x, target, Classification(4), "end"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)
    conv = layered((2, 4, 4), [{"conv": 2, "norm_steps": 1}])
    assert "batch normalisation" in EProp().supports(conv, Classification(4), 1)
    pooled = layered((2, 4, 4), [{"conv": 2, "pool": {"kind": "max"}}])
    assert "pooling" in EProp().supports(pooled, Classification(4), 1)


# --- descriptions: maps, names


def test_maps_of_a_convolution():
    """3 x 3 on 2 channels at 4 x 4 positions: patches of 18 numbers to 3 channels; the gates of LTC read the sum after
    pooling, patches of 27 at 2 x 2 positions. A product has no more than 4096 rows."""
    net = layered(
        (2, 4, 4), [{"conv": 3, "pool": {"kind": "max"}}], neuron=LTC, outputs={"readout": 5}, readouts=[{"grid": True}]
    )
    result = [(m.reads, m.makes, m.positions, m.at_once, m.first, m.later) for m in maps_of(net)]
    gate = (27, 3, 4, False, 27, 27)
    assert result == [(18, 3, 16, True, 0, 0), gate, gate, (3, 5, 4, True, 3, 3)]
    assert forward_products(net, [2], batch=10) == Counter(
        {Product(320, 18, 3): 1, Product(40, 27, 3): 4, Product(80, 3, 5): 1}
    )
    products = forward_products(net, [1], batch=300)
    assert products[Product(4096, 18, 3)] == 1 and products[Product(300 * 16 - 4096, 18, 3)] == 1


def test_parts_have_the_names_of_the_layers():
    groups = parameter_groups(layered((1, 4, 4), [{"name": "c", "conv": 2, "norm_steps": 1}, {"dense": 3}], neuron=LTC))
    assert list(groups) == [
        "all",
        "hidden",
        "c.from_input",
        "c.neuron",
        "c.norm",
        "layer2.from_c",
        "layer2.neuron",
        "readout",
    ]


# --- published numbers of parameters


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("dvs_shallow", 4_990_998),
        ("conv_static", 5_634_205),
        ("dvs_conv_v3", 14_116_051),
        ("dvs_conv_v4", 14_378_195),
        ("dvs_cifar10_vgg", 36_093_980),  # our choice: the authors did not release theirs
        ("spyv4", 13_956_216),
        ("adding_snn", 82_689),
        ("adding_rnn", 67_713),
        ("smnist_srnn", 332_787),
        ("recurrent", None),
    ],
)
def test_presets_have_the_published_numbers_of_parameters(name, count):
    assert published_parameters(NETWORKS[name]) == count


def test_conv_static_with_512_neurons():
    with torch.device("meta"):
        net = NETWORKS["conv_static"].factory((1, 28, 28), 10, LTC, hidden=512)
    assert sum(p.numel() for p in net.parameters()) == 10_619_037


def test_spyv4_has_two_grids():
    """19 layers, a grid with a row for 32 pixels and one for 16; unused parameters are not trained."""
    net = NETWORKS["spyv4"].factory((3, 64, 96), 75, LIF, width=1 / 16)
    outputs = net.unroll(torch.rand(1, 2, 3 * 64 * 96), net.initial_state(2)).last()
    assert {name: y.shape for name, y in outputs.items()} == {"coarse": (2, 75, 2, 3), "fine": (2, 75, 4, 6)}
    assert len(net.layers) == 19
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == [
        "readout.coarse.unused_leak",
        "readout.fine.unused_leak",
    ]


# --- memory


def peak(steps: int, work) -> int:
    """Return the peak of the bytes of tensors that `work(steps)` allocates."""
    with LiveBytes() as live, seeded(11):
        live.reset_peak()
        work(steps)
        return live.peak


CONV = [
    {"conv": 4, "norm_steps": 1, "pool": {"kind": "max"}},
    {"conv": 4, "norm_steps": 1},
    {"dense": 8, "dropout": 0.1},
]


def test_memory_of_fptt_is_the_same_for_any_number_of_steps():
    """Exactly: with an update at each step, and with parts of two steps. That of BPTT grows by a step's activations."""
    net = layered((1, 6, 6), CONV, neuron=LTC)
    x, target = image(1, 3, 36).expand(24, -1, -1), torch.tensor([0, 1, 2])

    def peaks(rule):
        def train(steps):
            learner = rule(steps)
            learner.start(net, Classification(4), steps)

            def update():
                for p in net.parameters():
                    p.grad = None

            learner.begin(3, update)
            t = 0
            for k in learner.windows(steps):
                learner.learn(x[t : t + k], target, t)
                t += k
            learner.end()

        train(4)
        return [peak(steps, train) for steps in (6, 12, 24)]

    for rule in (lambda steps: FPTT(), lambda steps: FPTT(parts=steps // 2)):
        assert len({*peaks(rule)}) == 1
    short, middle, long = peaks(lambda steps: BPTT())
    assert long - middle == 2 * (middle - short) > 0


def test_evaluation_does_not_hold_the_spikes_of_all_steps(monkeypatch):
    """Its peak is that of one step where the states of two exceed the limit."""
    net = layered((1, 6, 6), CONV, neuron=LTC)

    class Shown:
        task, evaluation_batch = Classification(4), 3

        def __init__(self, steps):
            self.steps = steps

        def batches(self, split, batch):
            yield Batch(image(1, 3, 36).expand(self.steps, -1, -1), torch.tensor([0, 1, 2]))

    def peaks():
        return [peak(steps, lambda steps: evaluate(net, Shown(steps), "test")) for steps in (4, 8)]

    whole = peaks()
    monkeypatch.setattr("throughtime.harness.batches.EVALUATION_BYTES", 1)
    streamed = peaks()
    assert streamed[0] == streamed[1] < whole[0] < whole[1]


# --- errors


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([{"conv": 2, "dense": 3}], "either conv"),
        ([{"dense": 3, "kernel": 3}], "kernel would do nothing in a dense layer"),
        ([{"conv": 2}, {"conv": 2, "reads": ["layr1"]}], 'did you mean "layer1"?'),
        ([{"conv": 2, "name": "a"}, {"conv": 2, "name": "a"}], "occurs twice"),
        ([{"conv": 2, "dropout_channels": True}], "without dropout"),
        ([{"conv": 2, "pool": {"kind": "max"}, "upsample": 2}], "pool or upsample, not both"),
        (
            [{"dense": 2, "dropout": 0.5, "dropout_channels": True}],
            "dropout_channels would do nothing in a dense layer",
        ),
    ],
)
def test_layers_that_contradict_themselves(layers, said):
    with pytest.raises(ValidationError) as refused:
        layered((1, 4, 4), layers)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("inputs", "layers", "said"),
    [
        (16, [{"conv": 2}], "layer layer1: a convolution needs an image"),
        ((1, 4, 4), [{"dense": 3}, {"name": "c", "conv": 2}], "layer c: a convolution needs an image"),
        (
            (1, 4, 4),
            [{"conv": 2, "pool": {"kind": "max", "size": 5}}],
            "windows of 5 are larger than an image of 4 x 4",
        ),
        ((1, 2, 2), [{"conv": 2, "kernel": 5, "padding": 0}], "a kernel of 5 is larger"),
        ((2, 4, 4), [{"conv": 2, "channels": [1, 3]}], "channels ends at 3, and what it reads has 2"),
        ((1, 4, 4), [{"conv": 2, "pool": {"kind": "max"}, "recurrent": True}], "the current from layer1 is 2 x 2 x 2"),
        ((1, 4, 4), [{"name": "a", "conv": 2, "reads": ["b"]}, {"name": "b", "conv": 2}], "layer a: it reads neither"),
        (  # the current is 4 x 4 from both
            (1, 8, 8),
            [
                {"name": "a", "conv": 2, "kernel": 2, "padding": 0},
                {"name": "c", "conv": 2, "reads": ["a", "input"], "stride": 2},
            ],
            "layer c: the image from input is 8 x 8, that of its first source 7 x 7",
        ),
        (
            (1, 4, 4),
            [{"name": "d", "dense": 3}, {"conv": 2, "reads": ["input", "d"]}],
            "the image from d is a vector, that of its first source 4 x 4",
        ),
    ],
)
def test_sizes_that_do_not_fit(inputs, layers, said):
    with pytest.raises(ValueError) as refused:
        layered(inputs, layers)
    assert said in str(refused.value)


def test_gates_need_an_odd_kernel():
    assert layered((1, 4, 4), [{"conv": 2, "kernel": 2, "padding": 0}]).layers[0].neuron.shape == (2, 3, 3)
    with pytest.raises(ValueError, match="layer layer1: gates keep the size of images: gate_kernel must be odd"):
        layered((1, 4, 4), [{"conv": 2, "kernel": 2}], neuron=LTC)


def test_readouts_that_do_not_fit():
    for readouts, outputs, said in (
        ([{"reads": "x"}], 2, 'the readout "readout" reads "x"; there is layer1'),
        ([{"name": "a"}], {"b": 2}, "the outputs are b; the readouts are a"),
        ([{"name": "a"}], {"a": 2, "b": 3}, "the outputs are a, b; the readouts are a"),
        ([{"grid": True}], 2, "layer1 has no images"),
    ):
        with pytest.raises(ValueError) as refused:
            layered(4, [{"dense": 3}], readouts=readouts, outputs=outputs)
        assert said in str(refused.value)


def test_a_suite_names_the_place_of_a_fault(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "suite: s\nrules: [bptt]\nneurons: [lif]\ndatasets: [{name: mnist}]\nnetworks:\n"
        "  - name: layered\n    layers:\n      - {conv: 4}\n      - {conv: 4, kernl: 3}\n"
        "      - {dense: 4, reads: layer7}\n    readouts: [{leak: gated, slop: 3}]\n"
    )
    with pytest.raises(GroupedUsageError) as refused:
        load_suite(path)
    assert str(refused.value).replace(str(path), "s").splitlines() == [
        's:9:19: layered: unknown key "kernl"',
        '  did you mean "kernel"?',
        's:11:30: layered: unknown key "slop"',
        '  did you mean "slope"?',
    ]
    path.write_text(
        path.read_text().replace("kernl", "kernel").replace("slop", "slope").replace("slope: 3", "slope: fixed")
    )
    with pytest.raises(GroupedUsageError) as refused:
        load_suite(path)
    assert str(refused.value).startswith(f'{path}:10:9: layered: item 3 of "layers": it reads "layer7"; did you mean')
