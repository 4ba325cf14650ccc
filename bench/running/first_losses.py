"""Losses of a run's first updates in float64: equal numbers say that two versions of the code differ by rounding alone.

The module is also a program for the version of the package in its environment, `python -c TEXT RECORD [PLUGIN ...]`,
so that the code of an old record can be asked; it uses nothing that is newer than the records.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from throughtime.datasets.batch import Batch
from throughtime.harness.batches import learn_batch, started
from throughtime.harness.build import Built, build_network
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.numerics.flat import flatten
from throughtime.numerics.trees import mapped
from throughtime.records.record import read_record
from throughtime.registry import ALGORITHMS, DATASETS, load_plugin
from throughtime.spec import RunSpec

UPDATES = 20


class EnoughError(Exception):
    """Raised by the last update."""


def first_losses(spec: RunSpec) -> list[float]:
    """Return the losses of a run's windows up to its 20th update, in float64, whatever the precision of the run.

    The run is trained on the CPU without evaluation, from the weights and in the order of batches of the spec.
    """
    torch.set_num_threads(spec.threads)
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

    def noted(x: torch.Tensor, target: torch.Tensor, t: int) -> torch.Tensor | None:
        loss = learn(x, target, t)
        if loss is not None:
            losses.append(float(loss))
        return loss

    rule.learn = noted
    order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
    try:
        while True:
            for batch in dataset.batches("train", spec.training.batch, order):
                x, target = mapped(_in_float64, batch.x), mapped(_in_float64, batch.target)
                learn_batch(rule, Batch(x, target, batch.per_step), updated)
            update.end_epoch()
    except EnoughError:
        return losses


def _in_float64(part: torch.Tensor) -> torch.Tensor:
    return part.double() if part.is_floating_point() else part


if __name__ == "__main__":
    for plugin in sys.argv[2:]:
        load_plugin(Path(plugin))
    print(json.dumps(first_losses(read_record(Path(sys.argv[1])).spec)))
