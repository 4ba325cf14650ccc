"""Networks as NIR graphs: an interpreter of the graph, written here, and the network that comes back spike alike."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.networks.nir import from_nir, imported, to_nir
from throughtime.networks.nir.reading import TINY
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import NEURONS

pytestmark = pytest.mark.usefixtures("tensor_operations")

INPUTS, OUTPUTS, STEPS, BATCH, DT = 3, 2, 40, 4, 1e-3
NETWORKS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "lif": ("lif", {"reset": "zero", "tau": 5.0, "tau_max": 20.0}, {}),
    "lif with an input gain of 1": ("lif", {"reset": "zero", "tau": 5.0, "input_gain": "unit"}, {"readout_tau": 0.0}),
    "cuba": ("cuba", {"tau": 4.0, "threshold": 0.3}, {"recurrent_bias": True}),
    "plif": ("plif", {"threshold": 0.4}, {}),
    "two layers": ("lif", {"reset": "zero", "tau": 4.0}, {"hidden": [6, 5]}),
}


def network(neuron: str, options: dict[str, Any], more: dict[str, Any]) -> Recurrent:
    torch.manual_seed(1)
    net = Recurrent(INPUTS, OUTPUTS, lambda size: NEURONS[neuron].factory(size, **options), **{"hidden": [6], **more})
    with torch.no_grad():
        for layer in net.layers:
            layer.recurrent.weight.mul_(3)
    return net


def inputs() -> torch.Tensor:
    return 2 * torch.randn(STEPS, BATCH, INPUTS, generator=torch.Generator().manual_seed(2))


def spikes_and_outputs(net: Recurrent) -> tuple[list[torch.Tensor], torch.Tensor]:
    with torch.no_grad():
        window = net.unroll(inputs(), net.initial_state(BATCH))
    return list(window.spikes), window.outputs


class Interpreter:
    """Steps of a NIR graph in float64; a node that is asked for while it is computed answers with its last output."""

    def __init__(self, graph: Any, scheme: str) -> None:
        self.graph, self.scheme = graph, scheme
        self.state: dict[str, dict[str, np.ndarray]] = {name: {} for name in graph.nodes}
        self.last: dict[str, Any] = {}

    def decay(self, tau: np.ndarray) -> np.ndarray:
        return np.exp(-DT / tau) if self.scheme == "exponential" else 1 - DT / tau

    def step(self, x: np.ndarray) -> np.ndarray:
        self.now, self.open = {"input": x}, set[str]()
        y = self.value("output")
        self.last = self.now
        return y

    def value(self, name: str) -> Any:
        if name in self.open:
            return self.last.get(name, 0.0)
        if name not in self.now:
            self.open.add(name)
            arriving = [self.value(source) for source, target in self.graph.edges if target == name]
            self.open.discard(name)
            self.now[name] = self.output(name, self.graph.nodes[name], arriving)
        return self.now[name]

    def output(self, name: str, node: Any, arriving: list[Any]) -> Any:
        kind, state, I = type(node).__name__, self.state[name], sum(arriving)
        if kind in ("Affine", "Linear"):
            bias = getattr(node, "bias", 0.0)
            return (I @ node.weight.T if np.ndim(I) else 0.0) + bias
        if kind == "CubaLIF":
            γ = self.decay(node.tau_syn)
            I = state["i"] = γ * state.get("i", 0.0) + (1 - γ) * node.w_in * I
        if kind in ("LIF", "CubaLIF", "LI"):
            α = self.decay(node.tau if hasattr(node, "tau") else node.tau_mem)
            v = α * state.get("v", 0.0) + (1 - α) * (node.v_leak + node.r * I)
            if kind == "LI":
                state["v"] = v
                return v
            z = (v > node.v_threshold).astype(float)
            state["v"] = np.where(z > 0, node.v_reset, v)
            return z
        return I  # the output


@pytest.mark.parametrize("scheme", ["exponential", "euler"])
@pytest.mark.parametrize("case", NETWORKS)
def test_graph_and_network_read_back_spike_alike(case, scheme, tmp_path):
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    net = network(*NETWORKS[case])
    spikes, outputs = spikes_and_outputs(net)
    assert all(0.02 < float(z.mean()) < 0.9 for z in spikes)
    nir.write(tmp_path / "net.nir", to_nir(net, DT, scheme))
    graph = nir.read(tmp_path / "net.nir")
    assert graph.metadata == {"dt": DT, "scheme": scheme}

    interpreter = Interpreter(graph, scheme)
    result = np.stack([interpreter.step(x.double().numpy()) for x in inputs()])
    np.testing.assert_allclose(result, outputs.numpy(), rtol=1e-4, atol=1e-5)

    again, outputs_again = spikes_and_outputs(from_nir(graph, DT, scheme))
    assert all(torch.equal(a, b) for a, b in zip(spikes, again, strict=True))
    torch.testing.assert_close(outputs_again, outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"dt": 0.0}, {"dt": -1.0}, {"scheme": "exp"}])
def test_a_step_or_scheme_that_is_none_is_refused(wrong):
    pytest.importorskip("nir", reason="the extra nir is not installed")
    with pytest.raises(UsageError, match="dt is above 0, schemes are exponential, euler"):
        to_nir(network(*NETWORKS["lif"]), **{"dt": DT, **wrong})


def test_another_step_gives_other_spikes():
    pytest.importorskip("nir", reason="the extra nir is not installed")
    net = network(*NETWORKS["lif"])
    graph = to_nir(net, DT)
    graph.metadata.clear()
    other = from_nir(graph, 3 * DT)
    assert not torch.equal(spikes_and_outputs(net)[0][0], spikes_and_outputs(other)[0][0])


def test_step_and_scheme_of_the_metadata_are_taken_and_not_contradicted():
    pytest.importorskip("nir", reason="the extra nir is not installed")
    net = network(*NETWORKS["lif"])
    graph = to_nir(net, 3 * DT, "euler")
    assert torch.equal(spikes_and_outputs(net)[0][0], spikes_and_outputs(from_nir(graph))[0][0])
    with pytest.raises(UsageError, match=r"dt is 0.001; the graph's metadata say 0.003"):
        from_nir(graph, DT)
    with pytest.raises(UsageError, match="scheme is exponential; the graph's metadata say euler"):
        from_nir(graph, scheme="exponential")
    graph.metadata["scheme"] = "trapezoid"
    with pytest.raises(UsageError, match="no scheme trapezoid; there are exponential, euler"):
        from_nir(graph)


def test_scales_and_thresholds_of_a_graph_become_weights():
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    graph = to_nir(network(*NETWORKS["lif"]), DT)
    node = graph.nodes["layer1"]
    varied = nir.LIF(tau=node.tau, r=0.5 + np.arange(6.0), v_leak=node.v_leak, v_threshold=0.1 + 0.05 * np.arange(6.0))
    graph = nir.NIRGraph({**graph.nodes, "layer1": varied}, graph.edges)
    interpreter = Interpreter(graph, "exponential")
    result = np.stack([interpreter.step(x.double().numpy()) for x in inputs()])
    np.testing.assert_allclose(result, spikes_and_outputs(from_nir(graph, DT))[1].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("neuron", "options", "more", "message"),
    [
        ("lif", {}, {}, "LIF has reset: subtract"),
        ("alif", {}, {}, "NIR has no node for ALIF; it has lif, cuba and plif"),
        ("lif", {"reset": "zero", "refractory": 3}, {}, "no refractory period; LIF has one of 3 steps"),
        ("plif", {}, {"readout": "membrane"}, "this readout reads membranes"),
        ("plif", {}, {"readout_leak": "gated"}, "no readout with a trained or computed leak"),
        ("plif", {}, {"norm_steps": 3}, "or a normalisation"),
    ],
)
def test_other_networks_are_refused_with_the_reason(neuron, options, more, message):
    pytest.importorskip("nir", reason="the extra nir is not installed")
    with pytest.raises(UsageError, match=message):
        to_nir(network(neuron, options, more))


def test_other_graphs_are_refused_with_the_reason():
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    graph = to_nir(network(*NETWORKS["plif"]), DT)
    ones = np.ones(6)

    def refused(message, **nodes):
        edges = [edge for edge in graph.edges if not {*edges_of(nodes)} & {*edge}]
        with pytest.raises(UsageError, match=message):
            from_nir(nir.NIRGraph({**graph.nodes, **{k: v for k, v in nodes.items() if v is not None}}, edges), DT)

    def edges_of(nodes):
        return [name for name, node in nodes.items() if node is None]

    refused("layer1 is a IF; it reads LIF, CubaLIF, Linear", layer1=nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones))
    rest = nir.LIF(tau=ones, r=ones, v_leak=ones, v_threshold=ones)
    refused("layer1 has a resting or reset potential other than 0", layer1=rest)
    refused(
        "layer1_inward is a Scale; it reads", layer1_inward=nir.Scale(ones), input=nir.Input({"input": ones[:1] * 6})
    )
    refused("the loop of layer1 is a Scale", layer1_recurrent=nir.Scale(ones))
    refused("it reads layers in series", readout=None)
    ends = {"input": nir.Input({"input": np.array([6])}), "output": nir.Output({"output": np.array([6])})}
    with pytest.raises(UsageError, match="it reads layers in series"):
        from_nir(nir.NIRGraph(ends, [("input", "output")]), DT)


CONVOLUTIONS = {
    "pooled currents, recurrent": [
        {"conv": 3, "pool": {"kind": "average"}},
        {"conv": 4, "stride": 2, "recurrent": True, "bias": False},
        {"dense": 5, "recurrent": True},
    ],
    "pooled inputs": [
        {"conv": 3, "pool_input": {"kind": "average"}, "kernel": 2, "padding": 0},
        {"dense": 6, "pool_input": {"kind": "average", "size": 2}},
    ],
    "an image as a vector": [{"dense": 6}, {"dense": 4, "recurrent": True}],
    "a readout of images": [{"conv": 3}],
}


@pytest.mark.parametrize("neuron", [{"name": "lif", "reset": "zero", "tau": 3.0}, {"name": "cuba", "threshold": 0.3}])
@pytest.mark.parametrize("layers", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions_come_back_and_spike_alike(layers, neuron, tmp_path):
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    torch.manual_seed(3)
    net = tt.build_network("layered", (2, 6, 6), 3, neuron, layers=layers, readouts=[{"tau": 5.0}])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    path = tmp_path / "net.nir"
    nir.write(path, to_nir(net, DT))
    again = tt.build_network("nir", (2, 6, 6), 3, tt.neuron_type(**neuron), path=str(path))
    x = 3 * torch.rand(20, 4, 72, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        window, other = (n.unroll(x, n.initial_state(4)) for n in (net, again))
    assert all(0.01 < float(z.mean()) < 0.9 for z in window.spikes)
    assert all(torch.equal(a, b) for a, b in zip(window.spikes, other.spikes, strict=True))
    torch.testing.assert_close(window.outputs, other.outputs)
    nir.write(tmp_path / "again.nir", to_nir(again, DT))
    assert_same(nir.read(path), nir.read(tmp_path / "again.nir"))


def assert_same(graph, other):
    """The nodes are equal, whatever their names."""
    kinds = [sorted(type(node).__name__ for node in g.nodes.values()) for g in (graph, other)]
    assert kinds[0] == kinds[1] and len(graph.edges) == len(other.edges)
    for kind in ("Conv2d", "Affine", "Linear"):
        weights = [[n.weight for n in g.nodes.values() if type(n).__name__ == kind] for g in (graph, other)]
        norms = [sorted(float(np.linalg.norm(weight)) for weight in graph_weights) for graph_weights in weights]
        np.testing.assert_allclose(*norms, rtol=1e-5)


def test_sums_of_windows_are_read():
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    layers = [{"conv": 2}, {"dense": 4, "pool_input": {"kind": "average"}}]
    net = tt.build_network("layered", (1, 4, 4), 2, {"name": "lif", "reset": "zero"}, layers=layers)
    graph = to_nir(net)
    (pool,) = [name for name, node in graph.nodes.items() if isinstance(node, nir.AvgPool2d)]
    graph.nodes[pool] = nir.SumPool2d(*(np.array([n, n]) for n in (2, 2, 0)))
    view = from_nir(graph).layers[1].synapses["inward"].view
    torch.testing.assert_close(view(torch.ones(1, 2, 4, 4)), torch.full((1, 8), 4.0))


@pytest.mark.parametrize(
    "size, message", [(3, r"the current of layer1 is \[3, 2, 2\], not \[3, 3, 3\]"), (9, "does not fit")]
)
def test_pooling_that_does_not_fit_the_neurons_is_refused(size, message):
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    graph = nir.read(TINY)
    graph.nodes["layer1_pool"] = nir.AvgPool2d(*(np.array([n, n]) for n in (size, size, 0)))
    with pytest.raises(UsageError, match=message):
        from_nir(graph)


@pytest.mark.parametrize(
    "layers, message",
    [
        ([{"conv": 2, "norm_steps": 1}], "NIR has no batch normalisation; layer1 has one"),
        ([{"conv": 2, "pool": {"kind": "max"}}], "NIR has no MaxPool2d; layer1 has one"),
        ([{"conv": 2, "dropout": 0.5}], "is not a plain linear map or convolution"),
        ([{"conv": 2, "channels": [0, 1]}], "NIR has no Channels"),
    ],
)
def test_layers_that_nir_lacks_are_refused(layers, message):
    pytest.importorskip("nir", reason="the extra nir is not installed")
    net = tt.build_network("layered", (2, 4, 4), 2, {"name": "lif", "reset": "zero"}, layers=layers)
    with pytest.raises(UsageError, match=message):
        to_nir(net)


@pytest.mark.parametrize(
    "neuron, sizes, path, message",
    [
        ("lif", ((2, 6, 6), 5), TINY, "NIR's neurons have reset: zero, not subtract"),
        ("alif", ((2, 6, 6), 5), TINY, "the neurons layer1 of the graph are LIF, not ALIF"),
        ({"name": "lif", "reset": "zero"}, (5, 5), TINY, r"the graph has inputs \[2, 6, 6\], the data \[5\]"),
        ({"name": "lif", "reset": "zero"}, ((2, 6, 6), 4), TINY, "the graph has 5 outputs, the task 4"),
        ("lif", (5, 3), "none.nir", "no such NIR file"),
        ("lif", (5, 3), __file__, "not a NIR file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(neuron, sizes, path, message):
    pytest.importorskip("nir", reason="the extra nir is not installed")
    with pytest.raises(UsageError, match=message):
        tt.build_network("nir", *sizes, neuron, path=str(path))


def test_a_suite_trains_the_network_of_a_file(tmp_path):
    pytest.importorskip("nir", reason="the extra nir is not installed")
    neuron = {"name": "lif", "reset": "zero", "surrogate": "arctan"}
    net = tt.build_network("recurrent", 8, 10, neuron, hidden=[4])
    imported().write(tmp_path / "net.nir", to_nir(net))
    network = {"name": "nir", "path": str(tmp_path / "net.nir")}
    suite = {
        "suite": "read",
        "rules": ["bptt", "eprop"],
        "neurons": [neuron],
        "networks": [network],
        "passes": ["train"],
    }
    suite |= {"datasets": [{"name": "digits", "steps": 8}], "training": {"epochs": 1, "batch": 512}}
    (tmp_path / "read.yaml").write_text(json.dumps(suite))
    results = tt.run(tmp_path / "read.yaml", "tiny", tmp_path / "runs", quiet=True, jobs=1)
    assert results.frame["status"].tolist() == ["ok", "ok"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # norse calls a function that nirtorch has deprecated
def test_norse_reads_the_graph_and_spikes_alike():
    pytest.importorskip("nir", reason="the extra nir is not installed")
    norse = pytest.importorskip("norse.torch", reason="norse is not installed")
    net = network("lif", {"reset": "zero", "tau": 5.0}, {"readout_tau": 0.0})
    with torch.no_grad():
        net.layers[0].recurrent.weight.zero_()  # the delay of a loop is the reader's choice
        theirs, state, result = norse.from_nir(to_nir(net, DT, "euler"), dt=DT), None, []
        for x in inputs():
            y, state = theirs(x, state)
            result.append(y)
    torch.testing.assert_close(torch.stack(result), spikes_and_outputs(net)[1], rtol=1e-4, atol=1e-5)


def test_the_command_writes_the_network_of_a_run(tmp_path, capsys):
    nir = pytest.importorskip("nir", reason="the extra nir is not installed")
    suite = tmp_path / "kept.yaml"
    lines = ["suite: kept", "summary: one run", "rules: [bptt]", "neurons: [{name: lif, tau: 2, reset: zero}]"]
    lines += ["networks: [{name: recurrent, hidden: [4]}]", "datasets: [{name: digits, steps: 8}]", "passes: [train]"]
    lines += ["keep_weights: true", "training: {epochs: 1, batch: 512}", "scales: {tiny: {}, laptop: {}, paper: {}}"]
    suite.write_text("\n".join(lines) + "\n")
    folder = ["--results", str(tmp_path / "runs")]
    assert main(["run", str(suite), "--scale", "tiny", *folder]) == 0
    capsys.readouterr()
    assert main(["export", "nir", "bptt lif digits #0", str(tmp_path / "net.nir"), *folder]) == 0
    assert "layer1 (LIF)" in capsys.readouterr().out
    assert nir.read(tmp_path / "net.nir").nodes["layer1"].tau == pytest.approx(2e-3 * np.ones(4))
    assert main(["export", "nir", "no such run", str(tmp_path / "net.nir"), *folder]) == 2
