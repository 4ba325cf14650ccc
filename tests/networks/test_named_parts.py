"""Layers and readouts whose names are those of other parts, and outputs that the readouts do not have."""

from __future__ import annotations

import pytest
import torch

import throughtime as tt
from throughtime.errors import UsageError
from throughtime.networks.nir.writing import to_nir


@pytest.mark.parametrize("kind", ["view", "dropout", "norm"])
def test_a_source_may_have_the_name_of_a_part_of_another(kind):
    """All maps of a layer that reads x and x_view are trained, and part of its state."""
    layers = [
        {"name": "x", "conv": 2},
        {"name": f"x_{kind}", "conv": 3},
        {"name": "both", "dense": 4, "reads": ["x", f"x_{kind}"], "dropout": 0.5},
    ]
    network = tt.build_network("layered", (1, 4, 4), 2, layers=layers)
    both = network.layers[2]
    assert [both.get_parameter(f"from_{name}.weight").shape for name in ("x", f"x_{kind}")] == [(4, 32), (4, 48)]
    network.eval()
    assert [synapse.dropout.training for synapse in both.synapses.values()] == [False, False]
    assert {f"layers.2.from_x_{kind}.weight", "layers.2.from_x.weight"} <= network.state_dict().keys()


@pytest.mark.parametrize("name", ["forward", "train", "half", "keys"])
def test_names_of_pytorchs_attributes(name):
    """A layer may have one; of several readouts, none."""
    network = tt.build_network("layered", 4, 2, layers=[{"name": name, "dense": 3}, {"dense": 3}])
    assert network.unroll(torch.rand(5, 2, 4), network.initial_state(2)).outputs.shape == (5, 2, 2)
    said = f"a readout needs another name, such as y: attribute '{name}' already exists"
    with pytest.raises(UsageError, match=f"^layered: {said}$"):
        tt.build_network("layered", 4, 2, layers=[{"dense": 3}], readouts=[{"name": name}, {"name": "b"}])
    with pytest.raises(UsageError, match=f"^recurrent: {said}$"):
        tt.build_network("recurrent", 4, {name: 2, "b": 2})


@pytest.mark.parametrize("name", ["", "a.b"])
def test_names_that_are_no_modules(name):
    with pytest.raises(UsageError, match="recurrent: a readout needs another name, such as y: module name can't"):
        tt.build_network("recurrent", 4, {name: 2})
    with pytest.raises(UsageError, match=r"layers\.0\.name: String should match"):
        tt.build_network("layered", 4, 2, layers=[{"name": name, "dense": 3}])


@pytest.mark.parametrize("name", ["encoded", "ecg_spiking_readout"])
@pytest.mark.parametrize("outputs", [{"a": 2, "b": 2}, {"a": 2}, (2, 3)])
def test_networks_of_one_readout(name, outputs):
    with pytest.raises(UsageError, match=f"^{name}: outputs is the number of outputs of one readout, such as 2, not "):
        tt.build_network(name, 4, outputs)


def test_nodes_of_one_name_are_not_written_over():
    pytest.importorskip("nir", reason="the extra nir is not installed")
    network = tt.build_network(
        "layered",
        4,
        3,
        neuron={"name": "lif", "reset": "zero"},
        layers=[{"name": "a", "dense": 3}],
        readouts=[{"name": "a", "tau": 0}],
    )
    with pytest.raises(UsageError, match='NIR: two nodes have the name "a"'):
        to_nir(network)
