"""In float64, the losses of the first 20 updates of each cell of suite `gate` are those of commit 9bbae2a.

A change of the code that should change no number is compared with them, and committed runs need not run again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from throughtime.datasets.batch import Batch
from throughtime.harness.batches import learn_batch, started
from throughtime.harness.build import Built, build_network
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.numerics.flat import flatten
from throughtime.numerics.trees import mapped
from throughtime.registry import ALGORITHMS, DATASETS
from throughtime.spec import RunSpec
from throughtime.suites.suite import load_suite

LOSSES: dict[str, list[float]] = json.loads(Path(__file__).with_name("first_losses.json").read_text())
UPDATES = 20


class EnoughError(Exception):
    """Raised by the last update."""


def first_losses(spec: RunSpec) -> list[float]:
    """Return the losses of a run's windows up to its last update but one, in float64."""
    dataset = DATASETS[spec.dataset.name].factory(**spec.dataset.options)
    dataset.prepare()
    network = build_network(spec, dataset.layout or dataset.inputs, dataset.outputs).double()
    flatten([p for p in network.parameters() if p.requires_grad])
    rule = ALGORITHMS[spec.rule.name].factory(**spec.rule.options)
    update = started(spec, Built(dataset, network, rule), dataset.steps, Clock())
    losses, left, learn = list[float](), iter(range(UPDATES - 1)), rule.learn

    def updated() -> None:
        update()
        if next(left, None) is None:
            raise EnoughError

    def noted(*window):
        loss = learn(*window)
        if loss is not None:
            losses.append(float(loss))
        return loss

    rule.learn = noted
    order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
    try:
        while True:
            for batch in dataset.batches("train", spec.training.batch, order):
                x, target = mapped(in_float64, batch.x), mapped(in_float64, batch.target)
                learn_batch(rule, Batch(x, target, batch.per_step), updated)
            update.end_epoch()
    except EnoughError:
        return losses


def in_float64(part: torch.Tensor) -> torch.Tensor:
    return part.double() if part.is_floating_point() else part


@pytest.mark.slow
@pytest.mark.parametrize("label", LOSSES)
def test_the_first_losses_are_those_of_before(label):
    spec = next(spec for spec in load_suite("gate", "tiny").expand("tiny") if spec.label == label)
    result = first_losses(spec)[: len(LOSSES[label])]  # some have fewer: they took more than a minute
    assert result == pytest.approx(LOSSES[label][: len(result)], rel=1e-10)
    assert len(result) == len(LOSSES[label])
