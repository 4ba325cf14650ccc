"""Rules that carry influence forward, roll or recompute, with one fault each: the fact that must find it does."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, few_neurons, title
from throughtime.algorithms.base import Claims
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.influence.influence import InfluenceRule
from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.influence.snap1 import SnAp1
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.algorithms.influence.uoro import UORO
from throughtime.algorithms.rolling_tbptt import RollingTBPTT
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


class DropsTheAutapse(SnAp1):
    def layer_partials(self, layer, current, state, next_state):
        return self.partials(layer.neuron, current, state, next_state)


class TurnsTheAutapse(SnAp1):
    def layer_partials(self, layer, current, state, next_state):
        partials = super().layer_partials(layer, current, state, next_state)
        own = self.partials(layer.neuron, current, state, next_state).from_previous
        turned = {pair: 2 * own.get(pair, 0.0) - factor for pair, factor in partials.from_previous.items()}
        return partials._replace(from_previous=turned | {("v", "v"): own["v", "v"] * 0.99})


class ReachesOneStepLess(SnApN):
    def __init__(self, *, n=2, **options):
        super().__init__(n=max(1, n - 1), **options)


class ReachesOneStepMore(SnApN):
    def __init__(self, *, n=2, **options):
        super().__init__(n=n + 1, **options)


class StaysInTheNeuron(OSTL):
    def reach(self, layer):
        return torch.eye(layer.neuron.size, dtype=torch.bool) if self.with_H else None


class SignalsOfTheStepBefore(OSTL):
    """The lower layers get the learning signal of another step."""

    def gather(self, *arguments, **options):
        δI = super().gather(*arguments, **options)
        return None if δI is None else δI.roll(1, 0)


class KeepsH(OSTL):
    def __init__(self, *, with_H=True, **options):
        super().__init__(**options)


class UpdatesOnce(InfluenceRule):
    """One update per sequence, whatever the option."""

    def __init__(self, *, update_every=None, **options):
        super().__init__(**options)


class RTRLUpdatesOnce(UpdatesOnce, RTRL):
    pass


class UOROUpdatesOnce(UpdatesOnce, UORO):
    pass


class KFUpdatesOnce(UpdatesOnce, KFRTRL):
    pass


class DropsAtUpdates(RTRL):
    """The influence is 0 after an update."""

    def learn(self, x, target, t):
        loss = super().learn(x, target, t)
        if self.update_every and (t + 1) % self.update_every == 0:
            self.M.zero_()
        return loss


class KeepsItsWeights(OSTL):
    """The influence is carried on with the recurrent weights of the start of the sequence."""

    def begin(self, batch, update):
        super().begin(batch, update)
        for layer in self.network.layers:
            self.traces[layer.name].layer = copy.deepcopy(layer)


SIGNS, ROOT = "mean over all signs = BPTT", "claims O(√T): exact bytes for each of √T steps, long T over short"
PARTS = "updates every k steps add up to one"
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
    Twin("n = 1: = snap1", ReachesOneStepMore, SnApN, "snap_n"),
    Twin("a ring, n its neurons: = BPTT; n − 1: not", ReachesOneStepLess, SnApN, "snap_n"),
    Twin("a ring, n its neurons: = BPTT; n − 1: not", ReachesOneStepMore, SnApN, "snap_n"),
    Twin("without H, two layers: = diagonal_rtrl", KeepsH, OSTL, "ostl"),
    Twin("one layer, an update at each step: = rtrl", KeepsItsWeights, OSTL, "ostl"),
    Twin(PARTS, RTRLUpdatesOnce, RTRL, "rtrl"),
    Twin(PARTS, DropsAtUpdates, RTRL, "rtrl"),
    Twin(PARTS, UOROUpdatesOnce, UORO, "uoro"),
    Twin(PARTS, KFUpdatesOnce, KFRTRL, "kf_rtrl"),
]


OF_CLAIMS = [
    Twin(ROOT, SaysRoot, CheckpointedBPTT),
    Twin("diag(R) = 0: = diagonal_rtrl; R as drawn: not", DropsTheAutapse, SnAp1),
    Twin("diag(R) = 0: = diagonal_rtrl; R as drawn: not", TurnsTheAutapse, SnAp1),
    Twin("dense R: = BPTT; a ring: not", ReachesOneStepLess, SnApN),
    Twin("one layer: = BPTT; two layers: not", StaysInTheNeuron, OSTL),
    Twin("two layers: = autograd inside each layer", SignalsOfTheStepBefore, OSTL),
]


@pytest.mark.parametrize("twin", [*TWINS, *OF_CLAIMS], ids=title)
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
        return learn(made, network, (x, target)).total()

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
