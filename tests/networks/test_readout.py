"""State dicts of version 0.1 are read by their old names: there the parameters of a leak belonged to the readout, the
synapses of `layered` to a list, and its only readout to a dict."""

from __future__ import annotations

import pytest
import torch

from throughtime.networks.layered.layered import BRANCHES, Layered
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF


def built(leak: str) -> torch.nn.Module:
    if leak == "layered":
        return Layered(3, 2, LIF, layers=[{"dense": 4, "recurrent": True}])
    if leak == "grid":
        return Layered((2, 4, 4), {"coarse": 2, "leaky": 3, "membrane": 2}, LIF, **BRANCHES)
    return Recurrent(3, 2, LIF, hidden=[4], readout_leak=leak, norm_steps=2)


def old(name: str, weight: torch.Tensor, layered: str) -> tuple[str, torch.Tensor]:
    """Return name and shape of a parameter in version 0.1; `layered`: `one` readout or `several`, or not `layered`."""
    if name.endswith("linear.weight") and weight.dim() == 4:
        return name, weight[..., 0, 0]
    for ours in ("from_", "recurrent."):
        name = name.replace(f".{ours}", f".maps.{ours}") if layered else name
    if layered == "one":
        name = name.replace("readout.", "readout.readout.")
    return name.replace(".neuron.", ".") if name.startswith("readout") else name, weight


@pytest.mark.parametrize(
    ("leak", "names"),
    [
        ("constant", {"readout.linear.weight", "readout.norm.weight"}),
        ("trained", {"readout.tau"}),
        ("gated", {"readout.gate.weight", "readout.gate.bias", "readout.slope"}),
        ("layered", {"layers.0.maps.from_input.bias", "layers.0.maps.recurrent.weight", "readout.readout.linear.bias"}),
        (
            "grid",
            {
                "layers.0.maps.from_input.weight",
                "readout.leaky.w",
                "readout.membrane.gate.weight",
                "readout.coarse.linear.weight",
            },
        ),
    ],
)
def test_old_names(leak, names):
    torch.manual_seed(0)
    source, target = built(leak), built(leak)
    weights = dict(
        old(name, weight, {"layered": "one", "grid": "several"}.get(leak, ""))
        for name, weight in source.state_dict().items()
    )
    assert names <= weights.keys()
    assert target.load_state_dict(weights).missing_keys == []
    for value, other in zip(source.state_dict().values(), target.state_dict().values(), strict=True):
        assert torch.equal(value, other)
