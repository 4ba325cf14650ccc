"""Rules that are wrong in ways that once passed every fact: each is found by the fact that is named beside it.

The faults begin late (in the second window, the second batch, at step 20), hide outside torch's tensors, or keep all
directions and change a size.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.checks.test_checks import Twin, assert_found_out, fact_of, few_neurons, few_steps, names_of_facts, title
from tests.checks.test_rules import APPROXIMATE, TRUNCATED, Online
from tests.checks.test_rules import TWINS as CONTRACT
from tests.checks.test_rules_later import ALONG, FAMILY, KNOWN
from tests.checks.test_rules_later import TWINS as LATER
from throughtime.algorithms.base import Claims, loss_over_steps, output_error
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.contract import alignment, memory
from throughtime.checks.tiny import INPUTS, backprop, error, learn, seeded
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.rnn import RNN
from throughtime.numerics.trees import tensors
from throughtime.registry import ALGORITHMS


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif")
    few_steps(monkeypatch, 12, 15, 24)
    monkeypatch.setattr(memory, "SQUARES", (36, 49, 64, 81))


# --- of the second window on


class Weighted(Online):
    """One update at the end; window t weighs `weight(t)`."""

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        (self.weight(t) * loss).backward()
        if t + 1 == self.steps:
            self.update()
        return loss.detach()

    def weight(self, t):
        return 1 / self.steps


class AscendsLater(Weighted):
    def weight(self, t):
        return super().weight(t) * (-1 if t else 1)


class IsAMillionTimesTooLargeLater(Weighted):
    def weight(self, t):
        return super().weight(t) * (1e6 if t else 1)


class WeighsTheEndMore(Weighted):
    """Sound: a ramp, as FPTT's, which it states."""

    def window_weights(self, steps):
        return [(t + 1) / steps for t in range(steps)]

    def weight(self, t):
        return (t + 1) / self.steps


# --- outside of updates


class MovesInTheSecondBatch(BPTT):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.batches = 0

    def begin(self, batch, update):
        super().begin(batch, update)
        self.batches += 1
        if self.batches > 1:
            with torch.no_grad():
                self.network.readout.linear.bias.add_(1e-9)


class MovesAtTheEndOfAnEpoch(BPTT):
    def end_epoch(self):
        with torch.no_grad():
            self.network.readout.linear.weight.mul_(1 - 1e-9)
        return super().end_epoch()


class MovesJustBeforeItUpdates(BPTT):
    """The step of the update hides a step of its own."""

    def begin(self, batch, update):
        def both():
            with torch.no_grad():
                for p in self.network.parameters():
                    p.sub_(1e-6 * p.grad)
            update()

        super().begin(batch, both)


# --- losses


class ReportsATenth(BPTT):
    def learn(self, x, target, t):
        return super().learn(x, target, t) / 10


class ReportsATenthOfWindows(TruncatedBPTT):
    def learn(self, x, target, t):
        return super().learn(x, target, t) / 10


class ReportsTheFirstWindowOnly(TruncatedBPTT):
    def __init__(self):
        super().__init__(window=4)

    def learn(self, x, target, t):
        loss = super().learn(x, target, t)
        return loss if t == 0 else None


class ReportsTheLastWindowOnly(TruncatedBPTT):
    """The loss of the last window is that of the last step, which the rule does not minimise alone."""

    def __init__(self):
        super().__init__(window=4)

    def learn(self, x, target, t):
        loss = super().learn(x, target, t)
        return loss if t + len(x) == self.steps else None


class ReportsTheMeanOverSteps(BPTT):
    """Minimises the loss of the last step."""

    def learn(self, x, target, t):
        with torch.no_grad():
            mean = loss_over_steps(self.task, self.network.unroll(x, self.state).outputs, target)
        super().learn(x, target, t)
        return mean


# --- targets of later windows


class PeeksAtLaterTargets(Online):
    def learn(self, x, target, t):
        if self.task.per_step:
            whole = target if target._base is None else target._base
            target = target.where(whole[-1:] != 0, torch.full_like(target, -1))
        return super().learn(x, target, t)


class LongWindows(TruncatedBPTT):
    """Sound."""

    def __init__(self):
        super().__init__(window=80)


class PeeksInLongWindows(LongWindows):
    """The losses of a window depend on the next one."""

    def learn(self, x, target, t):
        later = x if x._base is None else x._base[min(t + len(x), self.steps - 1)]
        return super().learn(x + 0.1 * later, target, t)


# --- memory


class WindowsOf20(TruncatedBPTT):
    """Sound: windows that are longer than the first of the lengths."""

    def __init__(self):
        super().__init__(window=20)


class KeepsOutputsOfLongWindows(WindowsOf20):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.seen = []

    def learn(self, x, target, t):
        self.seen.append(x.clone())
        return super().learn(x, target, t)


class PairsInNumPy:
    """A number for each pair of steps."""

    def learn(self, x, target, t):
        self.pairs = np.ones((5 * len(x), len(x)))
        return super().learn(x, target, t)

    def end(self):
        super().end()
        del self.pairs


class EachStepWithEachInNumPy(PairsInNumPy, BPTT):
    pass


class EachStepWithEachBesideSegments(PairsInNumPy, CheckpointedBPTT):
    pass


class SaysRoot(BPTT):
    claims = Claims(gradient="exact", memory="O(√T)")


class CopiesInputsToNumPy(Online):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.seen = []

    def learn(self, x, target, t):
        self.seen.append(x.numpy().copy())
        return super().learn(x, target, t)


class KeepsTensorsFromStep20On(Online):
    def begin(self, batch, update):
        super().begin(batch, update)
        self.seen = []

    def learn(self, x, target, t):
        if t >= 20:
            self.seen.append(x.clone())
        return super().learn(x, target, t)


class LeavesArraysBehind(BPTT):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.seen = []

    def learn(self, x, target, t):
        self.seen.append(x.numpy().copy())
        return super().learn(x, target, t)


# --- approximations of another size


class ForgetsToDivideByT(EProp):
    """The sum of the steps' gradients in place of their mean."""

    def __init__(self):
        super().__init__(loss_at="every")

    def step(self, t):
        for p in self.network.parameters():
            p.grad.mul_(self.steps)
        super().step(t)


class Every(EProp):
    def __init__(self):
        super().__init__(loss_at="every")


class HasATraceOfTheStepBefore(EProp):
    """The readout's trace, ō, is that of the step before the last."""

    def learn(self, x, target, t):
        self.target = target
        return super().learn(x, target, t)

    def step(self, t):
        if len(self.network.layers) > 1:
            return super().step(t)
        readout, o = self.network.readout, self.state.layers[0].z
        _, (δ,) = output_error(self.task, self.state.y[None], self.target)
        before = (self.o_filtered - (1 - readout.neuron.decay) * o) / readout.neuron.decay
        readout.linear.weight.grad = δ.t() @ before
        return super().step(t)


TYPES = "works under both default types of torch"  # its twin is in test_components_later.py
MOVES = "weights move by updates alone"
LOSSES, AHEAD = "reported losses average to the minimised loss", "does not depend on later windows"
READOUT = "claims approximate: gradient of the readout = BPTT's"
ROOT = "claims O(√T): exact bytes for each of √T steps, long T over short"
O1, AFTERWARDS = "claims O(1): exact bytes a step of T", "no bytes remain after a sequence"


class ForgetsBetweenBlocks(EProp):
    """Traces start anew with each block: a sequence of one block does not show it."""

    def learn(self, x, target, t):
        for layer in self.network.layers:
            self.traces[layer.name] = self.traces_of(layer, self.traces[layer.name].wanted)
        return super().learn(x, target, t)


class SaysItsOwnNeuronAlone(OSTL):
    """Its gradient is that of BPTT with any R."""

    def coordinates(self):
        return super().coordinates()._replace(scope="own neuron")


TWINS = [
    Twin(TRUNCATED, AscendsLater, Weighted),
    Twin(TRUNCATED, IsAMillionTimesTooLargeLater, WeighsTheEndMore),
    Twin(MOVES, MovesInTheSecondBatch, BPTT),
    Twin(MOVES, MovesAtTheEndOfAnEpoch, FPTT),
    Twin(MOVES, MovesJustBeforeItUpdates, BPTT),
    Twin(LOSSES, ReportsATenth, BPTT),
    Twin(LOSSES, ReportsATenthOfWindows, TruncatedBPTT),
    Twin(LOSSES, ReportsTheFirstWindowOnly, Weighted),
    Twin(LOSSES, ReportsTheLastWindowOnly, TruncatedBPTT),
    Twin(LOSSES, ReportsTheMeanOverSteps, BPTT),
    Twin(AHEAD, PeeksAtLaterTargets, Online),
    Twin(AHEAD, PeeksInLongWindows, LongWindows),
    Twin("claims O(window): exact bytes a step of T", KeepsOutputsOfLongWindows, WindowsOf20),
    Twin("claims O(T): exact bytes a step, long T over short", EachStepWithEachInNumPy, BPTT),
    Twin(ROOT, EachStepWithEachBesideSegments, CheckpointedBPTT),
    Twin(ROOT, SaysRoot, CheckpointedBPTT),
    Twin(O1, CopiesInputsToNumPy, Online),
    Twin(O1, KeepsTensorsFromStep20On, Online),
    Twin(AFTERWARDS, LeavesArraysBehind, BPTT),
    Twin(READOUT, ForgetsToDivideByT, Every),
    Twin(READOUT, HasATraceOfTheStepBefore, EProp),
    Twin("R = 0: = BPTT; R as drawn: not", ForgetsBetweenBlocks, EProp),
    Twin("R = 0: = BPTT; R as drawn: not", SaysItsOwnNeuronAlone, EProp),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("rules", twin, monkeypatch)


# --- rules that draw while they learn


@pytest.fixture
def uoro(isolated_registries):
    return ALGORITHMS["uoro"].factory


def test_a_rule_that_is_right_in_the_mean_holds_and_one_that_is_turned_around_does_not(uoro, monkeypatch):
    """One gradient of UORO has a cosine to BPTT's of nearly 0; only its mean over many draws shows the direction."""

    class TurnedAround(uoro):
        """Credit through time has the wrong sign."""

        def begin(self, batch, update):
            def turned():
                for name, p in self.network.named_parameters():
                    if not name.startswith("readout"):
                        p.grad.neg_()
                update()

            super().begin(batch, turned)

    monkeypatch.setattr(alignment, "STEPS", 8)  # the fewer, the fewer draws decide
    assert fact_of("rules", uoro, ALONG).verdict == "holds"
    assert fact_of("rules", TurnedAround, ALONG).verdict == "fails"
    assert fact_of("rules", uoro, APPROXIMATE).verdict == "does not apply"


def test_the_mean_of_uoro_over_all_draws_is_bptts_gradient(uoro, monkeypatch):
    """Every sign vector of two steps once, each on a copy of one sequence: the mean is exact."""
    with seeded(3):
        network = Recurrent(INPUTS, 2, RNN, hidden=[1]).double()
    generator = torch.Generator().manual_seed(5)
    states = sum(s.shape[1] for s in tensors(network.initial_state(1)))
    copies = 4**states
    x = 2 * torch.randn(3, 1, INPUTS, dtype=torch.float64, generator=generator).repeat(1, copies, 1)
    target, task = torch.zeros(copies, dtype=torch.int64), Classification(2)
    signs = torch.tensor(list(itertools.product((0, 1), repeat=2 * states))).split(states, 1)
    drawn = iter(())
    monkeypatch.setattr(torch, "randint", lambda high, size: next(drawn).view(size))
    for loss_at in ("end", "every"):
        drawn = iter((*signs, signs[0]))
        result = learn(uoro(loss_at=loss_at), network, (x, target), task).total()
        exact = backprop(network, x, target, task, loss_at)
        assert max(map(error, zip(result), zip(exact))) < 1e-9, loss_at
        cut = learn(TruncatedBPTT(window=1, loss_at=loss_at), network, (x, target), task).total()
        assert error(cut[:3], exact[:3]) > 0.01, "credit through time matters here"


def test_every_fact_has_a_twin():
    rules = (BPTT, CheckpointedBPTT, TruncatedBPTT, Online, EProp)
    facts = names_of_facts("rules", *rules)
    claims = {(rule.claims.gradient, rule.claims.memory) for rule in rules}
    assert {g for g, _ in claims} == {"exact", "truncated", "approximate"}
    assert {m for _, m in claims} == {"O(1)", "O(window)", "O(√T)", "O(T)"}
    assert facts == {twin.fact for twin in (*TWINS, *CONTRACT, *LATER)} - {FAMILY} | {KNOWN, TYPES}


def test_the_ratio_of_the_norms_is_shown():
    result = fact_of("rules", EProp, APPROXIMATE)
    assert result.verdict == "holds" and "of BPTT's" in result.note
