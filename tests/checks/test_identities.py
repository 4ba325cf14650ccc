"""Rules of the package with one fault each: the identity that must find it does, and holds for the rule as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from tests.checks.test_checks import Twin, assert_found_out, few_neurons, title
from tests.checks.test_forward import TWINS as OF_FORWARD
from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.decolle import DECOLLE
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eligibility import EligibilityRule, filtered
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.eligibility.layer_block import StepGradient
from throughtime.algorithms.eligibility.rflo import RFLO
from throughtime.algorithms.fptt.dynamic_regulariser import CodeForm, PaperForm, add_gradient_of_code_form
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.presynaptic_trace import OTTT, SLTT, STLLR, PPProp, PresynapticTrace
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.own.identities import BY_RULE, facts
from throughtime.numerics.trees import detached

ALGORITHMS = "throughtime.algorithms"


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "alif", "ltc")


# --- BPTT, truncated BPTT, RTRL


class TakesTheEndAlways(BPTT):
    def loss_of(self, outputs, target, loss_at):
        return super().loss_of(outputs, target, "end")


class RampLags(BPTT):
    """w_t = (t − 1)/T."""

    def _loss_of_step(self, k, y, target):
        return super()._loss_of_step(k - 1, y, target)


class EpochsAreNotCounted(BPTT):
    def end_epoch(self):
        return {}


class ForgetsBetweenSteps(BPTT):
    """The state between two steps is a constant."""

    state = property(lambda self: self.held, lambda self, state: setattr(self, "held", detached(state)))


class CostsAsOnce(BPTT):
    cost = property(lambda self: BPTT.cost, lambda self, cost: None)


class Sums(TruncatedBPTT):
    """The sum of a window's losses, not their mean."""

    def loss_of(self, outputs, target, loss_at):
        loss = super().loss_of(outputs, target, loss_at)
        return loss * len(outputs) if loss_at == "every" else loss


class CutsBeforeTheEnd(TruncatedBPTT):
    """The longest window it takes is one step short."""

    def window(self, steps):
        return min(self.K, max(1, steps - 1))


class ForgetsM(RTRL):
    """The influence of parameters before the present step is lost."""

    def learn(self, x, target, t):
        self.M = None
        return super().learn(x, target, t)


def without_direct_part(network, θ, arguments):
    """functional_call whose output does not depend on the parameters themselves: ∂y_t/∂θ = 0."""
    _, after = functional_call(network, θ, arguments)
    shown, _ = functional_call(network, {name: p.detach() for name, p in θ.items()}, arguments)
    return shown, after


OF_BPTT = [
    Twin("= autograd of the unrolled loss", TakesTheEndAlways, BPTT, "bptt"),
    Twin("weights and total: = autograd of the weighted sum", RampLags, BPTT, "bptt"),
    Twin("auxiliary loss: = autograd of its weighing over all steps", EpochsAreNotCounted, BPTT, "bptt"),
    Twin("backward at each step: = once", ForgetsBetweenSteps, BPTT, "bptt"),
    Twin("backward at each step: bytes and products as its cost says", CostsAsOnce, BPTT, "bptt"),
    Twin("window ≥ T: = BPTT", CutsBeforeTheEnd, TruncatedBPTT, "tbptt"),
    Twin("loss at every step: its window's mean", Sums, TruncatedBPTT, "tbptt"),
    Twin("= BPTT, both losses", ForgetsM, RTRL, "rtrl"),
    Twin(
        "= BPTT, both losses",
        RTRL,
        RTRL,
        "rtrl",
        patches=((f"{ALGORITHMS}.influence.functional_call", without_direct_part),),
    ),
]

# --- rules with eligibility traces


class ResetFlows(EligibilityRule):
    """Credit flows through the reset, which the neuron holds constant."""

    def partials(self, neuron, current, state, next_state):
        partials = super().partials(neuron, current, state, next_state)
        if not hasattr(neuron, "threshold"):
            return partials
        return partials._replace(from_previous={**partials.from_previous, ("v", "z"): -neuron.threshold})


class TracesDecay(EligibilityRule):
    """The decay factor of each trace is a tenth too small."""

    def partials(self, neuron, current, state, next_state):
        partials = super().partials(neuron, current, state, next_state)
        return partials._replace(from_previous={key: 0.9 * factor for key, factor in partials.from_previous.items()})


class CurrentIsNotScaled(EligibilityRule):
    """Without the 1 − α before the current."""

    def partials(self, neuron, current, state, next_state):
        partials = super().partials(neuron, current, state, next_state)
        current = partials.inflows["current"]
        unscaled = current._replace(by_input=dict.fromkeys(current.by_input, 1.0))
        return partials._replace(inflows={**partials.inflows, "current": unscaled})


class FeedbackIsPermuted(EligibilityRule):
    """The error of one output comes back through the weights of another."""

    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.B = self.B.flip(0)


class TracesGoOn(EligibilityRule):
    """Traces are zeroed once and never again."""

    last = None

    def begin(self, batch, update):
        super().begin(batch, update)
        self.traces = self.last or self.traces
        self.last = self.traces


class ForgetsTheBias(EligibilityRule):
    def land(self, layer, name, gradient):
        if name == "current":
            gradient[:, :, -1] = 0
        super().land(layer, name, gradient)


class UpdatesOnce(EligibilityRule):
    """One update per sequence, whatever the option."""

    def step(self, t):
        if t + 1 == self.steps:
            super().step(t)


class StartsAnewAtUpdates(EligibilityRule):
    """Traces are set to zero at an update."""

    def step(self, t):
        super().step(t)
        for traces in self.traces.values():
            traces.kept.clear()


class DropsWhatIsGathered(EligibilityRule):
    """The last update has a gradient of zero."""

    def step(self, t):
        if t + 1 == self.steps:
            self.network.zero_grad()
        super().step(t)


class WithoutAdaptation(EligibilityRule):
    """The partial derivative of one variable by another of the same step is left out, where the neuron adapts."""

    def partials(self, neuron, current, state, next_state):
        partials = super().partials(neuron, current, state, next_state)
        return partials._replace(
            within_step={(s, q): factor for (s, q), factor in partials.within_step.items() if q != "a"}
        )


def filter_without_scale(partials, reads, κ):
    """ē_t = κ ē_{t−1} + o_t."""
    scaled = filtered(partials, reads, κ)
    return scaled._replace(within_step={**scaled.within_step, ("ē", reads): 1.0})


def passes_the_signal_on(block, field, δ, at):
    """The learning signal of a layer in place of the gradient of its currents: without the surrogate."""
    return StepGradient(δ, {})


CUT, SUM = "= autograd with spikes between neurons cut", "Σ dE/dz · eligibility = BPTT, nothing cut"
ALL, PARTS = "one step = BPTT, all parameters", "updates every k steps add up to one"
SHARED = [
    (CUT, ResetFlows),
    (CUT, TracesDecay),
    (CUT, FeedbackIsPermuted),
    (CUT, TracesGoOn),
    (SUM, ResetFlows),
    (SUM, TracesDecay),
    (SUM, CurrentIsNotScaled),
    (ALL, CurrentIsNotScaled),
    (ALL, ForgetsTheBias),
    (PARTS, UpdatesOnce),
    (PARTS, StartsAnewAtUpdates),
    (PARTS, DropsWhatIsGathered),
]


class RateTwice(EProp):
    """The rate cost's gradient without its 2."""

    def __init__(self, *, rate_cost: float = 0.0, **options) -> None:
        super().__init__(rate_cost=rate_cost / 2, **options)


class RateOfTheLastStep(EProp):
    """f̄ is the firing rate of the last step."""

    def signals(self, block):
        signals = super().signals(block)
        if self.rate_cost and self.rate_mean == "sequence":
            self.spikes[block.layer.name] = block.states.z[-1].mean(0)
        return signals


class RateOfTheBatch(EProp):
    """f̄ of each sequence is the mean over the batch."""

    def __init__(self, *, rate_mean: str | None = None, **options) -> None:
        super().__init__(rate_mean="sequence" if rate_mean == "sample" else rate_mean, **options)


class RunningMeanOfTheBlock(EProp):
    """The running mean starts anew in each block of steps."""

    def signals(self, block):
        if self.rate_cost and self.rate_mean == "running":
            self.spikes[block.layer.name].zero_()
        return super().signals(block)


class FeedbackIsDrawnAnew(EProp):
    """Random feedback is drawn anew at each batch."""

    def begin(self, batch, update):
        super().begin(batch, update)
        if self.feedback == "random":
            self.B = torch.randn_like(self.B)


class FeedbackIsSymmetric(EProp):
    """Symmetric feedback, whatever the option."""

    def begin(self, batch, update):
        super().begin(batch, update)
        self.B = self.network.readout.linear.weight


class DecaysFeedbackAlone(EProp):
    """Kolen-Pollack in which W does not decay."""

    @torch.no_grad()
    def step(self, t):
        W = self.network.readout.linear.weight
        super().step(t)
        if self.feedback == "adaptive":
            W.div_(1 - self.feedback_decay)


class FeedbackStays(EProp):
    """Adaptive feedback that does not adapt."""

    def parameters(self):
        return ()

    def step(self, t):
        super().step(t)
        self.B.grad = None


OF_TRACES = [
    Twin(fact, type(mixin.__name__, (mixin, rule), {}), rule, name)
    for name, rule in (("eprop", EProp), ("diagonal_rtrl", DiagonalRTRL))
    for fact, mixin in SHARED
]
OF_TRACES += [
    Twin(
        CUT, EProp, EProp, "eprop", patches=((f"{ALGORITHMS}.eligibility.eligibility.filtered", filter_without_scale),)
    ),
    Twin(CUT, type("WithoutAdaptation", (WithoutAdaptation, EProp), {}), EProp, "eprop"),
    Twin(SUM, type("WithoutAdaptation", (WithoutAdaptation, EProp), {}), EProp, "eprop"),
    Twin(
        "= e-prop where both apply", type("TracesDecay", (TracesDecay, DiagonalRTRL), {}), DiagonalRTRL, "diagonal_rtrl"
    ),
    *(
        Twin(
            fact,
            rule,
            rule,
            name,
            patches=((f"{ALGORITHMS}.eligibility.eligibility.step_gradient", passes_the_signal_on),),
        )
        for name, rule in (("eprop", EProp), ("diagonal_rtrl", DiagonalRTRL))
        for fact in ("two layers: = equations with a trace per synapse", "two layers, one step: = BPTT")
    ),
    Twin("rate regularisation = autograd's", RateTwice, EProp, "eprop"),
    Twin("rate regularisation = autograd's", RateOfTheLastStep, EProp, "eprop"),
    Twin("rate regularisation = autograd's", RateOfTheBatch, EProp, "eprop"),
    Twin("rate regularisation = autograd's", RunningMeanOfTheBlock, EProp, "eprop"),
    Twin("random feedback = autograd with B for W", FeedbackIsDrawnAnew, EProp, "eprop"),
    Twin("random feedback = autograd with B for W", FeedbackIsSymmetric, EProp, "eprop"),
    Twin("adaptive feedback: B − W shrinks by 1 − d", DecaysFeedbackAlone, EProp, "eprop"),
    Twin("adaptive feedback: B − W shrinks by 1 − d", FeedbackStays, EProp, "eprop"),
]

# --- presynaptic traces


class TracesEndAtBlocks(PresynapticTrace):
    """Traces start from zero in each block of steps."""

    def gather(self, block, L, at, goes_on):
        self.filters[block.layer.name].last.clear()
        return super().gather(block, L, at, goes_on)


class BiasHasNoTrace(PresynapticTrace):
    """The input of the bias is 1, not its trace."""

    def gather(self, block, L, at, goes_on):
        biases = [s.module.bias for s in block.layer.synapses.values() if s.module.bias is not None]
        before = [0.0 if bias.grad is None else bias.grad.clone() for bias in biases]
        δI = super().gather(block, L, at, goes_on)
        for bias, gradient in zip(biases, before, strict=True):
            bias.grad = gradient + δI.sum((0, 1))
        return δI


class SignalPassesTheLeak(PresynapticTrace):
    """∂y_t/∂o_t without 1 − κ."""

    def signal(self, block, δ):
        return super().signal(block, δ) / (1 - (self.readout.decay or 0.0))


class NeverScales(PresynapticTrace):
    """Samples of steps are not multiplied by T/k."""

    def chosen(self, δ, end):
        self.unbiased = False
        return super().chosen(δ, end)


class LearnsFromTheStepAfter(PresynapticTrace):
    """The steps are those after the drawn ones."""

    def chosen(self, δ, end):
        at, δ = super().chosen(δ, end)
        return (at + 1).clamp(max=len(δ) - 1) if self.sampled_steps else at, δ


class PostsynapticTraceOfNow(STLLR):
    """The trace of a neuron has the present step, too."""

    def postsynaptic(self, block):
        return torch.cat((super().postsynaptic(block)[1:], self.b[block.layer.name][None]))


class AveragesWithoutShare(PPProp):
    """∂s/∂I without 1 − α_p."""

    def postsynaptic(self, block):
        return super().postsynaptic(block) / (1 - self.decay)


WITHIN, ON_LIF = "λ = 0: = autograd within each step", "λ = α on LIF: = e-prop; without R: = BPTT"
SAMPLES, WRITTEN = "mean over all samples of steps = all steps", "two layers: = the written-out traces"
NAMED = {"presynaptic_trace": PresynapticTrace, "sltt": SLTT, "ottt": OTTT, "s_tllr": STLLR, "pp_prop": PPProp}


def trace_twins(fact: str, mixin: type[PresynapticTrace], *names: str) -> list[Twin]:
    bases = [(mixin,) if issubclass(mixin, NAMED[name]) else (mixin, NAMED[name]) for name in names]
    return [
        Twin(fact, type(mixin.__name__, each, {}), NAMED[name], name) for each, name in zip(bases, names, strict=True)
    ]


WITHIN_PATH = f"{ALGORITHMS}.presynaptic_trace.presynaptic_trace.step_gradient"
OF_PRESYNAPTIC = [
    *(
        Twin(WITHIN, NAMED[name], NAMED[name], name, patches=((WITHIN_PATH, passes_the_signal_on),))
        for name in ("presynaptic_trace", "sltt", "ottt", "pp_prop")
    ),
    *trace_twins(ON_LIF, TracesEndAtBlocks, "presynaptic_trace", "ottt", "s_tllr"),
    *trace_twins(ON_LIF, BiasHasNoTrace, "presynaptic_trace", "ottt", "s_tllr"),
    *trace_twins(SAMPLES, NeverScales, "presynaptic_trace", "sltt"),
    *trace_twins(SAMPLES, LearnsFromTheStepAfter, "presynaptic_trace", "sltt"),
    *trace_twins(WRITTEN, TracesEndAtBlocks, "presynaptic_trace", "ottt", "s_tllr", "pp_prop"),
    *trace_twins(WRITTEN, SignalPassesTheLeak, "presynaptic_trace", "ottt", "s_tllr", "pp_prop"),
    *trace_twins(WRITTEN, PostsynapticTraceOfNow, "s_tllr"),
    *trace_twins(WRITTEN, AveragesWithoutShare, "pp_prop"),
]

# --- random feedback and local losses


class LeaksTwice(RFLO):
    """Traces decay twice as fast."""

    def partials(self, neuron, current, state, next_state):
        partials = super().partials(neuron, current, state, next_state)
        return partials._replace(from_previous={pair: f * f for pair, f in partials.from_previous.items()})


class SignalIsHalf(RFLO):
    def signal(self, block, δ):
        return super().signal(block, δ) / 2


class SignalsPass(DECOLLE):
    """A layer gives a learning signal to the layer below, too."""

    def passes_down(self, layer):
        return EligibilityRule.passes_down(self, layer)


class LearnsFromTheFirstStep(DECOLLE):
    def chosen(self, δ, end):
        return slice(0, len(δ)), δ * (self.steps / (self.steps - self.burn_in))


class KnowsTheReadout(FeedbackIsSymmetric, RFLO):
    """B is the readout's weights."""


LOCAL = "two layers: = autograd of the local losses"
OF_FEEDBACK = [
    Twin("leaky rate unit: = the trace of the source", LeaksTwice, RFLO, "rflo"),
    Twin("leaky rate unit: = the trace of the source", KnowsTheReadout, RFLO, "rflo"),
    Twin("B = the readout's weights: = e-prop", SignalIsHalf, RFLO, "rflo"),
    Twin("B = the readout's weights: = e-prop", KnowsTheReadout, RFLO, "rflo"),
    Twin(LOCAL, SignalsPass, DECOLLE, "decolle"),
    Twin(LOCAL, LearnsFromTheFirstStep, DECOLLE, "decolle"),
]

# --- FPTT


def fptt(code: type[CodeForm] = CodeForm, paper: type[PaperForm] = PaperForm) -> Callable[..., FPTT]:
    """FPTT with another regulariser."""

    class Twin(FPTT):
        def start(self, network, task, steps):
            super().start(network, task, steps)
            if self.form == "code":
                self.regulariser = code(self.W, self.alpha, self.beta, self.rho, self.update_alpha)
            elif self.form == "paper":
                self.regulariser = paper(self.W, self.alpha)

    Twin.__name__ = code.__name__ if code is not CodeForm else paper.__name__
    return Twin


class MeanStartsAtZero(CodeForm):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.mean = [torch.zeros_like(w) for w in self.W]


class PaperMeanStartsAtZero(PaperForm):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.mean = [torch.zeros_like(w) for w in self.W]


class WithoutAlpha(CodeForm):
    """∇R = W − W̄ − λ."""

    def gradient(self):
        return [w.detach() - m - λ for w, m, λ in zip(self.W, self.mean, self.lam, strict=True)]


class Turned(CodeForm):
    def gradient(self):
        return [-g for g in super().gradient()]


class LambdaTurned(CodeForm):
    """+ λ where − λ stands."""

    def gradient(self):
        return [g + 2 * λ for g, λ in zip(super().gradient(), self.lam, strict=True)]


def compiled_without_alpha(g, W, mean, λ, α, ρ):
    """The compiled pass of `WithoutAlpha`."""
    return add_gradient_of_code_form(g, W, mean, λ, 1.0, ρ)


def compiled_with_lambda_turned(g, W, mean, λ, α, ρ):
    """The compiled pass of `LambdaTurned`."""
    return add_gradient_of_code_form(g, W, mean, -λ, α, ρ)


def compiled_with_new_mean(W, mean, λ, α, β):
    """The compiled pass of `LambdaWithNewMean`."""
    mean.lerp_(W, β).sub_(λ, alpha=β / α)
    λ.sub_(W - mean, alpha=α)


class RhoIsLost(CodeForm):
    def __init__(self, W, alpha, beta, rho, update_alpha):
        super().__init__(W, alpha, beta, 0.0, update_alpha)


class MeanWithOldLambda(CodeForm):
    """W̄ with the λ of before."""

    @torch.no_grad()
    def advance(self, after_update):
        old = [λ.clone() for λ in self.lam]
        super().advance(after_update)
        for m, λ, new in zip(self.mean, old, self.lam, strict=True):
            m.sub_(λ - new, alpha=self.beta / self.alpha)


class LambdaWithNewMean(CodeForm):
    """W̄ is updated before λ, which uses the new W̄."""

    @torch.no_grad()
    def advance(self, after_update):
        α, β = self.alpha, self.beta
        for w, m, λ in zip(self.W, self.mean, self.lam, strict=True):
            m.mul_(1 - β).add_(w, alpha=β).sub_(λ, alpha=β / α)
            λ.sub_(w - m, alpha=α)


class BetaIsTurned(CodeForm):
    """β for 1 − β: at one half the same."""

    def __init__(self, W, alpha, beta, rho, update_alpha):
        super().__init__(W, alpha, 1 - beta, rho, update_alpha)


class WholeGradient(PaperForm):
    """∇l where ½ ∇l stands."""

    def gradient(self):
        return [g - last / 2 for g, last in zip(super().gradient(), self.last, strict=True)]


class MeanWithoutGradient(PaperForm):
    def advance(self, after_update):
        super().advance([torch.zeros_like(g) for g in after_update])
        self.last = list(after_update)


class StaysAway(CodeForm):
    def adopt_mean(self):
        pass


class OneAlpha(CodeForm):
    """The α of R in the update, too."""

    def __init__(self, W, alpha, beta, rho, update_alpha):
        super().__init__(W, alpha, beta, rho)


class KeepsLambda(CodeForm):
    def reset(self):
        pass


class RampAlways(FPTT):
    def _weight(self):
        return (self.part + 1) / self.parts


class GradientAtOldWeights(FPTT):
    """∇l is kept from before the update."""

    def _add_gradient_of(self, regulariser):
        self.before = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in self.W]
        super()._add_gradient_of(regulariser)

    def _gradient_from(self, before, x, target):
        return self.before


class SecondPassMovesTheState(FPTT):
    """The sequence continues from the state of the second forward pass."""

    def _gradient_from(self, before, x, target):
        gradients = super()._gradient_from(before, x, target)
        with torch.no_grad():
            self.state = before
            self.window_loss(x, target, "end")
        return gradients


class WeightsFromZero(FPTT):
    """w_p = p/K."""

    def _weight(self):
        self.part -= 1
        w = super()._weight()
        self.part += 1
        return w


class WeighsBySteps(FPTT):
    """w_p is the share of the steps so far, which is (p+1)/K where parts are of one length."""

    def _weight(self):
        return sum(self.windows(self.steps)[: self.part + 1]) / self.steps


class EpochIsNotCounted(FPTT):
    def end_epoch(self):
        observed = super().end_epoch()
        self.epoch = 0
        return observed


class TableBeforePart(FPTT):
    """The table is updated for the part before."""

    def start(self, network, task, steps):
        super().start(network, task, steps)
        if self.auxiliary_loss is not None:
            table = self.auxiliary_loss
            learn, table.learn = table.learn, lambda y, target, part: learn(y, target, max(0, part - 1))


class AuxiliaryTwice(AuxiliaryLoss):
    def beside(self, w, *arguments):
        return super().beside(w, *arguments) + (1 - w) * self(*arguments)


class LearnsFromRight(AuxiliaryLoss):
    """The first sample of a class, right or wrong."""

    def learn(self, y, target, part):
        for c in target.unique():
            self.Q[c, part] = F.softmax(y, 1)[int((target == c).nonzero()[0])]


class LearnsFromTheLast(AuxiliaryLoss):
    """The last sample that is taken for another."""

    def learn(self, y, target, part):
        super().learn(y.flip(0), target.flip(0), part)


class SumsOverClasses(AuxiliaryLoss):
    """A cross-entropy, C times the authors' mean."""

    def __call__(self, y, *arguments):
        return self.classes * super().__call__(y, *arguments)


def fptt_twin(fact: str, broken: Callable[..., Any], *patches: tuple[str, Any]) -> Twin:
    return Twin(fact, broken, FPTT, "fptt", patches=patches)


NONE, FIRST, SMALL = (
    "form none: = truncated BPTT; K = 1: = BPTT",
    "first update: regulariser adds nothing",
    "code form: its gradient goes as α",
)
MEAN, FILTER = "code form, β = 1/2: W̄ = W − λ/(2α)", "code form, β = 1/2: λ is a damped filter"
CODE, PAPER = "code form = autograd of its loss", "paper form = autograd of its loss"
TABLE, WEIGHED = "auxiliary table = the authors' scan", "auxiliary loss = autograd of its weighing"
TABLE_PATH = "throughtime.checks.own.fptt.AuxiliaryLoss"
GRADIENT_PATH, ADVANCE_PATH = (
    f"{ALGORITHMS}.fptt.dynamic_regulariser.{loop}" for loop in ("add_gradient_of_code_form", "advance_code_form")
)
OF_FPTT = [
    fptt_twin(NONE, WeightsFromZero),
    fptt_twin(FIRST, fptt(MeanStartsAtZero)),
    fptt_twin(FIRST, fptt(paper=PaperMeanStartsAtZero)),
    fptt_twin(SMALL, fptt(WithoutAlpha)),
    fptt_twin(SMALL, FPTT, (GRADIENT_PATH, compiled_without_alpha)),
    fptt_twin(MEAN, fptt(MeanWithOldLambda)),
    fptt_twin(MEAN, fptt(LambdaWithNewMean)),
    fptt_twin(MEAN, FPTT, (ADVANCE_PATH, compiled_with_new_mean)),
    fptt_twin(FILTER, fptt(MeanWithOldLambda)),
    fptt_twin(FILTER, fptt(LambdaWithNewMean)),
    fptt_twin(FILTER, FPTT, (ADVANCE_PATH, compiled_with_new_mean)),
    fptt_twin(CODE, WeighsBySteps),
    fptt_twin(CODE, fptt(Turned)),
    fptt_twin(CODE, fptt(LambdaTurned)),
    fptt_twin(CODE, FPTT, (GRADIENT_PATH, compiled_with_lambda_turned)),
    fptt_twin(CODE, fptt(RhoIsLost)),
    fptt_twin(CODE, fptt(BetaIsTurned)),
    fptt_twin(CODE, fptt(MeanWithOldLambda)),
    fptt_twin(CODE, FPTT, (ADVANCE_PATH, compiled_with_new_mean)),
    fptt_twin(PAPER, fptt(paper=WholeGradient)),
    fptt_twin(PAPER, fptt(paper=MeanWithoutGradient)),
    fptt_twin(PAPER, GradientAtOldWeights),
    fptt_twin(PAPER, SecondPassMovesTheState),
    fptt_twin("end of an epoch: W = W̄", fptt(StaysAway)),
    fptt_twin("code form, another α in its update: = autograd", fptt(OneAlpha)),
    fptt_twin("reset_lambda: after an epoch, R adds nothing", fptt(KeepsLambda)),
    fptt_twin("form none, equal weights: = truncated BPTT", RampAlways),
    fptt_twin(TABLE, FPTT, (TABLE_PATH, LearnsFromRight)),
    fptt_twin(TABLE, FPTT, (TABLE_PATH, LearnsFromTheLast)),
    fptt_twin(TABLE, FPTT, (TABLE_PATH, SumsOverClasses)),
    fptt_twin(WEIGHED, EpochIsNotCounted),
    fptt_twin(WEIGHED, TableBeforePart),
    fptt_twin(WEIGHED, FPTT, (f"{ALGORITHMS}.fptt.fptt.AuxiliaryLoss", AuxiliaryTwice)),
]
TWINS = [*OF_BPTT, *OF_TRACES, *OF_PRESYNAPTIC, *OF_FEEDBACK, *OF_FPTT]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_identity_finds_the_fault(twin, monkeypatch):
    assert_found_out("algorithms", twin, monkeypatch)


def test_every_identity_has_a_twin():
    identities = {(name, fact.name) for name in BY_RULE for fact in facts(name)}
    assert identities == {(twin.name, twin.fact) for twin in (*TWINS, *OF_FORWARD)}


def test_rules_of_others_have_no_identities():
    assert facts("summed_tbptt") == ()
