"""Gradients of rules beside BPTT's in networks of several layers, at weights that BPTT has trained on Randman."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from throughtime.datasets.randman import Randman
from throughtime.harness.learner import Learner
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, NEURONS
from throughtime.reports.layer_gradients import layer_gradients

NEURON: dict[str, Any] = {"tau": 20.6, "threshold": 1.0, "input_gain": "unit"}
"""The authors' neuron: leak σ(3), as in the networks that their scripts build."""
SURROGATE = {"name": "fast_sigmoid", "slope": 25.0, "height": 1.0}
WIDTH, BATCH, UPDATES, LEARNING_RATE = 64, 64, 20, 1e-3
SMOOTHNESS = 2.0
"""Of the manifolds: that of the generator's authors. The paper's, 1, needs thirty times as many sines."""
RULES = {"OTPE": "otpe", "approximate OTPE": "approximate_otpe", "OSTL": "eprop", "OTTT": "ottt"}
"""The rules by the names of the paper. Its OSTL follows a synapse to its own neuron: `eprop`, without a filter here."""


def network_of(depth: int) -> Recurrent:
    """Return layers of the authors' LIF without recurrent weights, in float64, and a readout without memory."""
    data, lif = Randman(), NEURONS["lif"]
    options = lif.checked({**NEURON, "surrogate": SURROGATE})
    return Recurrent(
        data.inputs,
        data.outputs,
        lambda size: lif.factory(size, **options),
        hidden=[WIDTH] * depth,
        readout_tau=0.0,
        weights="normal",
        recurrent_weights=False,
    ).double()


@lru_cache(maxsize=2)
def gradients(code: Literal["time", "rate"], depth: int, seed: int) -> dict[str, list[Tensor]]:
    """Return the gradients of BPTT and of `RULES` by the parameters of each layer, the first layer first.

    Args:
        code: of the data.
        depth: number of layers.
        seed: of the weights and the data.
    """
    data = Randman(code=code, smoothness=SMOOTHNESS, sequences=BATCH * (UPDATES + 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = network_of(depth)
    *before, last = data.batches("train", BATCH, torch.Generator().manual_seed(seed))
    learner = Learner(network, ALGORITHMS["bptt"].factory(loss_at="every"), data.task, data.steps)
    optimiser = torch.optim.Adamax(learner.parameters(), lr=LEARNING_RATE)
    for batch in before:
        learner.learn(batch.x.double(), batch.target, optimiser)
    x, rules = last.x.double(), {"BPTT": "bptt", **RULES}
    return {name: layer_gradients(network, rule, x, last.target, data.task) for name, rule in rules.items()}
