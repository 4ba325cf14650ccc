"""Operations and rates counted by hand; uncountable ones are null; batch and window change no number."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.checks.own.by_hand import CountedSequences, Script, Sum, spec
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification
from throughtime.harness.batches import evaluate
from throughtime.harness.build import Built
from throughtime.measuring.activity import SynapticOperations, measure
from throughtime.networks.base import Network, Step, Window
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.neurons.lif import LIF
from throughtime.neurons.lstm import LSTM
from throughtime.neurons.ltc import LTC
from throughtime.neurons.presets import ltc_smnist
from throughtime.numerics.flat import flatten
from throughtime.passes.passes import train_pass

F64 = torch.float64


class Given:
    """A dataset of the sequences given, [steps, sequences, inputs]."""

    evaluation_batch = 256

    def __init__(self, x: Tensor | list[Any]) -> None:
        self.x = torch.as_tensor(x, dtype=F64)
        self.steps, self.task = len(self.x), Classification(2)

    def size(self, split: str) -> int:
        return self.x.shape[1]

    def batches(self, split: str, batch: int, generator: Any = None) -> Any:
        for x in self.x.split(batch, 1):
            yield Batch(x, torch.zeros(x.shape[1], dtype=torch.int64))


class StepState(NamedTuple):
    v: Tensor
    z: Tensor


class StepNeuron(Neuron):
    """No memory: it spikes where its current is above 1/2."""

    elementwise: ClassVar[bool] = True

    def initial_state(self, batch: int, like: Tensor) -> StepState:
        return StepState(*(like.new_zeros(batch, *self.shape) for _ in range(2)))

    def forward(self, current: Tensor, state: StepState) -> tuple[Tensor, StepState]:
        z = (current > 0.5).to(current.dtype)
        return z, StepState(current, z)


def with_weights(network: Recurrent, **weights: list[list[float]]) -> Recurrent:
    """The network in float64 with these weights: W1, R1, W2, ..., and readout. Biases 0."""
    network = network.double()
    maps = {"readout": network.readout.linear}
    for number, layer in enumerate(network.layers, 1):
        maps |= {f"W{number}": layer.inward, f"R{number}": layer.recurrent}
    with torch.no_grad():
        for name, values in weights.items():
            maps[name].weight.copy_(torch.tensor(values))
        for map in maps.values():
            if map.bias is not None:
                map.bias.zero_()
    return network


def values(network: Network, dataset: Any) -> dict[str, float | None]:
    return {name: measured.value for name, measured in measure(network, dataset).items()}


def by_weight(network: Network, x: Tensor) -> dict[str, tuple[int, ...]]:
    """(dense, effective MACs, effective ACs) of each weight, in a window from the initial state."""
    with torch.no_grad(), SynapticOperations(network) as operations:
        network.unroll(x, network.initial_state(x.shape[1]))
    assert operations.uncounted is None
    return {name: tuple(counts.values()) for name, counts in operations.by_weight.items()}


def two_neurons() -> tuple[Recurrent, Tensor]:
    """Two neurons, two sequences of three steps.

    First sequence:
        x_1 = (1, 0)       W x = (1, 1)        R z_0 = (0, 0)       I = (1, 1)         z_1 = (1, 1)
        x_2 = (0.5, 1)     W x = (0.5, 1.5)    R z_1 = (−1, 1)      I = (−0.5, 2.5)    z_2 = (0, 1)
        x_3 = (0, 0)       W x = (0, 0)        R z_2 = (−1, 0)      I = (−1, 0)        z_3 = (0, 0)

    Second: x_1 = (−1, 0), then nothing; nothing spikes.
    """
    network = with_weights(
        Recurrent(2, 1, StepNeuron, hidden=(2,), readout_tau=0.0),
        W1=[[1, 0], [1, 1]],
        R1=[[0, -1], [1, 0]],
        readout=[[1, 0]],
    )
    x = [[[1, 0], [-1, 0]], [[0.5, 1], [0, 0]], [[0, 0], [0, 0]]]
    return network, torch.tensor(x, dtype=F64)


def test_operations_of_each_map():
    network, x = two_neurons()
    # (dense, MACs, ACs); of two sequences of three steps.
    assert by_weight(network, x) == {
        # 6 · 2 · 2. Input 1 has two weights that are not zero, input 2 one. MACs: x_2, 2 + 1. ACs: x_1, 2, and −1, 2.
        "layers.0.inward.weight": (24, 3, 4),
        # 6 · 2 · 2. One weight of each spike: z_1, 2; z_2, 1. z_0 costs nothing, and z_3 is not fed back any more.
        "layers.0.recurrent.weight": (24, 0, 3),
        # 6 · 2 · 1. Of neuron 1 alone: z_1.
        "readout.linear.weight": (12, 0, 1),
    }


def test_weights_are_told_apart_where_they_lie_in_one_memory():
    network, x = random_ltc()
    apart = by_weight(network, x)
    flatten([*network.parameters()])
    assert len({p.untyped_storage()._cdata for p in network.parameters()}) == 1
    assert by_weight(network, x) == apart and len(apart) == 9


@pytest.mark.parametrize(
    ("row", "macs", "acs"),
    [
        ([0, 0], 0, 0),
        ([0, 1], 0, 3),
        ([-1, 1], 0, 6),
        ([1, 2], 6, 0),
        ([-3, 0], 3, 0),
        ([0, 0.5], 3, 0),
        ([1, 1 - 2**-24], 6, 0),
        ([1, 1e-30], 6, 0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_mac_or_ac(row, macs, acs, dtype):
    layer = nn.Linear(2, 3, dtype=dtype)
    with SynapticOperations(layer) as operations:
        layer(torch.tensor([row], dtype=dtype))
    assert operations.by_weight["weight"] == {"dense": 6, "effective_macs": macs, "effective_acs": acs}


def test_measures_of_two_neurons():
    network, x = two_neurons()
    assert values(network, Given(x)) == {
        "firing_rate.layer1": 3 / 12,
        "activation_sparsity": 9 / 12,
        "synaptic_operations.dense": (24 + 24 + 12) / 2,
        "synaptic_operations.effective_macs": 3 / 2,
        "synaptic_operations.effective_acs": (4 + 3 + 1) / 2,
    }
    measured = measure(network, Given(x))["synaptic_operations.dense"]
    assert measured.unit == "operations a sequence"
    assert "the test split (2 sequences of 3 steps)" in measured.method


def test_a_network_that_returns_no_spikes_has_no_rate(tmp_path):
    class Closed(Sum):
        def unroll(self, x, state):
            return super().unroll(x, state)._replace(spikes=())

    result = train_pass(spec(1), Built(CountedSequences(), Closed(), Script(1.0)), tmp_path)
    for name in ("firing_rate", "activation_sparsity"):
        assert result.measures[name].value is None
        assert result.measures[name].missing == "the network returns no outputs of its layers"
    assert "firing_rate.layer1" not in result.measures


def test_a_rate_for_each_layer():
    # The first layer spikes as above, z_1 = (1, 1), z_2 = (0, 1); of the second, neuron 1 follows the first neuron, 2
    # the second, and 3 is silent. Sequence 2 is silent.
    network = with_weights(
        Recurrent(2, 1, StepNeuron, hidden=(2, 3)),
        W1=[[1, 0], [1, 1]],
        R1=[[0, -1], [1, 0]],
        W2=[[1, 0], [0, 1], [0, 0]],
        R2=[[0] * 3] * 3,
    )
    _, x = two_neurons()
    result = values(network, Given(x))
    assert result["firing_rate.layer1"] == 3 / 12
    assert result["firing_rate.layer2"] == 3 / 18
    assert result["activation_sparsity"] == 1 - 6 / 30  # of all neurons, not the mean of the layers' 0.75 and 5/6


def ltc(**options: Any) -> Recurrent:
    """Two LTC neurons that do not spike (b_0 = 1), all weights 0.1, but those of the first neuron's gates 0."""
    network = Recurrent(1, 1, lambda size: LTC(size, b0=1.0, **options), hidden=(2,), readout="membrane").double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(0.1)
    return network


def test_gates_of_ltc():
    # T = 2, x = 1: I_1 = (0.2, 0.2), v_0 = 0, b_0 = 0; afterwards v is not 0, b still is. A gate reads four numbers and
    # has two outputs; none of the numbers is −1 or 1, so all are MACs.
    assert by_weight(ltc(), torch.ones(2, 1, 1, dtype=F64)) == {
        "layers.0.inward.weight": (4, 0, 4),
        "layers.0.recurrent.weight": (8, 0, 0),
        "layers.0.neuron.membrane_gate.weight": (16, 2 * 2 + 4 * 2, 0),  # I_1; I_2 and v_1
        "layers.0.neuron.adaptation_gate.weight": (16, 2 * 2 + 2 * 2, 0),  # I_1; I_2
        "readout.linear.weight": (4, 4, 0),  # v_1 and v_2
    }


def test_a_gate_that_is_never_asked_costs_nothing():
    counted = by_weight(ltc(adaptation="unused"), torch.ones(2, 1, 1, dtype=F64))
    assert "layers.0.neuron.adaptation_gate.weight" not in counted
    assert sum(dense for dense, _, _ in counted.values()) == 4 + 8 + 16 + 4


def test_four_currents_of_lstm():
    network = Recurrent(1, 1, LSTM, hidden=(2,), readout="membrane", readout_tau=0.0).double()
    dataset = Given(torch.full((2, 1, 1), 0.3))
    result = measure(network, dataset)
    assert result["firing_rate.layer1"].value is None
    assert result["firing_rate.layer1"].missing == "these cells do not spike"
    assert result["activation_sparsity"].value == 0  # h is never exactly 0
    # A step: 1 · 8 of W, 2 · 8 of R, 2 · 1 of the readout. At the first h_0 = 0.
    assert result["synaptic_operations.dense"].value == 2 * (8 + 16 + 2)
    assert result["synaptic_operations.effective_macs"].value == 8 + 2 + 8 + 16 + 2
    assert result["synaptic_operations.effective_acs"].value == 0


def test_gated_readout_and_norms():
    network = Recurrent(1, 2, LIF, hidden=(2,), readout_leak="gated", norm_steps=3, recurrent_bias=True).double()
    counted = by_weight(network, torch.full((3, 4, 1), 0.3, dtype=F64))
    # 12 rows; the gate reads [d ; y] of two outputs. Norms and biases are no synaptic operations.
    assert counted.pop("readout.neuron.gate.weight")[0] == 12 * 4 * 2
    assert {name: dense for name, (dense, _, _) in counted.items()} == {
        "layers.0.inward.weight": 12 * 2,
        "layers.0.recurrent.weight": 12 * 4,
        "readout.linear.weight": 12 * 4,
    }


def random_ltc() -> tuple[Recurrent, Tensor]:
    """Two layers that spike, a third of all weights 0; inputs among which are 0, 1, and steps of nothing else."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Recurrent(3, 2, LTC, hidden=(5, 4)).double()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                weight.mul_(torch.rand_like(weight) > 0.33)
                if "inward" in name:
                    weight.mul_(3)
        x = torch.rand(23, 11, 3, dtype=F64)
        x = torch.where(torch.rand_like(x) < 0.7, x.round(), x)
    return network, x


def test_against_counting_one_by_one():
    """Return the same measures by stepping, one sequence and step at a time, from the equations of the network."""
    network, x = random_ltc()
    dense = macs = acs = spikes = 0

    def count(row: Tensor, weight: Tensor) -> None:
        nonlocal dense, macs, acs
        dense += weight.numel()
        pairs = sum(1 for i, o in weight.nonzero().flip(1).tolist() if row[i] != 0)
        if all(number in (-1, 0, 1) for number in row.tolist()):
            acs += pairs
        else:
            macs += pairs

    with torch.no_grad():
        for sequence in x.unbind(1):
            state = network.initial_state(1)
            for x_t in sequence.unsqueeze(1):
                read, source = x_t, INPUT
                _, after = network(x_t, state)
                for layer, old, new in zip(network.layers, state.layers, after.layers, strict=True):
                    count(read[0], layer.inward.weight)
                    count(old.z[0], layer.recurrent.weight)
                    current = layer.total_current({source: read, layer.name: old.z}, 0, state.t)
                    count(torch.cat((current, old.v), 1)[0], layer.neuron.membrane_gate.weight)
                    count(torch.cat((current, old.b), 1)[0], layer.neuron.adaptation_gate.weight)
                    read, source = new.z, layer.name
                    spikes += int(new.z.sum())
                count(read[0], network.readout.linear.weight)
                state = after
    assert 0.05 < spikes / (23 * 11 * 9) < 0.5 and acs > 0 and macs > 0
    result = values(network, Given(x))
    assert result["synaptic_operations.dense"] == dense / 11
    assert result["synaptic_operations.effective_macs"] == macs / 11
    assert result["synaptic_operations.effective_acs"] == acs / 11
    assert result["activation_sparsity"] == 1 - spikes / (23 * 11 * 9)


@pytest.mark.parametrize(("batch", "window"), [(1, 23), (4, 5), (11, 1), (256, 100)])
def test_batch_and_window_change_nothing(batch, window, monkeypatch):
    network, x = random_ltc()
    whole = measure(network, Given(x))
    monkeypatch.setattr(Given, "evaluation_batch", batch)
    monkeypatch.setattr("throughtime.harness.batches.EVALUATION_WINDOW", window)
    assert measure(network, Given(x)) == whole


def test_the_rate_is_that_of_evaluation():
    network, x = random_ltc()
    result = values(network, Given(x))
    mean = (5 * result["firing_rate.layer1"] + 4 * result["firing_rate.layer2"]) / 9
    assert mean == pytest.approx(evaluate(network, Given(x), "test").firing_rate, abs=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed(training):
    network = Recurrent(3, 2, ltc_smnist, hidden=(5,), norm_steps=4).double().train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    measure(network, Given(random_ltc()[1]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert network.training is training and network.layers[0].neuron.training is training
    assert all(weight.grad is None for weight in network.parameters())


# ---- other networks ----------------------------------------------------------------------------------------------


class Plugin(Network):
    """A network of a plugin: `maps`, a function of x [batch, 2], returns the output and the spikes of each step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.W = nn.Parameter(torch.tensor([[1.0, 0.0], [2.0, 3.0]]))
        self.register_buffer("mask", torch.ones(2, 2))
        self.conv = nn.Conv1d(1, 1, 3, padding=1) if kind == "convolution" else None
        self.lstm = nn.LSTM(2, 2) if kind == "nn.LSTM" else None
        self.cell = nn.LSTMCell(2, 2) if kind == "nn.LSTMCell" else None

    def initial_state(self, batch: int) -> tuple[()]:
        return ()

    def forward(self, x: Tensor, state: tuple[()]) -> tuple[Step, tuple[()]]:
        W = self.W
        maps = {
            "linear": lambda: F.linear(x, W),
            "matmul": lambda: x @ W.t(),
            "left": lambda: (W @ x.t()).t(),
            "einsum": lambda: torch.einsum("oi,bi->bo", W, x),
            "batched": lambda: torch.bmm(x.unsqueeze(1), W.t().expand(len(x), 2, 2)).squeeze(1),
            "mv": lambda: torch.stack([torch.mv(W, row) for row in x]),
            "dot": lambda: torch.stack([torch.stack([row @ W[0], row @ W[1]]) for row in x]),
            "addmv": lambda: torch.stack([torch.addmv(row, W, row) for row in x]),
            "baddbmm": lambda: torch.baddbmm(x.unsqueeze(1), x.unsqueeze(1), W.t().expand(len(x), 2, 2)).squeeze(1),
            "one column at a time": lambda: torch.stack([x @ W[0], x @ W[1]], 1),
            "buffer": lambda: x @ self.mask.t(),
            "convolution": lambda: self.conv(x.unsqueeze(1)).squeeze(1),
            "made at each step": lambda: x @ (W * self.mask).t(),
            "squared": lambda: x @ (W @ self.mask).t(),
            "attention": lambda: (x @ x.t()) @ x,
            "lookup": lambda: W[x[:, 0].long()],
            "nn.LSTM": lambda: self.lstm(x.unsqueeze(0))[0][0],
            "nn.LSTMCell": lambda: self.cell(x)[0],
            "mixed in": lambda: torch.cdist(x, W),
        }
        y = maps[self.kind]()
        return Step(y, ((y > 0).to(y.dtype),)), ()

    def unroll(self, x: Tensor, state: tuple[()]) -> Window:
        steps = [self(x_t, state)[0] for x_t in x.unbind(0)]
        return Window(torch.stack([s.output for s in steps]), (torch.stack([s.spikes[0] for s in steps]),), ())


WAYS = "linear", "matmul", "left", "einsum", "batched", "mv", "dot", "addmv", "baddbmm", "one column at a time"


@pytest.mark.parametrize("kind", WAYS)
def test_however_a_map_is_written(kind):
    # Inputs 1 and 2 have two weights and one that are not zero. ACs: 2 + 1, 2. MACs: 0.5 has two.
    x = [[[1.0, 1.0], [1.0, 0.0], [0.5, 0.0]]]
    result = values(Plugin(kind).double(), Given(x))
    assert result["synaptic_operations.dense"] == 4
    assert result["synaptic_operations.effective_acs"] == pytest.approx(5 / 3)
    assert result["synaptic_operations.effective_macs"] == pytest.approx(2 / 3)


def test_a_buffer_may_be_a_map():
    result = values(Plugin("buffer").double(), Given([[[1.0, 1.0]]]))
    assert result["synaptic_operations.effective_acs"] == 4


def test_convolution():
    # Two places, a kernel of three, padded by one: each output sees both, never the padding. The kernel's weights are
    # k_0 (left), k_1 = 0, k_2 (right): x_1 reaches y_2 by k_0 and x_2 reaches y_1 by k_2.
    network = Plugin("convolution").double()
    with torch.no_grad():
        network.conv.weight.copy_(torch.tensor([[[2.0, 0.0, -3.0]]]))
    result = values(network, Given([[[1.0, 1.0], [0.0, 1.0], [0.5, 1.0]]]))
    assert result["synaptic_operations.dense"] == 4
    assert result["synaptic_operations.effective_acs"] == pytest.approx((2 + 1) / 3)
    assert result["synaptic_operations.effective_macs"] == pytest.approx(2 / 3)


def test_lstm_cell_of_torch():
    # A step: 2 · 8 of W_ih and 2 · 8 of W_hh, h = 0. What gates do to the state is no synaptic operation.
    result = values(Plugin("nn.LSTMCell").double(), Given([[[0.5, 1.0]]]))
    assert result["synaptic_operations.dense"] == 32
    assert result["synaptic_operations.effective_macs"] == 16
    assert result["synaptic_operations.effective_acs"] == 0


def test_a_lookup_is_no_operation():
    result = values(Plugin("lookup").double(), Given([[[1.0, 0.0]]]))
    assert result["synaptic_operations.dense"] == 0


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("made at each step", "neither side is a parameter"),
        ("squared", "both sides are parameters"),
        ("attention", "neither side is a parameter"),
        ("mixed in", "has a weight of the network as an argument"),
    ],
)
def test_what_cannot_be_counted_is_null(kind, reason):
    result = measure(Plugin(kind).double(), Given([[[1.0, 0.5]]]))
    operations = [measured for name, measured in result.items() if name.startswith("synaptic_operations")]
    assert len(operations) == 3
    assert all(measured.value is None and reason in measured.missing for measured in operations)
    assert result["firing_rate.layer1"].value is not None


def test_lstm_of_torch_is_counted_or_null():
    """The kernel that torch takes decides which; the count is never too low."""
    dense = measure(Plugin("nn.LSTM").double(), Given([[[0.5, 1.0]]]))["synaptic_operations.dense"]
    assert dense.value == 32 or "has a weight" in dense.missing
    dense = measure(Plugin("nn.LSTM"), Float32([[[0.5, 1.0]]]))["synaptic_operations.dense"]
    assert dense.value == 32 or "has a weight" in dense.missing


class Float32(Given):
    def __init__(self, x: list[Any]) -> None:
        super().__init__(x)
        self.x = self.x.float()


def test_sums_beyond_float32_are_exact():
    # 4 097 · 4 099 = 16 793 603, odd and above 2^24.
    network = Recurrent(4097, 1, StepNeuron, hidden=(4099,))
    network.layers[0].recurrent = nn.Linear(4099, 1, bias=False)  # a small one: only W matters
    with torch.no_grad(), SynapticOperations(network) as operations:
        network.layers[0].inward.weight.fill_(1.0)
        network.layers[0].inward(torch.ones(1, 4097))
    assert operations.by_weight["layers.0.inward.weight"] == {
        "dense": 16_793_603,
        "effective_macs": 0,
        "effective_acs": 16_793_603,
    }
