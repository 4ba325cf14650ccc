"""Datasets with a target at every step and one fault each: the fact that must find it does."""

from __future__ import annotations

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, title
from tests.checks.test_datasets import FORMED, Toy
from throughtime.datasets.task import Classification, Regression


class Stepwise(Toy):
    """A class at every step but the first, which has no target."""

    task = Classification(4, per_step=True)

    def load(self):
        loaded = super().load()
        target = loaded.target.unsqueeze(1).repeat(1, self.steps)
        target[:, 0] = -1
        return loaded._replace(target=target)


class NumbersAStep(Stepwise):
    """Numbers at every step but the first."""

    task = Regression(1.0, per_step=True)

    def load(self):
        loaded = super().load()
        target = loaded.target.unsqueeze(2).repeat(1, 1, 4).float()
        return loaded._replace(target=torch.where(target < 0, torch.nan, target))


class SaysThatItIsStepwise(Stepwise):
    def changed(self, split, batch):
        return batch._replace(target=batch.target[-1])


class TaskSaysOtherwise(Stepwise):
    task = Classification(4)


class BatchFirstTargets(Stepwise):
    def changed(self, split, batch):
        return batch._replace(target=batch.target.T)


class AsksNothing(Stepwise):
    def changed(self, split, batch):
        return batch._replace(target=torch.full_like(batch.target, -1))


class MinusTwo(Stepwise):
    def changed(self, split, batch):
        return batch._replace(target=batch.target - 1)


class AsksNoNumber(NumbersAStep):
    def changed(self, split, batch):
        return batch._replace(target=batch.target * torch.nan)


class AsksForInfinity(NumbersAStep):
    def changed(self, split, batch):
        return batch._replace(target=batch.target / 0)


class TearsStepwisePairs(Stepwise):
    def batches(self, split, batch, generator=None):
        in_order = super().batches(split, batch)
        return (
            a._replace(target=b.target) for a, b in zip(super().batches(split, batch, generator), in_order, strict=True)
        )


TWINS = [
    Twin(FORMED, SaysThatItIsStepwise, Stepwise),
    Twin(FORMED, TaskSaysOtherwise, Stepwise),
    Twin(FORMED, BatchFirstTargets, Stepwise),
    Twin(FORMED, AsksNothing, Stepwise),
    Twin(FORMED, MinusTwo, Stepwise),
    Twin(FORMED, AsksNoNumber, NumbersAStep),
    Twin(FORMED, AsksForInfinity, NumbersAStep),
    Twin("a sequence keeps its target", TearsStepwisePairs, Stepwise),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("datasets", twin, monkeypatch)
