"""Wrong rules whose fault begins late: in a second layer, after 50 steps, in the ninth sample, the third batch or the
second epoch; and approximations of which only direction and size are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.checks.test_checks import Twin, assert_found_out, fact_of, few_facts, few_neurons, few_steps, title
from tests.checks.test_rules import EXACT, TRUNCATED, Online, Spoilt
from throughtime.algorithms.base import Claims
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.contract import alignment, memory
from throughtime.checks.run import check
from throughtime.checks.window import stepped
from throughtime.registry import load_plugin

ESTIMATORS = Path(__file__).parents[1] / "plugins" / "estimators.py"
pytestmark = pytest.mark.usefixtures("isolated_registries")


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")
    monkeypatch.setattr(alignment, "DRAWS", 6)
    monkeypatch.setattr(memory, "LENGTHS", (12, 15, memory.LENGTHS[-1]))


# --- what one layer, 12 steps, 5 samples and one target do not show


class CutsEach50Steps(BPTT):
    def loss_of(self, outputs, target, loss_at):
        return super().loss_of(outputs[-50:], target[-50:] if self.task.per_step else target, loss_at)

    def advance(self, x):
        if len(x) > 50:
            with torch.no_grad():
                self.state = super().advance(x[:-50]).state
        return super().advance(x[-50:])


class ScoresTheLastTarget(BPTT):
    def loss_of(self, outputs, target, loss_at):
        return (
            self.task.loss(outputs[-1], target[-1]) if self.task.per_step else super().loss_of(outputs, target, loss_at)
        )


class NeverUpdatesLayer2(Spoilt):
    def spoil(self, x):
        for layer in self.network.layers[1:]:
            for p in layer.parameters():
                p.grad = None

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, self.loss_at)
        loss.backward()
        self.spoil(x)
        self.update()
        return loss.detach()


class TurnsRWithTwoLayers(NeverUpdatesLayer2):
    def spoil(self, x):
        if len(self.network.layers) > 1:
            self.network.layers[0].recurrent.weight.grad.neg_()


class First8Samples(BPTT):
    def begin(self, batch, update):
        super().begin(min(batch, 8), update)

    def learn(self, x, target, t):
        return super().learn(x[:, :8], target[..., :8], t)


class TargetsAStepLate(TruncatedBPTT):
    def learn(self, x, target, t):
        return super().learn(x, target.roll(1, 0) if self.task.per_step else target, t)


class WeighsAllButTheLastAsNothing(Online):
    def learn(self, x, target, t):
        weight = 1.0 if t + 1 == self.steps else 1e-14
        loss = self.window_loss(x, target, "end")
        (weight * loss).backward()
        self.update()
        return loss.detach()


class ClipsItself(Spoilt):
    def learn(self, x, target, t):
        return NeverUpdatesLayer2.learn(self, x, target, t)

    def spoil(self, x):
        nn.utils.clip_grad_norm_(self.network.parameters(), 100.0)


# --- later than the second batch


class Counting(BPTT):
    """Counts batches and epochs from 1."""

    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.batches, self.epochs = 0, 1

    def begin(self, batch, update):
        self.batches += 1
        super().begin(batch, update)

    def end_epoch(self):
        self.epochs += 1
        return super().end_epoch()

    def move(self):
        with torch.no_grad():
            self.network.readout.linear.bias.add_(1e-6)


class MovesFromTheThirdBatchOn(Counting):
    def begin(self, batch, update):
        super().begin(batch, update)
        if self.batches > 2:
            self.move()


class MovesAtTheEndOfTheSecondEpoch(Counting):
    def end_epoch(self):
        if self.epochs == 2:
            self.move()
        return super().end_epoch()


class ZerosFromTheSecondEpochOn(Counting):
    def update(self):
        if self.epochs > 1:
            for p in self.network.parameters():
                p.grad = torch.zeros_like(p)
        super().update()


class DropsTheTenthBatch(Counting):
    def update(self):
        if self.batches == 10:
            self.network.zero_grad()
        super().update()


class GoesOnFromBatch5(Counting):
    left = None

    def begin(self, batch, update):
        super().begin(batch, update)
        if self.batches >= 5 and self.left is not None:
            self.state = self.left

    def end(self):
        self.left = self.state
        super().end()


class LeavesEvaluationMode(Counting):
    def end(self):
        super().end()
        self.network.train(self.batches < 3)


class KeepsFromBatch11(Counting):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.seen = []

    def end(self):
        super().end()
        if self.batches > 10:
            self.seen.append(torch.zeros(8))


class KeepsFromStep200(Online):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.seen = []

    def learn(self, x, target, t):
        if t >= 200:
            self.seen.append(x.clone())
        return super().learn(x, target, t)


# --- another rule's name


class SaysItIsFPTT(TruncatedBPTT):
    """Truncated BPTT with FPTT's windows and weights, but without its regulariser."""

    claims = Claims("truncated", "O(window)", carries=True, same_as="fptt")

    def __init__(self):
        super().__init__(window=1, weights="ramp")


class MyFPTT(FPTT):
    """Sound: the same under another name."""


class NeverAdopts(FPTT):
    def end_epoch(self):
        self.adopt_mean = False
        return super().end_epoch()


class ResetsEachSequence(FPTT):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.regulariser.reset()


class MeanBeforeTheStep(FPTT):
    """W̄ is that of the weights before the update."""

    def update(self):
        before = [p.detach().clone() for p in self.network.parameters()]
        super().update()
        after = [p.detach().clone() for p in self.network.parameters()]
        with torch.no_grad():
            for p, w in zip(self.network.parameters(), before, strict=True):
                p.copy_(w)
            self.regulariser.advance([])
            for p, w in zip(self.network.parameters(), after, strict=True):
                p.copy_(w)


class CarriesAMean(TruncatedBPTT):
    """A regulariser of its own, of which it says nothing."""

    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.mean = [p.detach().clone() for p in network.parameters()]

    def update(self):
        with torch.no_grad():
            for p, m in zip(self.network.parameters(), self.mean, strict=True):
                p.grad += p - m
        super().update()


# --- approximations without coordinates


class Unknown(EProp):
    """Sound, and no identity is known of it."""

    def coordinates(self):
        return None


class FixedNoise(Unknown):
    def land(self, layer, name, gradient):
        noise = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(1), dtype=gradient.dtype)
        super().land(layer, name, noise)


class ABillionthOfTheSize(Unknown):
    def land(self, layer, name, gradient):
        super().land(layer, name, 1e-9 * gradient)


class Unrolled(BPTT):
    """Sound: BPTT of plain steps, which says nothing of itself. Twins change the credit of the hidden layers."""

    claims = Claims("approximate", "O(T)")
    late = 0

    def coordinates(self):
        return None

    def learn(self, x, target, t):
        y = stepped(self.network, x, self.state).outputs
        loss = self.loss_of(y, target, self.loss_at)
        readout = [*self.network.readout.parameters()]
        δ, *exact = torch.autograd.grad(loss, [y, *readout], retain_graph=True)
        signals = torch.zeros_like(δ)
        first, last = max(self.late, 0), len(x) + min(self.late, 0)
        signals[first:last] = δ[first - self.late : last - self.late]
        y.backward(signals)
        for p, g in zip(readout, exact, strict=True):
            p.grad = g
        self.update()
        return loss.detach()


class SignalsAStepLate(Unrolled):
    late = 1


class TracesAStepLate(Unrolled):
    late = -1


class TransposesR(Unrolled):
    def learn(self, x, target, t):
        def transposed(R, inputs, current):
            credit = inputs[0] @ R.weight
            return current.detach() + credit - credit.detach()

        hook = self.network.layers[0].recurrent.register_forward_hook(transposed)
        loss = super().learn(x, target, t)
        hook.remove()
        return loss


BATCHES, FAMILY = (
    "each batch = that of a new rule, two epochs of seven batches",
    "same_as: = updates of the named rule, two epochs of seven batches",
)
KNOWN = "an identity checks it"
ALONG = "claims approximate: mean gradient along BPTT's, of comparable size"
OF_R = "claims approximate: part due to R along that of BPTT"
OF_A_TARGET = "claims approximate: part due to a target depends on inputs up to its step"
TWINS = [
    Twin(EXACT, CutsEach50Steps, BPTT),
    Twin(EXACT, ScoresTheLastTarget, BPTT),
    Twin(EXACT, NeverUpdatesLayer2, BPTT),
    Twin(EXACT, TurnsRWithTwoLayers, BPTT),
    Twin(EXACT, First8Samples, BPTT),
    Twin(EXACT, ClipsItself, BPTT),
    Twin(TRUNCATED, TargetsAStepLate, TruncatedBPTT),
    Twin(TRUNCATED, WeighsAllButTheLastAsNothing, Online),
    Twin(BATCHES, MovesFromTheThirdBatchOn, Counting),
    Twin(BATCHES, MovesAtTheEndOfTheSecondEpoch, Counting, raises=True),
    Twin(BATCHES, ZerosFromTheSecondEpochOn, Counting),
    Twin(BATCHES, DropsTheTenthBatch, Counting),
    Twin(BATCHES, GoesOnFromBatch5, Counting),
    Twin(BATCHES, LeavesEvaluationMode, Counting, raises=True),
    Twin(BATCHES, CarriesAMean, TruncatedBPTT),
    Twin("no bytes remain after a sequence", KeepsFromBatch11, Counting),
    Twin("claims O(1): exact bytes a step of T", KeepsFromStep200, Online),
    Twin(FAMILY, SaysItIsFPTT, MyFPTT),
    Twin(FAMILY, NeverAdopts, MyFPTT),
    Twin(FAMILY, ResetsEachSequence, MyFPTT),
    Twin(FAMILY, MeanBeforeTheStep, MyFPTT),
    Twin(ALONG, FixedNoise, Unknown),
    Twin(ALONG, ABillionthOfTheSize, Unknown),
    Twin(OF_R, TransposesR, Unrolled),
    Twin(OF_A_TARGET, SignalsAStepLate, Unrolled),
    Twin(OF_A_TARGET, TracesAStepLate, Unrolled),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("rules", twin, monkeypatch)


def test_a_rule_of_which_nothing_else_is_known_gets_a_warning():
    assert fact_of("rules", Unknown, KNOWN).verdict == "warns"
    assert fact_of("rules", EProp, KNOWN).verdict == "holds"


@pytest.mark.parametrize("name", ["spsa", "evolution_strategy", "forward_gradient", "local_losses"])
def test_a_sound_rule_that_is_no_backward_pass(name, monkeypatch):
    few_facts(monkeypatch, "rules", "one step", "losses", "claims approximate", "each batch", "claims O(T)", KNOWN)
    few_steps(monkeypatch, 12, 15, 20)
    load_plugin(ESTIMATORS)
    verdicts = {result.fact: result for result in check([name])}
    assert not [result for result in verdicts.values() if result.verdict == "fails"]
    assert verdicts[KNOWN].verdict == "warns"
