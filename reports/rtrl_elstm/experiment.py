"""A gradient of eLSTM, and the bytes of the copy task, by rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from throughtime.datasets.task import Classification
from throughtime.harness.build import build
from throughtime.measuring.exact_memory import exact_memory
from throughtime.registry import NETWORKS, NEURONS
from throughtime.reports.layer_gradients import gradients_by_parameter
from throughtime.suites.suite import load_suite

STEPS, BATCH, INPUTS, CELLS, CLASSES = 70, 10, 3, 5, 4
"""Sizes of the test of gradients in the authors' rtrl_layers.py; the readout is ours."""


def gradient(rule: str, layers: int, connected: bool) -> Tensor:
    """Return a rule's gradient of all parameters, flat."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        stack = [{"name": f"h{n}", "dense": CELLS, "recurrent": connected} for n in range(layers)]
        options: dict[str, Any] = {"layers": stack, "readouts": [{"tau": 0}]}
        options = NETWORKS["layered"].checked(options)
        network = NETWORKS["layered"].factory(INPUTS, CLASSES, NEURONS["elstm"].factory, **options).double()
        x, target = torch.rand(STEPS, BATCH, INPUTS).double(), torch.randint(CLASSES, (BATCH,))
    by = gradients_by_parameter(network, rule, x, target, Classification(CLASSES))
    return torch.cat([step.flatten() for step in by.values()])


def bytes_without_data(rule: str, steps: int) -> int:
    """Return the exact peak of a batch of the copy task with the input streamed, without the target."""
    spec = next(run for run in load_suite("rtrl_elstm").expand("laptop") if run.rule.label == rule)
    data = spec.dataset.model_copy(update={"options": {**spec.dataset.options, "length": steps // 2}})
    spec = spec.model_copy(update={"dataset": data})
    built = build(spec)
    batch = next(built.dataset.batches("train", spec.training.batch))
    return exact_memory(spec, built, batch).streamed - batch.target.nbytes
