"""The figure of a trained network: time constants that are known, spikes of the network itself, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.synthetic_records import put
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.harness.build import build
from throughtime.harness.weights import write_weights
from throughtime.networks.layered.layered import Layered
from throughtime.neurons.lif import LIF
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.trained_network import draw_network, trace
from throughtime.spec import ComponentSpec, RunSpec, Training


def spec_of(neuron: str, **options: object) -> RunSpec:
    return RunSpec(
        suite="mine",
        scale="tiny",
        rule=ComponentSpec(name="bptt", label="bptt"),
        neuron=ComponentSpec(name=neuron, options=options, label=neuron),
        network=ComponentSpec(name="recurrent", options={"hidden": [5, 3]}, label="recurrent"),
        dataset=ComponentSpec(name="adding", options={"steps": 12, "sequences": 8, "held_out": 4}, label="adding"),
        training=Training(),
        passes=["train"],
        replicate=0,
        seed=1,
    )


def kept(store: Store, spec: RunSpec, scale: float = 3.0) -> str:
    """Write the record of a run and the weights of its network, large enough that neurons spike; return its id."""
    network = build(spec).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(scale)
    write_weights(put(store, spec), network.state_dict(), network.state_dict())
    return spec.id({})


def test_time_constants_are_those_of_the_neurons(store):
    network = build(spec_of("lif", tau=2.0, tau_max=50.0)).network
    first, second = trace(network, torch.rand(12, 2))
    assert first.time_constants == pytest.approx(np.geomspace(2, 50, 5), rel=1e-4)
    assert second.time_constants == pytest.approx(np.geomspace(2, 50, 3), rel=1e-4)
    assert first.name == "layer1" and first.v.shape == (12, 5) and second.spikes.shape == (12, 3)


def test_leaks_of_large_layers_are_those_of_some_neurons(monkeypatch):
    """Every other of five neurons is drawn; the state of a convolutional layer is an image."""
    monkeypatch.setattr("throughtime.reports.trained_network.MOST_LEAKS", 3)
    network = build(spec_of("lif", tau=2.0, tau_max=50.0)).network
    first, _ = trace(network, torch.rand(12, 2))
    assert first.time_constants == pytest.approx(
        np.geomspace(2, 50, 5) * [1, np.nan, 1, np.nan, 1], rel=1e-4, nan_ok=True
    )
    conv = Layered((1, 2, 3), 2, LIF, layers=[{"conv": 2, "norm_steps": 1}])
    (layer,) = trace(conv, torch.rand(12, 6))
    assert layer.v.shape == (12, 12) and np.isfinite(layer.time_constants).sum() == 3


def test_spikes_and_membranes_are_those_of_the_network(store):
    spec = spec_of("lif", tau=2.0)
    run = kept(store, spec)
    drawn = draw_network(Results.load(store.folder), run, sequence=2)
    data = drawn.data
    network = build(spec).network
    network.load_state_dict(torch.load(store.run_folder("mine", run) / "weights.pt")["final"])
    batch = next(iter(build(spec).dataset.batches("test", 4)))
    window = network.unroll(batch.x, network.initial_state(4))
    for number, z in enumerate(window.spikes, start=1):
        spikes = data[(data["layer"] == f"layer{number}") & (data["what"] == "spike")]
        assert sorted(zip(spikes["step"], spikes["neuron"], strict=True)) == sorted(
            map(tuple, z[:, 2].nonzero().tolist())
        )
    assert (data["what"] == "spike").any(), "the network is alive"
    constants = data.loc[data["what"] == "time constant", "value"]
    assert constants.tolist() == pytest.approx([2.0] * 8, rel=1e-4)
    raster = drawn.figure.axes[0].collections[0].get_offsets()
    assert len(raster) == ((data["what"] == "spike") & (data["layer"] == "layer1")).sum()


def test_cells_that_do_not_spike_have_no_raster(store):
    spec = spec_of("rnn")
    run = kept(store, spec)
    drawn = draw_network(Results.load(store.folder), run)
    assert set(drawn.data["what"]) <= {"membrane", "time constant"}


def test_the_command_writes_the_figure_and_refuses_in_one_line(store, tmp_path, capsys):
    run = kept(store, spec_of("ltc"))
    assert main(["show", run, "--results", str(store.folder), "--out", str(tmp_path / "out"), "--style", "paper"]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"network-bptt-ltc-adding-0.{ending}" for ending in ("pdf", "svg", "png", "csv", "txt")}
    words = ["show", run, "--results", str(store.folder), "--out", str(tmp_path / "out")]
    assert main([*words, "--sequence", "3", "--weights", "best_validation"]) == 0
    more = {path.name for path in (tmp_path / "out").glob("*-sequence-3-best.*")}
    assert more and {path.name for path in (tmp_path / "out").iterdir()} == written | more
    capsys.readouterr()
    assert main(["show", run, "--results", str(store.folder), "--sequence", "4"]) == 2
    assert "the test split has 4 sequences" in capsys.readouterr().err
    other = spec_of("lif")
    put(store, other)
    with pytest.raises(UsageError, match="keep_weights"):
        draw_network(Results.load(store.folder), other.id({}))


def test_a_membrane_that_does_not_decay_has_no_time_constant():
    network = build(spec_of("lif", tau=1e30)).network
    (first, _) = trace(network, torch.rand(3, 2))
    assert all(math.isnan(τ) or τ > 1e6 for τ in first.time_constants)
