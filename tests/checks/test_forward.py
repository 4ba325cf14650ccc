"""Rules that carry influence forward, roll or recompute, with one fault each: the fact that must find it does."""

from __future__ import annotations

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, few_neurons, title
from throughtime.algorithms.base import Claims
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.kf_rtrl import KFRTRL
from throughtime.algorithms.rolling_tbptt import RollingTBPTT
from throughtime.algorithms.uoro import UORO
from throughtime.checks.tiny import error, learn, recurrent, sequence
from throughtime.neurons.lif import LIF


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")


class UOROFromOnes(UORO):
    """The first influence is not 0: the estimate is biased until it is forgotten."""

    def begin(self, batch, update):
        super().begin(batch, update)
        self.s̃ += 1
        self.θ̃ += 1


class UOROWithOneSign(UORO):
    """All state variables of a sample have one sign: products of different variables do not average out."""

    def carry(self, x, after, δ):
        signs = self.signs
        self.signs = lambda *shape: signs(*shape)[..., :1].expand(shape)
        gradient = super().carry(x, after, δ)
        self.signs = signs
        return gradient


class KFFromOnes(KFRTRL):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.A += 1
        self.B += 1


class KFForgetsTheReset(KFRTRL):
    """A batch continues with the influence of the batch before."""

    left = None

    def begin(self, batch, update):
        super().begin(batch, update)
        if self.left is not None:
            self.A, self.B = self.left

    def end(self):
        self.left = self.A, self.B
        super().end()


class CutsEachSegment(CheckpointedBPTT):
    def _segment(self, state, part, δ):
        loss, δ = super()._segment(state, part, δ)
        return loss, [torch.zeros_like(g) for g in δ]


class SaysRoot(BPTT):
    claims = Claims(gradient="exact", memory="O(√T)")


class RollsOneStepLess(RollingTBPTT):
    def __init__(self, *, window=10):
        super().__init__(window=min(window, 12) - 1)


class RollsOneStepMore(RollingTBPTT):
    def __init__(self, *, window=10):
        super().__init__(window=window + 1)


SIGNS, ROOT = "mean over all signs = BPTT", "claims O(√T): exact bytes for each of √T steps, long T over short"
SUM, EACH, ONE = (
    "window ≥ T: updates add up to BPTT",
    "each update = autograd through the last L steps",
    "window 1: = truncated BPTT, window 1",
)
TWINS = [
    Twin(SIGNS, UOROFromOnes, UORO, "uoro"),
    Twin(SIGNS, UOROWithOneSign, UORO, "uoro"),
    Twin(SIGNS, KFFromOnes, KFRTRL, "kf_rtrl"),
    Twin(SIGNS, KFForgetsTheReset, KFRTRL, "kf_rtrl"),
    Twin("= BPTT, to rounding", CutsEachSegment, CheckpointedBPTT, "checkpointed_bptt"),
    Twin(SUM, RollsOneStepLess, RollingTBPTT, "rolling_tbptt"),
    Twin(EACH, RollsOneStepLess, RollingTBPTT, "rolling_tbptt"),
    Twin(EACH, RollsOneStepMore, RollingTBPTT, "rolling_tbptt"),
    Twin(ONE, RollsOneStepMore, RollingTBPTT, "rolling_tbptt"),
]


@pytest.mark.parametrize("twin", [*TWINS, Twin(ROOT, SaysRoot, CheckpointedBPTT)], ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("algorithms", twin, monkeypatch)


@pytest.mark.parametrize("rule", [UORO, KFRTRL])
def test_the_gradient_is_the_mean_of_the_draws(rule):
    """The same signs, once as two draws of one run and once as two runs."""
    (x, target), network = sequence(), recurrent(LIF)
    generator = torch.Generator().manual_seed(1)
    drawn: list[torch.Tensor] = []

    def both(*shape):
        drawn.append(torch.randint(2, shape, generator=generator) * 2 - 1)
        return drawn[-1]

    def total(draws, signs):
        made = rule(draws=draws)
        made.signs = signs
        return learn(made, network, x, target).total()

    mean = total(2, both)
    each = []
    for r in range(2):
        left = iter(drawn)
        each.append(total(1, lambda *shape, r=r, left=left: of_draw(next(left), r, shape)))
    assert error(each[0], each[1]) > 0.1
    assert error(mean, [(a + b) / 2 for a, b in zip(*each, strict=True)]) < 1e-12


def of_draw(signs: torch.Tensor, r: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the signs of one draw of two, in the shape of a single one."""
    dimension = next(d for d, (of_two, of_one) in enumerate(zip(signs.shape, shape, strict=True)) if of_two != of_one)
    return signs.narrow(dimension, r, 1)
