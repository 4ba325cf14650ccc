"""The package `neurobench` as a witness of `throughtime.measuring.activity`, where it is installed; nothing here is
needed elsewhere.

Counts are equal to the last one where both count the same; where they do not, both numbers are pinned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.measuring.test_activity import Given, Plugin
from throughtime.measuring.activity import SynapticOperations, measure
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.neurons.lif import LIF
from throughtime.neurons.lstm import LSTM
from throughtime.neurons.ltc import LTC

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own, at import and after

F64 = torch.float64
STEPS, SEQUENCES, INPUTS = 17, 6, 3


@pytest.fixture(scope="module")
def neurobench() -> Any:
    return pytest.importorskip("neurobench")


class Sent(nn.Identity):
    """Identity on the spikes of a layer, on which `neurobench` places its hooks."""


class Hookable(nn.Module):
    """A network of ours, stepped so that each map is a call of its nn.Linear, [sequences, steps, inputs] at once."""

    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.network = network
        self.sent = nn.ModuleList(Sent() for _ in network.layers)

    def forward(self, x: Tensor) -> Tensor:
        network, state = self.network, self.network.initial_state(len(x))
        states, y = list(state.layers), state.y
        for x_t in x.unbind(1):
            for l, (layer, sent) in enumerate(zip(network.layers, self.sent, strict=True)):
                current = layer.inward(x_t) + layer.recurrent(states[l].z)
                z, states[l] = layer.neuron(current, states[l])
                x_t = sent(z)
            y = network.readout(network.readout.linear(getattr(states[-1], network.readout.reads)), y)
        return y


def theirs(model: nn.Module, x: Tensor, batch: int) -> dict[str, float]:
    """Return the measures of `neurobench` for x [steps, sequences, inputs], under our names."""
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload import ActivationSparsity, ActivationSparsityByLayer, SynapticOperations
    from neurobench.models import TorchModel

    wrapped = TorchModel(model)
    wrapped.add_activation_module(Sent)
    data = torch.utils.data.TensorDataset(x.transpose(0, 1), torch.zeros(x.shape[1]))
    loader = torch.utils.data.DataLoader(data, batch_size=batch)
    metrics = [SynapticOperations, ActivationSparsity, ActivationSparsityByLayer]
    with torch.no_grad():
        result = Benchmark(wrapped, loader, [], [], [[], metrics]).run(quiet=True)
    operations, by_layer = result["SynapticOperations"], result["ActivationSparsityByLayer"]
    return {
        "synaptic_operations.dense": operations["Dense"],
        "synaptic_operations.effective_macs": operations["Effective_MACs"],
        "synaptic_operations.effective_acs": operations["Effective_ACs"],
        "activation_sparsity": result["ActivationSparsity"],
        **{f"firing_rate.layer{int(l) + 1}": 1 - sparsity for l, sparsity in by_layer.items()},
    }


def ours(network: Any, x: Tensor) -> dict[str, float | None]:
    return {name: measured.value for name, measured in measure(network, Given(x)).items()}


def analog(x: Tensor) -> Tensor:
    return x + 0.01


def events(x: Tensor) -> Tensor:
    return (x < 0.3).to(x.dtype) - (x > 0.8).to(x.dtype)


def mixed(x: Tensor) -> Tensor:
    """Pixels: most 0 or 1."""
    return (2 * x - 0.5).clamp(0, 1)


NETWORKS: dict[str, Callable[[], Recurrent]] = {
    "lif": lambda: Recurrent(INPUTS, 2, LIF, hidden=(5,)),
    "alif, two layers": lambda: Recurrent(
        INPUTS, 2, lambda size: ALIF(size, tau=5.0, beta=0.1), hidden=(5, 4), readout="membrane"
    ),
    "ltc": lambda: Recurrent(INPUTS, 2, LTC, hidden=(5,), recurrent_bias=True),
    "ltc, gated readout": lambda: Recurrent(INPUTS, 2, LTC, hidden=(4, 3), readout_leak="gated"),
    "ltc, summed, unused": lambda: Recurrent(
        INPUTS, 2, lambda size: LTC(size, gate_input="summed", adaptation="unused"), hidden=(5,)
    ),
    "lstm": lambda: Recurrent(INPUTS, 2, LSTM, hidden=(5,), readout="membrane"),
}


def made(name: str, inputs: Callable[[Tensor], Tensor]) -> tuple[Recurrent, Tensor]:
    """A network that spikes, a quarter of its weights zero, and sequences for it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = NETWORKS[name]().double()
        with torch.no_grad():
            for part, weight in network.named_parameters():
                if weight.ndim == 2:
                    weight.mul_((torch.rand_like(weight) > 0.25) * (3 if "inward" in part else 1))
        return network, inputs(torch.rand(STEPS, SEQUENCES, INPUTS, dtype=F64))


@pytest.mark.parametrize("inputs", [analog, events, mixed])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_equal_at_batch_size_one(name, inputs, neurobench):
    network, x = made(name, inputs)
    mine, result = ours(network, x), theirs(Hookable(network), x, 1)
    assert 0 < mine["activation_sparsity"] < 0.95 or not network.spiking, "the comparison needs spikes"
    for quantity, value in mine.items():
        if quantity.startswith("synaptic_operations"):
            assert value == result[quantity]  # whole numbers over the number of sequences: to the last count
        elif value is not None:
            assert value == pytest.approx(result[quantity], abs=1e-12)


@pytest.mark.parametrize("batch", [4, SEQUENCES])
@pytest.mark.parametrize("inputs", [analog, events])
def test_equal_at_any_batch_size_where_no_map_reads_both(inputs, batch, neurobench):
    network, x = made("lif", inputs)
    mine, result = ours(network, x), theirs(Hookable(network), x, batch)
    for quantity, value in mine.items():
        assert value == pytest.approx(result[quantity], abs=1e-12)
    assert (mine["synaptic_operations.effective_macs"] == 0) == (inputs is events)


def test_their_split_depends_on_the_batch_and_their_sum_does_not(neurobench):
    network, x = made("lif", mixed)
    single, six = (theirs(Hookable(network), x, batch) for batch in (1, SEQUENCES))
    macs, acs = "synaptic_operations.effective_macs", "synaptic_operations.effective_acs"
    assert single[macs] < six[macs]
    assert single[macs] + single[acs] == pytest.approx(six[macs] + six[acs], abs=1e-9)
    assert ours(network, x)[macs] == single[macs]


@pytest.mark.parametrize("bias", [True, False])
def test_convolution(bias, neurobench):
    network = Plugin("convolution").double()
    network.conv = nn.Conv1d(1, 1, 3, padding=1, bias=bias).double()

    class Stepped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = network.conv

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.conv(x_t.unsqueeze(1)) for x_t in x.unbind(1)])

    x = mixed(torch.rand(STEPS, SEQUENCES, 2, dtype=F64, generator=torch.Generator().manual_seed(1)))
    mine, result = ours(network, x), theirs(Stepped(), x, 1)
    for quantity in ("dense", "effective_macs", "effective_acs"):
        assert mine[f"synaptic_operations.{quantity}"] == result[f"synaptic_operations.{quantity}"]
    assert mine["synaptic_operations.effective_macs"] > 0


class Cell(nn.Module):
    """torch's LSTM cell, [sequences, steps, inputs] at once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(INPUTS, size, dtype=F64)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), self.cell.hidden_size)
        for x_t in x.unbind(1):
            h, c = self.cell(x_t, (h, c))
        return h


def test_their_lstm_cell_has_the_products_of_gates_and_state_as_well(neurobench):
    x = analog(torch.rand(STEPS, SEQUENCES, INPUTS, dtype=F64, generator=torch.Generator().manual_seed(1)))
    result = theirs(Cell(5), x, 1)
    maps = STEPS * 4 * 5 * (INPUTS + 5)  # what we count of W and R
    products = STEPS * 3 * 5  # F c, I G, O tanh(c)
    # At the first step h and c are 0: no R h, and no F c.
    assert result["synaptic_operations.effective_macs"] == maps - 4 * 5 * 5 + products - 5
    assert (
        result["synaptic_operations.dense"] == result["synaptic_operations.effective_macs"]
    )  # leaves zero states out too


def test_their_lstm_cell_calls_everything_ac_where_its_input_is_binary(neurobench):
    x = torch.ones(STEPS, SEQUENCES, INPUTS, dtype=F64)
    result = theirs(Cell(5), x, 1)
    assert result["synaptic_operations.effective_macs"] == 0
    network = Recurrent(INPUTS, 2, LSTM, hidden=(5,)).double()
    assert ours(network, x)["synaptic_operations.effective_macs"] >= (STEPS - 1) * 4 * 5 * 5  # R h


def test_their_count_of_a_whole_lstm_is_zero(neurobench):
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(INPUTS, 5, dtype=F64)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x.transpose(0, 1))[0][-1]

    assert theirs(Whole(), torch.rand(STEPS, SEQUENCES, INPUTS, dtype=F64), 1)["synaptic_operations.dense"] == 0


def test_their_sums_are_rounded_to_float32(neurobench):
    from neurobench.metrics.utils.layers import single_layer_MACs

    layer, x = nn.Linear(4097, 4099), torch.ones(1, 4097)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        result, binary = single_layer_MACs(x, layer)
        with SynapticOperations(layer) as operations:
            layer(x)
    assert binary
    assert operations.total("effective_acs") == 4097 * 4099
    assert result != 4097 * 4099 and result == pytest.approx(4097 * 4099, rel=1e-6)


def test_without_calls_they_see_nothing(neurobench):
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(INPUTS, 5, bias=False, dtype=F64)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x[:, -1], self.linear.weight)

    model, x = Functional(), torch.rand(STEPS, SEQUENCES, INPUTS, dtype=F64)
    assert theirs(model, x, 1)["synaptic_operations.dense"] == 0
    with torch.no_grad(), SynapticOperations(model) as operations:
        model(x.transpose(0, 1))
    assert operations.total("dense") == SEQUENCES * 5 * INPUTS
