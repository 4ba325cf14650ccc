"""Networks as NIR graphs: an interpreter of the graph, written here, and the network that comes back spike alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.networks.nir import from_nir, to_nir
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import NEURONS

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
    found = np.stack([interpreter.step(x.double().numpy()) for x in inputs()])
    np.testing.assert_allclose(found, outputs.numpy(), rtol=1e-4, atol=1e-5)

    again, outputs_again = spikes_and_outputs(from_nir(graph, DT, scheme))
    assert all(torch.equal(a, b) for a, b in zip(spikes, again, strict=True))
    torch.testing.assert_close(outputs_again, outputs, rtol=1e-4, atol=1e-5)


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
    found = np.stack([interpreter.step(x.double().numpy()) for x in inputs()])
    np.testing.assert_allclose(found, spikes_and_outputs(from_nir(graph, DT))[1].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("neuron", "options", "more", "message"),
    [
        ("lif", {}, {}, "LIF has reset: subtract"),
        ("alif", {}, {}, "NIR has no node for ALIF; it has lif, cuba and plif"),
        ("lif", {"reset": "zero", "refractory": 3}, {}, "no refractory period; LIF has one of 3 steps"),
        ("plif", {}, {"readout": "membrane"}, "this readout reads membranes"),
        ("plif", {}, {"readout_leak": "gated"}, "no readout with a computed leak"),
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
    one = np.ones(6)
    for node, message in (
        (nir.IF(r=one, v_threshold=one, v_reset=0 * one), "layer1 is a IF; from_nir reads LIF and CubaLIF"),
        (nir.LIF(tau=one, r=one, v_leak=one, v_threshold=one), "a resting or reset potential other than 0"),
    ):
        with pytest.raises(UsageError, match=message):
            from_nir(nir.NIRGraph({**graph.nodes, "layer1": node}, graph.edges), DT)
    ends = {"input": nir.Input({"input": np.array([6])}), "output": nir.Output({"output": np.array([6])})}
    with pytest.raises(UsageError, match="from_nir reads layers in series"):
        from_nir(nir.NIRGraph(ends, [("input", "output")]), DT)
    nodes = {**graph.nodes, "input": ends["input"], "layer1_inward": nir.Scale(one)}
    with pytest.raises(UsageError, match="layer1_inward is a Scale; from_nir reads Linear and Affine there"):
        from_nir(nir.NIRGraph(nodes, graph.edges), DT)
    with pytest.raises(UsageError, match="the loop of layer1 is a Scale"):
        from_nir(nir.NIRGraph({**graph.nodes, "layer1_recurrent": nir.Scale(one)}, graph.edges), DT)
    with pytest.raises(UsageError, match="from_nir reads layers in series"):
        from_nir(nir.NIRGraph(graph.nodes, [edge for edge in graph.edges if edge[1] != "readout"]), DT)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # norse calls a function that nirtorch has deprecated
def test_norse_reads_the_graph_and_spikes_alike():
    pytest.importorskip("nir", reason="the extra nir is not installed")
    norse = pytest.importorskip("norse.torch", reason="norse is not installed")
    net = network("lif", {"reset": "zero", "tau": 5.0}, {"readout_tau": 0.0})
    with torch.no_grad():
        net.layers[0].recurrent.weight.zero_()  # the delay of a loop is the reader's choice
        theirs, state, found = norse.from_nir(to_nir(net, DT, "euler"), dt=DT), None, []
        for x in inputs():
            y, state = theirs(x, state)
            found.append(y)
    torch.testing.assert_close(torch.stack(found), spikes_and_outputs(net)[1], rtol=1e-4, atol=1e-5)


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
