"""Gradients of online rules in stacks of linear recurrent units, at the initial weights."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from throughtime.datasets.memory_tasks import Copy
from throughtime.registry import NETWORKS, NEURONS
from throughtime.reports.layer_gradients import layer_gradients

UNITS, BATCH = 32, 20
RULES = {"BPTT": "bptt", "online": "diagonal_rtrl", "spatial": "sltt"}
"""By the names of the paper: `online` carries the traces of each layer, `spatial` has the gradient within each step."""


@lru_cache(maxsize=2)
def gradients(depth: int, seed: int) -> dict[str, list[Tensor]]:
    """Return the gradients of the rules by the parameters of each layer, at the initial weights, in float64."""
    data = Copy(length=20, delay=7, symbols=2)
    batch = next(data.batches("train", BATCH, torch.Generator().manual_seed(seed)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options: dict[str, Any] = {"layers": [{"dense": UNITS} for _ in range(depth)], "readouts": [{"tau": 0}]}
        options = NETWORKS["layered"].checked(options)
        network = NETWORKS["layered"].factory(data.inputs, data.outputs, NEURONS["lru"].factory, **options).double()
    x = batch.x.double()
    return {name: layer_gradients(network, rule, x, batch.target, data.task) for name, rule in RULES.items()}
