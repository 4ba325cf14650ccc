"""Rules with one fault each: the fact that must find it does, and holds for the rule without the fault."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, fact_of, few_neurons, few_steps, title
from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.tbptt import TruncatedBPTT


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")
    few_steps(monkeypatch, 20, 25, 30)  # whose faults begin later: test_rules_later.py


class Online(TruncatedBPTT):
    """A window per step: sound; base of several twins."""

    claims = Claims(gradient="truncated", memory="O(1)")

    def __init__(self) -> None:
        super().__init__(window=1)


class Spoilt(BPTT):
    """BPTT that does something to the gradients, or besides, before the update."""

    def spoil(self, x) -> None:
        raise NotImplementedError

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        loss.backward()
        self.spoil(x)
        self.update()
        return loss.detach()

    def gradients(self) -> list[torch.Tensor]:
        return [p.grad for p in self.network.parameters() if p.grad is not None]


# --- the contract


class NoWindow(BPTT):
    def window(self, steps):
        return 0


class LongWindow(BPTT):
    def window(self, steps):
        return steps + 1


class DropsTheRest(TruncatedBPTT):
    """Steps that do not fill a window are dropped."""

    def windows(self, steps):
        return [self.window(steps)] * (steps // self.window(steps))


class HasAnEmptyWindow(TruncatedBPTT):
    def windows(self, steps):
        return [*super().windows(steps), 0]


class SaysALongerWindow(TruncatedBPTT):
    def windows(self, steps):
        return [1] * steps


class LeavesOneOut(Spoilt):
    def spoil(self, x):
        self.network.layers[0].recurrent.weight.grad = None


class LeavesOneNaN(Spoilt):
    def spoil(self, x):
        self.network.readout.linear.bias.grad *= torch.nan


class Unseeded(Spoilt):
    def spoil(self, x):
        for g in self.gradients():
            g.mul_(1 + 1e-6 * random.SystemRandom().random())


class PeeksAtTheWhole(Online):
    """The rule reads the whole sequence through `_base` of the window."""

    def learn(self, x, target, t):
        return super().learn(x * x._base.abs().mean(), target, t)


class PeeksForItsReport(Online):
    def learn(self, x, target, t):
        return super().learn(x, target, t) + x._base.sum()


class PeeksIntoTheStorage(Online):
    """The rule reads the sequence through the storage of the window, without `_base`."""

    def learn(self, x, target, t):
        after = x.new_empty(0).set_(x.untyped_storage())[x.storage_offset() :]
        return super().learn(x + 1e-3 * after.mean(), target, t)


class ScalesItsInput(BPTT):
    def learn(self, x, target, t):
        return super().learn(x.mul_(0.5), target, t)


class TouchesTheTarget(BPTT):
    def learn(self, x, target, t):
        learnt = super().learn(x, target, t)
        target.zero_()
        return learnt


class ReportsAGraph(TruncatedBPTT):
    """The harness adds losses up: losses with graphs keep every graph alive."""

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        loss.backward()
        self.update()
        return loss


class KeepsAGraph(BPTT):
    """The state that the rule keeps has its graph."""

    def advance(self, x):
        window = super().advance(x)
        self.state = window.state
        return window


class ReportsALossOfZeros(BPTT):
    def learn(self, x, target, t):
        super().learn(x, target, t)
        return self.task.loss(x.new_zeros(x.shape[1], 4), target)


class ReportsALossOfOtherSteps(BPTT):
    """The loss belongs to the reversed window."""

    def learn(self, x, target, t):
        return super().learn(x.flip(0), target, t)


class InventsItsLoss(BPTT):
    """A loss that no task computed."""

    def loss_of(self, outputs, target, loss_at):
        return torch.nn.functional.cross_entropy(outputs[-1], target)


class ReportsNoLoss(BPTT):
    def learn(self, x, target, t):
        super().learn(x, target, t)


class ReportsALossOfEachSample(BPTT):
    def learn(self, x, target, t):
        return super().learn(x, target, t).repeat(len(target))


class StepsByItself(Spoilt):
    @torch.no_grad()
    def spoil(self, x):
        for p in self.network.parameters():
            p.sub_(p.grad, alpha=1e-6)


class DrawsWeightsAnew(BPTT):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        torch.nn.init.normal_(network.readout.linear.weight)


class AddsAfterTheUpdate(BPTT):
    def learn(self, x, target, t):
        learnt = super().learn(x, target, t)
        for p in self.network.parameters():
            p.grad = torch.ones_like(p)
        return learnt


class ForgetsTheLastUpdate(TruncatedBPTT):
    """The last window is shorter than the others: its gradients wait for an update that does not come."""

    def begin(self, batch, update):
        super().begin(batch, update)
        self.harness, self.update = update, lambda: None

    def learn(self, x, target, t):
        learnt = super().learn(x, target, t)
        if len(x) == self.K:
            self.harness()
        return learnt


class NeverUpdates(BPTT):
    def begin(self, batch, update):
        super().begin(batch, lambda: None)


# --- state kept elsewhere than on the rule


class Scaled(BPTT):
    """The loss weighs as much as batches were seen."""

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        (self.weight() * loss).backward()
        self.update()
        return loss.detach()


class CountsItself(Scaled):
    seen = 0

    def weight(self):
        self.seen += 1
        return self.seen


class CountsOnItsClass(Scaled):
    seen = 0

    def weight(self):
        type(self).seen += 1
        return self.seen


class CountsInAClosure(Scaled):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        seen = [0]

        def weight():
            seen[0] += 1
            return seen[0]

        self.weight = weight


class CountsWithAnIterator(Scaled):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.seen = itertools.count(1)

    def weight(self):
        return next(self.seen)


# --- claims about the gradient


class SaysExact(TruncatedBPTT):
    claims = Claims(gradient="exact", memory="O(window)")


class Ascends(Spoilt):
    def spoil(self, x):
        for g in self.gradients():
            g.neg_()


class GoesOnFromTheLastBatch(BPTT):
    """State is zeroed once and never again."""

    last = None

    def begin(self, batch, update):
        super().begin(batch, update)
        self.state = self.state if self.last is None else self.last

    def learn(self, x, target, t):
        learnt = super().learn(x, target, t)
        self.last = self.state
        return learnt


class DoublesOneLayer(Online):
    def begin(self, batch, update):
        def doubled():
            self.network.layers[0].recurrent.weight.grad.mul_(2)
            update()

        super().begin(batch, doubled)


class DoesNotCut(Online):
    """Credit crosses one cut: each window begins one window earlier."""

    def begin(self, batch, update):
        super().begin(batch, update)
        self.x, self.earlier = None, self.state

    def learn(self, x, target, t):
        both = x if self.x is None else torch.cat((self.x, x))
        outputs = self.network.unroll(both, self.earlier).outputs[-len(x) :]
        with torch.no_grad():
            after = self.network.unroll(x, self.state).state
        self.x, self.earlier, self.state = x, self.state, after
        loss = self.loss_of(outputs, target, "end")
        loss.backward()
        self.update()
        return loss.detach()


class SaysTruncated(BPTT):
    """It cuts after half of the sequence, but says that its window is the whole."""

    claims = Claims(gradient="truncated", memory="O(T)")

    def learn(self, x, target, t):
        halves = x.chunk(2) if len(x) > 1 else [x]
        with torch.no_grad():
            for half in halves[:-1]:
                self.state = self.network.unroll(half, self.state).state
        return super().learn(halves[-1], target[-len(halves[-1]) :] if self.task.per_step else target, t)


class SaysItUpdatesOnce(Online):
    def coordinates(self):
        return super().coordinates()._replace(schedule="end")


class SaysMemoryWithoutT(BPTT):
    cost = BPTT.cost._replace(memory="B S + P")


class SaysATermTooMany(BPTT):
    cost = BPTT.cost._replace(memory="B L S + P + B S P")


class SaysTooMuchTime(BPTT):
    cost = BPTT.cost._replace(time="B T P²")


class TurnsOneAround(EProp):
    """The traces' gradient has the wrong sign."""

    def land(self, layer, name, gradient):
        super().land(layer, name, -gradient)


class TurnsBiasesAround(EProp):
    def step(self, t):
        self.network.layers[0].inward.bias.grad.neg_()
        super().step(t)


class TurnsDrawnFeedbackAround(TurnsOneAround):
    """It draws feedback, near the readout's weights, and so is known by a mean over draws."""

    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.B = self.B + 1e-3 * torch.randn_like(self.B)


class IsNoNumber(EProp):
    def land(self, layer, name, gradient):
        super().land(layer, name, gradient * torch.nan)


class HalvesIt(Spoilt):
    def spoil(self, x):
        for g in self.gradients():
            g.div_(2)


class LeavesItsFilter(EProp):
    """The filtered output of the readout continues from the last batch."""

    left = None

    def begin(self, batch, update):
        super().begin(batch, update)
        self.o_filtered = self.o_filtered if self.left is None else self.left

    def end(self):
        self.left = self.o_filtered
        super().end()


# --- claims about memory


class OutputsKept(LearningRule):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.outputs = []

    def loss_of(self, outputs, target, loss_at):
        self.outputs.append(outputs[-1].detach())
        return super().loss_of(outputs, target, loss_at)


class KeepsOutputs(OutputsKept, Online):
    pass


class KeepsOutputsOfWindows(OutputsKept, TruncatedBPTT):
    pass


class KeepsTheGraph(Online):
    """One loss of all steps, each with its graph, and one backward pass at the end."""

    def begin(self, batch, update):
        super().begin(batch, update)
        self.losses = []

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        self.losses.append(loss)
        if t + 1 == self.steps:
            torch.stack(self.losses).mean().backward()
            self.losses.clear()
            self.update()
        return loss.detach()


class EachStepWithEach(Spoilt):
    """A number for each pair of steps."""

    def spoil(self, x):
        (x.transpose(0, 1) @ x.permute(1, 2, 0)).exp()


class KeepsItsState(BPTT):
    def end(self):
        pass


class KeepsTheBatch(BPTT):
    """The batch before is still there when the next one comes."""

    def learn(self, x, target, t):
        self.x = x
        return super().learn(x, target, t)


class KeepsSomethingOfEachBatch(BPTT):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.seen = []

    def loss_of(self, outputs, target, loss_at):
        self.seen.append(outputs[-1].detach())
        return super().loss_of(outputs, target, loss_at)


CONTINUED = "stopped and resumed: the same weights"
EXACT, TRUNCATED = "claims exact: gradient = BPTT's", "claims truncated: gradient = weighted sum of its windows'"
SCHEDULE, COST = "updates as often as its schedule says", "bytes and products grow as its cost says"
APPROXIMATE, ONE_STEP = "claims approximate: 1 − cosine to BPTT's", "one step = BPTT"
REPORTS = "reports losses of its network's outputs, without a graph"
TWINS = [
    Twin("windows lie between 1 step and all", NoWindow, BPTT),
    Twin("windows lie between 1 step and all", LongWindow, BPTT),
    Twin("windows lie between 1 step and all", DropsTheRest, TruncatedBPTT),
    Twin("windows lie between 1 step and all", HasAnEmptyWindow, TruncatedBPTT),
    Twin("windows lie between 1 step and all", SaysALongerWindow, TruncatedBPTT),
    Twin("every parameter gets a gradient", LeavesOneOut, BPTT),
    Twin("every parameter gets a gradient", LeavesOneNaN, BPTT),
    Twin("same seed, same gradients", Unseeded, BPTT),
    Twin("same seed, same gradients", LeavesOneNaN, BPTT),
    Twin("does not depend on later windows", PeeksAtTheWhole, Online),
    Twin("does not depend on later windows", PeeksForItsReport, Online),
    Twin("does not depend on later windows", PeeksIntoTheStorage, Online),
    Twin("does not change the batch", ScalesItsInput, BPTT),
    Twin("does not change the batch", TouchesTheTarget, BPTT),
    Twin(REPORTS, ReportsAGraph, TruncatedBPTT),
    Twin(REPORTS, KeepsAGraph, BPTT),
    Twin(REPORTS, ReportsALossOfZeros, BPTT),
    Twin(REPORTS, ReportsALossOfOtherSteps, BPTT),
    Twin(REPORTS, InventsItsLoss, BPTT),
    Twin(REPORTS, ReportsNoLoss, BPTT),
    Twin(REPORTS, ReportsALossOfEachSample, BPTT),
    Twin("weights move by updates alone", StepsByItself, BPTT),
    Twin("weights move by updates alone", DrawsWeightsAnew, BPTT),
    Twin("the last update leaves no gradient", AddsAfterTheUpdate, BPTT),
    Twin("the last update leaves no gradient", ForgetsTheLastUpdate, TruncatedBPTT),
    Twin("the last update leaves no gradient", NeverUpdates, BPTT),
    Twin(CONTINUED, CountsOnItsClass, CountsItself),
    Twin(CONTINUED, CountsInAClosure, CountsItself),
    Twin(CONTINUED, CountsWithAnIterator, CountsItself, raises=True),
    Twin(EXACT, SaysExact, BPTT),
    Twin(EXACT, Ascends, BPTT),
    Twin(EXACT, HalvesIt, BPTT),
    Twin(EXACT, LeavesOneNaN, BPTT),
    Twin(EXACT, ScalesItsInput, BPTT),
    Twin(EXACT, GoesOnFromTheLastBatch, BPTT),
    Twin(TRUNCATED, DoublesOneLayer, Online),
    Twin(TRUNCATED, DoesNotCut, Online),
    Twin(TRUNCATED, SaysTruncated, TruncatedBPTT),
    Twin(APPROXIMATE, TurnsOneAround, EProp),
    Twin(APPROXIMATE, TurnsBiasesAround, EProp),
    Twin(APPROXIMATE, TurnsDrawnFeedbackAround, EProp),
    Twin(APPROXIMATE, IsNoNumber, EProp),
    Twin(ONE_STEP, HalvesIt, BPTT),
    Twin(ONE_STEP, GoesOnFromTheLastBatch, BPTT),
    Twin(ONE_STEP, LeavesItsFilter, EProp),
    Twin("claims O(1): exact bytes a step of T", KeepsOutputs, Online),
    Twin("claims O(1): exact bytes a step of T", KeepsTheGraph, Online),
    Twin("claims O(window): exact bytes a step of T", KeepsOutputsOfWindows, TruncatedBPTT),
    Twin("claims O(T): exact bytes a step, long T over short", EachStepWithEach, BPTT),
    Twin("no bytes remain after a sequence", KeepsItsState, BPTT),
    Twin("no bytes remain after a sequence", KeepsTheBatch, BPTT),
    Twin("no bytes remain after a sequence", KeepsSomethingOfEachBatch, BPTT),
    Twin("no bytes remain after a sequence", AddsAfterTheUpdate, BPTT),
    Twin(SCHEDULE, SaysItUpdatesOnce, Online),
    Twin(COST, SaysMemoryWithoutT, BPTT),
    Twin(COST, SaysATermTooMany, BPTT),
    Twin(COST, SaysTooMuchTime, BPTT),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("rules", twin, monkeypatch)


class SaysT(Online):
    """Its memory does not grow at all."""

    claims = Claims(gradient="truncated", memory="O(T)")


def test_less_memory_than_claimed_is_no_fault():
    assert fact_of("rules", SaysT, "claims O(T): exact bytes a step, long T over short").verdict == "holds"
